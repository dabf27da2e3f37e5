/** Orders over HTTP: reads, page by page (docs/wire-contract.md). */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { storableText } from '../../shared/database/text.ts'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import { isOrderStatus, orderStatuses, type OrderStatus } from '../domain.ts'
import { findOrder, listOrders, type OrderFilter } from '../rows.ts'
import type { OrderTables } from '../schema.ts'
import { OrderView, viewOf } from '../view.ts'

const tags = ['orders']

/** A page is at most so many orders, whatever is asked for. */
const mostPerPage = 100
const defaultPerPage = 10
/** What a known client gets that asks for fewer than one. */
const perPageBelowOne = 20

/** Known clients send anything here; what is no number counts as not sent. */
const paging = {
  page: z.coerce.number().int().catch(1).meta({ description: 'From 1', example: 1 }),
  limit: z.coerce
    .number()
    .int()
    .catch(defaultPerPage)
    .meta({
      description: `Orders on a page, at most ${mostPerPage}`,
      example: defaultPerPage,
    }),
}

const Page = z.object({
  items: z.array(OrderView),
  total: z.int().meta({ description: 'Of all pages', example: 1 }),
  pages: z.int().meta({ example: 1 }),
  page: z.int().meta({ description: 'The page asked for; one past the end is empty', example: 1 }),
})

const sent = z.union([storableText, z.literal('')]).optional()

export function orderReads(server: HttpServer, db: Kysely<OrderTables>): void {
  server.get(
    '/getOrderDetails',
    {
      config: { refuses: [404] },
      schema: {
        operationId: 'get_order',
        tags,
        summary: 'One order',
        querystring: z.object({ orderId: storableText.meta({ example: exampleIds.order }) }),
        response: { 200: OrderView },
      },
    },
    async ({ query: { orderId } }) => {
      const order = await findOrder(db, orderId)
      if (order === undefined) throw noOrder(orderId)
      return viewOf(order)
    },
  )

  server.get(
    '/orders',
    {
      schema: {
        operationId: 'list_orders',
        tags,
        summary: 'Orders, newest first',
        querystring: z.object({
          ...paging,
          status: z
            .string()
            .optional()
            .meta({ description: `${orderStatuses.join(', ')}, in any letter case`, example: 'CREATED' }),
          runnerId: sent.meta({ example: exampleIds.runner }),
          sagaId: sent.meta({ example: exampleIds.saga }),
        }),
        response: { 200: Page },
      },
    },
    ({ query: { page, limit, status, runnerId, sagaId } }) =>
      pageOf(db, { status: readStatus(status), runnerId: given(runnerId), sagaId: given(sagaId) }, page, limit),
  )

  server.get(
    '/orders/customer/:customer_id',
    {
      schema: {
        operationId: 'list_orders_of_customer',
        tags,
        summary: 'Orders of one customer, newest first',
        params: z.object({ customer_id: storableText.meta({ example: exampleIds.customer }) }),
        querystring: z.object(paging),
        response: { 200: Page },
      },
    },
    ({ params, query: { page, limit } }) => pageOf(db, { customerId: params.customer_id }, page, limit),
  )
}

/** Known clients leave a filter empty where they mean none. */
const given = (text: string | undefined): string | undefined => (text === '' ? undefined : text)

async function pageOf(db: Kysely<OrderTables>, filter: OrderFilter, asked: number, askedLimit: number) {
  const limit = askedLimit < 1 ? perPageBelowOne : Math.min(askedLimit, mostPerPage)
  const page = Math.max(asked, 1)
  const { rows, total } = await listOrders(db, filter, page, limit)
  return { items: rows.map(viewOf), total, pages: Math.ceil(total / limit), page }
}

function readStatus(text: string | undefined): OrderStatus | undefined {
  if (text === undefined || text === '') return undefined
  const status = text.toUpperCase()
  if (isOrderStatus(status)) return status
  throw new HttpError(400, `There is no status ${text}. Use one of ${orderStatuses.join(', ')}.`)
}

export function noOrder(orderId: string): HttpError {
  return new HttpError(404, `There is no order ${orderId}.`)
}
