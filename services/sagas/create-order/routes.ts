/**
 * The HTTP routes of the Create Order saga: each under `/api`, as its README has it, and at the root, as its
 * other clients call it.
 */
import type { SagaDefinition } from 'ordersaga/definition'
import { z } from 'zod'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { decimalOf, leastChargeCents } from '../../shared/money/money.ts'
import { OrderRequest, readOrderDetails } from '../../shared/order-details.ts'
import { addReads, Status } from '../orchestrator/reads.ts'
import { addActions, addCancel, cancelAndWait } from '../orchestrator/requests.ts'
import { operation, type Shell } from '../orchestrator/shell.ts'
import { addStart } from '../orchestrator/starting.ts'
import { addUpdates } from '../orchestrator/updates.ts'
import { createOrderPresenter as presenter } from './presenter.ts'
import { byTimer, type CreateOrderInput } from './saga.ts'

const Started = z.object({
  success: z.literal(true),
  saga_id: z.string().meta({ example: exampleIds.saga }),
  status: Status,
  message: z.string().meta({ example: `Order creation started; follow it at /api/sagas/${exampleIds.saga}` }),
})

/** As a cancel is told of. */
const subject = 'order'

export function createOrderRoutes(shell: Shell, definition: SagaDefinition<CreateOrderInput>): void {
  for (const prefix of ['/api', '']) {
    addStart(shell, {
      path: `${prefix}/orders`,
      operationId: operation('create_order', prefix),
      summary: 'Start a Create Order saga',
      definition,
      body: OrderRequest,
      asker: ({ customer_id }) => customer_id,
      input: ({ customer_id, order_details }) => ({ customer_id, order_details, amount: priced(order_details) }),
      status: 202,
      answer: Started,
      answerOf: ({ id, state }) => ({
        success: true as const,
        saga_id: id,
        status: state.status,
        message: `Order creation started; follow it at /api/sagas/${id}`,
      }),
    })
    addReads(shell, { prefix, definition: definition.name, keyName: 'customer_id', presenter })
    addUpdates(shell, {
      path: `${prefix}/sagas/:saga_id/updates`,
      operationId: operation('follow_saga', prefix),
      tells: 'moves',
      presenter,
    })
    addCancel(shell, {
      prefix,
      summary: 'Cancel the order',
      description: 'A completed order is cancelled only while no runner has accepted it; the Order Service decides.',
      by: 'customer',
      reason: 'Manual cancellation requested by user',
      subject,
    })
    addActions(shell, prefix)
    addTimerCallback(shell, prefix)
  }
  // Where the original has its API page.
  shell.server.get('/apidocs/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/docs/'))
}

/** What would be refused later is refused here: later, the saga could only be undone. */
function priced(details: Readonly<Record<string, unknown>>): number {
  const order = readOrderDetails(details)
  if (!order.ok) throw new HttpError(400, order.why)
  if (order.value.totalCents < leastChargeCents)
    throw new HttpError(400, `The order must cost at least ${decimalOf(leastChargeCents).toFixed(2)}; add an item.`)
  return order.value.totalCents
}

/** The older way in which a timer service tells of an expiry. Unlike the original it acts on it. */
function addTimerCallback({ server, engine, ask }: Shell, prefix: string): void {
  server.post(
    `${prefix}/timer-callback`,
    {
      schema: {
        operationId: operation('timer_callback', prefix),
        tags: ['sagas'],
        summary: 'A timer has expired',
        body: z.object({
          saga_id: z.string('send saga_id, a text').min(1).max(100).meta({ example: exampleIds.saga }),
          order_id: z.string().optional().meta({ example: exampleIds.order }),
          timer_id: z.string().optional().meta({ example: exampleIds.timer }),
        }),
        response: {
          200: z.object({
            success: z.literal(true),
            message: z.string().meta({ example: 'Timeout taken in; the order is being cancelled.' }),
          }),
        },
      },
      config: { refuses: [404] },
    },
    async (request) => {
      request.sagaId = request.body.saga_id
      const refused = await ask(() => cancelAndWait(engine, request.body.saga_id, { ...byTimer, subject }))
      return { success: true as const, message: refused ?? 'Timeout taken in; the order is being cancelled.' }
    },
  )
}
