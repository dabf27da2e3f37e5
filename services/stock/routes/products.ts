/** Products over HTTP: added, read, changed, restocked, removed. */
import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { retryContention } from '../../shared/database/database.ts'
import { callerOf, isForVendor, vendors, type Caller } from '../../shared/auth/access.ts'
import { storableText } from '../../shared/database/text.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { IdempotencyKey, keyOf } from '../../shared/http/idempotency-key.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import { centsOf, mostCents, wholeCents } from '../../shared/money/money.ts'
import {
  addProduct,
  changeProduct,
  findProduct,
  listProducts,
  removeProduct,
  type ProductChange,
  type ProductFilter,
} from '../catalogue.ts'
import { restock } from '../rows.ts'
import type { StockTables } from '../schema.ts'
import { answer, answerOf, exampleCategory, exampleProduct, nothing, productJson, ProductView } from '../view.ts'

const tags = ['products']
const config = { refuses: [404] } as const
const changing = { for: vendors, refuses: [404] } as const

/** No shelf holds more; sums of these stay whole numbers. */
const mostStock = 1_000_000_000

const text = (example: string) => storableText.meta({ example })
const longText = (example: string) =>
  z
    .string()
    .max(500)
    .pipe(z.union([storableText, z.literal('')]))
    .meta({ example })

const price = z
  .number()
  .min(0, { abort: true })
  .max(mostCents / 100, { abort: true })
  .superRefine(wholeCents)
  .meta({ example: 12.99 })

const NewProduct = z.object({
  name: text('Coffee beans'),
  price,
  stock: z.int().min(0).max(mostStock).meta({ example: 100 }),
  vendor_id: text('vendor@example.com'),
  image: longText('https://example.com/beans.png').nullish(),
  category_id: longText(exampleCategory).nullish(),
  description: longText('Dark roast, 500 g').nullish(),
})

const One = answerOf(ProductView)
const Several = answerOf(z.array(ProductView))
const params = z.object({ id: text(exampleProduct) })

/** More come by `after`. */
const mostPerPage = 1_000
const paging = z.object({
  after: z.string().max(500).default('').meta({ description: 'The Id after which to go on', example: '' }),
  limit: z.coerce.number().int().min(1).max(mostPerPage).default(mostPerPage).meta({ example: 100 }),
})

export function productRoutes(server: HttpServer, db: Kysely<StockTables>, now: () => number): void {
  server.post(
    '/product',
    {
      config: { for: vendors },
      schema: { operationId: 'add_product', tags, summary: 'Adds a product', body: NewProduct, response: { 201: One } },
    },
    async (request, reply) => {
      const { body } = request
      mustSell(callerOf(request), body.vendor_id)
      const product = await addProduct(
        db,
        {
          name: body.name,
          priceCents: centsOf(body.price, 'price'),
          stock: body.stock,
          vendorId: body.vendor_id,
          image: body.image ?? '',
          categoryId: body.category_id == null || body.category_id === '' ? null : body.category_id,
          description: body.description ?? '',
        },
        now(),
      )
      return reply.code(201).send(answer('Product created', productJson(product)))
    },
  )

  server.get(
    '/product',
    {
      schema: {
        operationId: 'list_products',
        tags,
        summary: 'All products, in the order of their ids',
        querystring: paging,
        response: { 200: Several },
      },
    },
    ({ query }) => list(query, {}),
  )

  const listed = (path: string, operationId: string, summary: string, example: string, filter: FilterOf): void => {
    server.get(
      `${path}/:of`,
      {
        schema: {
          operationId,
          tags,
          summary,
          params: z.object({ of: text(example) }),
          querystring: paging,
          response: { 200: Several },
        },
      },
      ({ params: { of }, query }) => list(query, filter(of)),
    )
  }
  listed(
    '/product/vendor',
    'list_products_of_vendor',
    'The products of a vendor',
    'vendor@example.com',
    (vendorId) => ({
      vendorId,
    }),
  )
  listed('/product/many', 'list_products_named', 'Products by a part of their name', 'coffee', (named) => ({ named }))
  listed('/product/category', 'list_products_in_category', 'Products of a category', exampleCategory, (categoryId) => ({
    categoryId,
  }))

  async function list({ after, limit }: z.infer<typeof paging>, filter: ProductFilter) {
    return answer('Products found', (await listProducts(db, filter, after, limit)).map(productJson))
  }

  server.get(
    '/product/:id',
    {
      config,
      schema: { operationId: 'get_product', tags, summary: 'One product', params, response: { 200: One } },
    },
    async ({ params: { id } }) => answer('Product found', productJson(found(id, await findProduct(db, id)))),
  )

  server.get(
    '/product/stock/:id',
    {
      config,
      schema: {
        operationId: 'get_stock',
        tags,
        summary: 'How many of a product are left',
        params,
        response: { 200: answerOf(ProductView.shape.Stock) },
      },
    },
    async ({ params: { id } }) => answer('Stock found', found(id, await findProduct(db, id)).stock),
  )

  server.post(
    '/product/stock/:id',
    {
      config: { for: vendors, refuses: [404, 422] },
      schema: {
        operationId: 'restock_product',
        tags,
        summary: 'Adds to the stock of a product',
        description: 'The header Idempotency-Key makes a repeated request safe: under one key it is added once.',
        params,
        headers: z.object({ 'idempotency-key': IdempotencyKey }),
        body: z.object({ quantity: z.int().min(1).max(mostStock).meta({ example: 10 }) }),
        response: { 200: One },
      },
    },
    async (request) => {
      const { params, headers, body } = request
      const { id } = params
      const { quantity } = body
      const caller = callerOf(request)
      await mustSellProduct(caller, id)
      const key = headers['idempotency-key']
      const restockId = key === undefined ? randomUUID() : keyOf(...(caller === null ? [] : [caller.email]), key)
      const asked = { restockId, productId: id, quantity }
      const outcome = await retryContention(() => db.transaction().execute((tx) => restock(tx, asked, now())))
      if (outcome === 'known')
        throw new HttpError(422, 'The Idempotency-Key was used for another delivery: send each under a key of its own.')
      return answer('Stock added', productJson(found(id, outcome === 'done' ? await findProduct(db, id) : undefined)))
    },
  )

  const changed = (
    field: string,
    value: z.ZodType,
    change: (body: Readonly<Record<string, unknown>>) => ProductChange,
  ): void => {
    server.put(
      `/product/${field}/:id`,
      {
        config: changing,
        schema: {
          operationId: `set_product_${field}`,
          tags,
          summary: `Sets the ${field} of a product`,
          params,
          body: z.object({ [field]: value }),
          response: { 200: One },
        },
      },
      async (request) => {
        const { id } = request.params
        await mustSellProduct(callerOf(request), id)
        return answer(
          'Product updated',
          productJson(found(id, await changeProduct(db, id, change(request.body), now()))),
        )
      },
    )
  }
  changed('name', NewProduct.shape.name, (body) => ({ name: body['name'] as string }))
  changed('price', NewProduct.shape.price, (body) => ({ price_cents: centsOf(body['price'], 'price') }))
  changed('image', longText('https://example.com/beans.png'), (body) => ({ image: body['image'] as string }))
  changed('description', longText('Dark roast, 500 g'), (body) => ({ description: body['description'] as string }))

  server.delete(
    '/product/:id',
    {
      config: changing,
      schema: {
        operationId: 'remove_product',
        tags,
        summary: 'Takes a product off the list',
        params,
        response: { 200: answerOf(nothing) },
      },
    },
    async (request) => {
      const { id } = request.params
      await mustSellProduct(callerOf(request), id)
      found(id, await removeProduct(db, id, now()))
      return answer('Product deleted', null)
    },
  )

  async function mustSellProduct(caller: Caller, id: string): Promise<void> {
    // Of whom nobody knows the name, no product is another's.
    if (caller !== null) mustSell(caller, found(id, await findProduct(db, id)).vendor_id)
  }
}

/** @throws HttpError 403 */
function mustSell(caller: Caller, vendorId: string): void {
  if (!isForVendor(caller, vendorId))
    throw new HttpError(
      403,
      `The vendor_id is ${vendorId}, and the token is of ${caller?.email}: a vendor sells under his own address (or his id), and changes what he sells.`,
    )
}

type FilterOf = (of: string) => ProductFilter

function found<Row>(id: string, product: Row | undefined): Row {
  if (product === undefined) throw new HttpError(404, `There is no product ${id}.`)
  return product
}
