/** Orders made over HTTP, without a saga: `/createOrder`, and `/testCreateOrder` where it is switched on. */
import { fingerprintOf } from 'ordersaga/engine/fingerprint'
import { eventChannel } from 'ordersaga/transport'
import { z } from 'zod'
import type { Outbox } from '../../shared/database/outbox.ts'
import { errorAlone, failureWithError, type ErrorShape } from '../../shared/http/error-shapes.ts'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { IdempotencyKey, keyOf } from '../../shared/http/idempotency-key.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import { OrderRequest, readOrderDetails, type OrderContent } from '../../shared/order-details.ts'
import { orderEvent } from '../events.ts'
import { insertOrderOfRequest, type OrderOfRequest } from '../rows.ts'
import type { OrderTables } from '../schema.ts'

export interface CreationOptions {
  readonly outbox: Outbox<OrderTables>
  readonly now: () => number
  /** Whether `/testCreateOrder` works. */
  readonly testRoutes: boolean
}

const tags = ['orders']

type Body = z.infer<typeof OrderRequest>

const Created = z.object({
  success: z.literal(true),
  order_id: z.string().meta({ example: exampleIds.order }),
  message: z.string().meta({ example: 'Order created' }),
})

/** What is our fault has another shape here (docs/wire-contract.md). */
const errors: ErrorShape = {
  schema: errorAlone.schema,
  body: (status, error) => (status < 500 ? errorAlone : failureWithError).body(status, error),
}
const ours = { 500: failureWithError.schema, 503: failureWithError.schema }

export function orderCreation(server: HttpServer, options: CreationOptions): void {
  const { outbox, now } = options

  server.post(
    '/createOrder',
    {
      config: { errors, refuses: [422] },
      schema: {
        operationId: 'create_order',
        tags,
        summary: 'Makes a PENDING order without a saga',
        description:
          'The header Idempotency-Key makes a repeated request safe: the same key and body give the same order.',
        body: OrderRequest,
        headers: z.object({ 'idempotency-key': IdempotencyKey }),
        response: { 201: Created, ...ours },
      },
    },
    async (request, reply) => {
      const asked = newOrder(request.body, request.headers['idempotency-key'])
      const order = await outbox.transaction(async (tx, tell) => {
        const { order, made } = await insertOrderOfRequest(tx, asked, now())
        if (made) await tell(eventChannel('order'), orderEvent('created', order, now()))
        return order
      })
      if (asked.request !== null && order.request_hash !== asked.request.hash) {
        throw new HttpError(
          422,
          `The Idempotency-Key was used for another order: send each order under a key of its own.`,
        )
      }
      return reply.code(201).send({ success: true, order_id: order.order_id, message: 'Order created' })
    },
  )

  server.post(
    '/testCreateOrder',
    {
      config: { errors, refuses: [404] },
      schema: {
        operationId: 'create_test_order',
        tags,
        summary: 'Makes a PENDING order of which nobody is told, for tests',
        hide: !options.testRoutes,
        body: OrderRequest,
        response: { 201: Created, ...ours },
      },
      // Before the body is looked at: where it is off, no body is right.
      onRequest: async () => {
        if (!options.testRoutes) throw new HttpError(404, 'Test routes are off here: use POST /createOrder.')
      },
    },
    async (request, reply) => {
      const { order } = await outbox.transaction((tx) =>
        insertOrderOfRequest(tx, newOrder(request.body, undefined), now()),
      )
      return reply.code(201).send({ success: true, order_id: order.order_id, message: 'Test order created' })
    },
  )
}

function newOrder({ customer_id, order_details }: Body, sent: string | undefined): OrderOfRequest {
  const key = sent === undefined ? undefined : keyOf(customer_id, sent)
  return {
    customerId: customer_id,
    content: contentOf(order_details),
    request: key === undefined ? null : { key, hash: fingerprintOf([customer_id, order_details]) },
  }
}

function contentOf(details: Body['order_details']): OrderContent {
  const content = readOrderDetails(details)
  if (!content.ok) throw new HttpError(400, content.why)
  return content.value
}
