/** The Order Service over HTTP (contract 4.3 and 4.4): reads, and the acceptance by a runner. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { storableText } from '../database/text.ts'
import { HttpError } from '../http/http-error.ts'
import type { HttpServer } from '../http/server.ts'
import { isOrderStatus, orderStatuses, type OrderStatus } from './domain.ts'
import { accept, findOrder, listOrders, orderJson, type OrderFilter } from './orders.ts'
import type { OrderTables } from './schema.ts'

/** A page is at most so many orders, whatever is asked for (quirk O-13). */
const mostPerPage = 100
const defaultPerPage = 10

/** Known clients send anything here; what is no number counts as not sent. */
const paging = {
  page: z.coerce.number().int().catch(1),
  limit: z.coerce.number().int().catch(defaultPerPage),
}

export function orderRoutes(server: HttpServer, db: Kysely<OrderTables>, now: () => number): void {
  server.get(
    '/getOrderDetails',
    { schema: { tags: ['orders'], summary: 'One order', querystring: z.object({ orderId: storableText }) } },
    async ({ query: { orderId } }) => {
      const order = await findOrder(db, orderId)
      if (order === undefined) throw noOrder(orderId)
      return orderJson(order)
    },
  )

  server.get(
    '/orders',
    {
      schema: {
        tags: ['orders'],
        summary: 'Orders, newest first',
        querystring: z.object({
          ...paging,
          status: z.string().optional(),
          runnerId: storableText.optional().or(z.literal('')),
        }),
      },
    },
    ({ query: { page, limit, status, runnerId } }) =>
      pageOf(db, { status: readStatus(status), runnerId: runnerId === '' ? undefined : runnerId }, page, limit),
  )

  server.get(
    '/orders/customer/:customer_id',
    {
      schema: {
        tags: ['orders'],
        summary: 'Orders of one customer, newest first',
        params: z.object({ customer_id: storableText }),
        querystring: z.object(paging),
      },
    },
    ({ params, query: { page, limit } }) => pageOf(db, { customerId: params.customer_id }, page, limit),
  )

  server.post(
    '/verifyAndAcceptOrder',
    {
      schema: {
        tags: ['orders'],
        summary: 'A runner takes an order; of several at once exactly one gets it',
        body: z.object({ orderId: storableText, runner_id: storableText }),
      },
    },
    async ({ body: { orderId, runner_id } }) => {
      const accepted = await accept(db, orderId, runner_id, now())
      if (accepted !== undefined) return { success: true, message: 'Order accepted', order_id: orderId }
      const order = await findOrder(db, orderId)
      if (order === undefined) throw noOrder(orderId)
      throw new HttpError(400, `Order ${orderId} is ${order.status}: only one that is CREATED can be accepted.`)
    },
  )
}

async function pageOf(db: Kysely<OrderTables>, filter: OrderFilter, asked: number, askedLimit: number) {
  const limit = askedLimit < 1 ? 20 : Math.min(askedLimit, mostPerPage)
  const { rows, total } = await listOrders(db, filter, Math.max(asked, 1), limit)
  return { items: rows.map(orderJson), total, pages: Math.ceil(total / limit), page: Math.max(asked, 1) }
}

function readStatus(text: string | undefined): OrderStatus | undefined {
  if (text === undefined || text === '') return undefined
  const status = text.toUpperCase()
  if (isOrderStatus(status)) return status
  throw new HttpError(400, `There is no status ${text}. Use one of ${orderStatuses.join(', ')}.`)
}

function noOrder(orderId: string): HttpError {
  return new HttpError(404, `There is no order ${orderId}.`)
}
