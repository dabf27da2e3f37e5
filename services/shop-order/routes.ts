/** The orders of the Order Orchestration over HTTP (docs/wire-contract.md 6.7): reads, and how far a parcel is. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { roles } from '../shared/auth/access-token.ts'
import { administrators, callerOf, isFor, isForVendor, mustBeFor, vendors, type Caller } from '../shared/auth/access.ts'
import { emailText, storableText } from '../shared/database/text.ts'
import { exampleIds } from '../shared/http/examples.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { orderStatuses, type OrderStatus } from './messages.ts'
import { findOrder, listOrders, setStatus, type OrderFilter } from './rows.ts'
import type { OrderRow, ShopOrderTables } from './schema.ts'
import { exampleUser, exampleVendor, shopOrderJson, ShopOrderView } from './view.ts'

const tags = ['orders']
const id = storableText.meta({ example: exampleIds.shopOrder })
const Several = z.array(ShopOrderView)

const mostPerPage = 100
const paging = z.object({
  before: z.string().max(500).default('').meta({ description: 'The id before which to go on', example: '' }),
  limit: z.coerce.number().int().min(1).max(mostPerPage).default(mostPerPage).meta({ example: 10 }),
})

export function shopOrderRoutes(server: HttpServer, db: Kysely<ShopOrderTables>, now: () => number): void {
  allowOrigins(server, knownPages)
  const list = async ({ before, limit }: z.infer<typeof paging>, filter: OrderFilter) =>
    (await listOrders(db, filter, before, limit)).map(shopOrderJson)

  server.get(
    '/orders',
    {
      config: { for: administrators },
      schema: {
        operationId: 'list_orders',
        tags,
        summary: 'Orders, newest first',
        querystring: paging,
        response: { 200: Several },
      },
    },
    ({ query }) => list(query, {}),
  )

  server.get(
    '/orders/:id',
    {
      config: { for: roles, refuses: [404] },
      schema: {
        operationId: 'get_order',
        tags,
        summary: 'One order',
        params: z.object({ id }),
        response: { 200: ShopOrderView },
      },
    },
    async (request) => {
      const { id } = request.params
      return shopOrderJson(shownTo(callerOf(request), id, await findOrder(db, id)))
    },
  )

  server.get(
    '/orders/user/:email',
    {
      config: { for: roles },
      schema: {
        operationId: 'list_orders_of_user',
        tags,
        summary: 'Orders of a user, newest first',
        params: z.object({ email: emailText.meta({ example: exampleUser }) }),
        querystring: paging,
        response: { 200: Several },
      },
    },
    (request) => {
      const { email } = request.params
      mustBeFor(callerOf(request), email)
      return list(request.query, { userEmail: email })
    },
  )

  server.get(
    '/orders/vendor/:email',
    {
      config: { for: vendors },
      schema: {
        operationId: 'list_orders_of_vendor',
        tags,
        summary: 'Orders from a vendor, newest first',
        params: z.object({ email: emailText.meta({ example: exampleVendor }) }),
        querystring: paging,
        response: { 200: Several },
      },
    },
    (request) => {
      const { email } = request.params
      mustBeFor(callerOf(request), email)
      return list(request.query, { vendorEmail: email })
    },
  )

  server.put(
    '/orders/:id/status/:status',
    {
      config: { for: vendors, refuses: [404, 409] },
      schema: {
        operationId: 'set_order_status',
        tags,
        summary: 'Says how far an order is: forward only, and it is cancelled where it was ordered',
        params: z.object({ id, status: z.enum(orderStatuses).meta({ example: 'Preparing for Shipment' }) }),
        response: { 200: ShopOrderView },
      },
    },
    async (request) => {
      const { params } = request
      // Of whom nobody knows the name, no order is another's.
      const caller = callerOf(request)
      if (caller !== null) soldBy(caller, params.id, await findOrder(db, params.id))
      const found = await setStatus(db, params.id, params.status, now())
      if (found === undefined) throw noOrder(params.id)
      const { order, changed } = found
      if (changed || (order.status === params.status && params.status !== 'Canceled')) return shopOrderJson(order)
      throw new HttpError(
        409,
        `Order ${params.id} is ${order.status} and does not become ${params.status} here${whereElse(order, params.status)}.`,
      )
    },
  )
}

/** What is asked for, done as a whole. */
function whereElse({ payment_id }: OrderRow, status: OrderStatus): string {
  if (status === 'Canceled') return ': cancel it where it was ordered, so that its payment goes back too'
  if (status !== 'Refund') return ''
  const payment = payment_id ?? '<payment_id>'
  return `, since that would give nothing back: refund its payment (PUT /payments/${payment}/status/Refund at the Shop Payment Service), and restock what comes back`
}

const noOrder = (id: string): HttpError => new HttpError(404, `There is no order ${id}.`)

/** @throws HttpError 404 where there is none, or one of others */
function shownTo(caller: Caller, id: string, order: OrderRow | undefined): OrderRow {
  if (order !== undefined && isFor(caller, order.user_email)) return order
  return soldBy(caller, id, order)
}

/** The same for its vendor alone, who sends it. */
function soldBy(caller: Caller, id: string, order: OrderRow | undefined): OrderRow {
  if (order === undefined || !isForVendor(caller, order.vendor_email)) throw noOrder(id)
  return order
}
