/** The HTTP routes of the Complete Order saga (docs/wire-contract.md 2.1), where its clients look for them. */
import type { SagaDefinition } from 'ordersaga/definition'
import { z } from 'zod'
import type { OrderReader } from '../../order/reader.ts'
import { storableText } from '../../shared/database/text.ts'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { UtcText, utcText } from '../../shared/time/utc.ts'
import { Status } from '../orchestrator/reads.ts'
import type { Shell } from '../orchestrator/shell.ts'
import { addStart } from '../orchestrator/starting.ts'
import { addUpdates } from '../orchestrator/updates.ts'
import { completeOrderPresenter as presenter } from './presenter.ts'
import type { CompleteOrderInput } from './saga.ts'

const prefix = '/saga/complete'

const Delivered = z.object({
  orderId: storableText.meta({ description: 'The order that its runner has delivered', example: exampleIds.order }),
  runnerId: storableText
    .optional()
    .meta({ description: 'Who says so: an order of another runner is refused', example: exampleIds.runner }),
})

const Started = z.object({
  message: z
    .string()
    .meta({ example: `The order is being completed; follow it at ${prefix}/orderUpdateStream/${exampleIds.saga}` }),
  orderId: z.string().meta({ example: exampleIds.order }),
  sagaId: z.string().meta({ example: exampleIds.saga }),
  status: Status,
  timestamp: UtcText,
})

export interface CompleteOrderParts {
  readonly definition: SagaDefinition<CompleteOrderInput>
  readonly orders: OrderReader
}

export function completeOrderRoutes(shell: Shell, { definition, orders }: CompleteOrderParts): void {
  addStart(shell, {
    path: `${prefix}/completeOrder`,
    operationId: 'complete_order',
    summary: 'Completes an order that its runner has delivered: pays the runner',
    description:
      'An order has one such saga: asked again, the one that runs or ran is answered. After one that came to nothing (FAILED, COMPENSATED, CANCELLED) a new one begins.',
    definition,
    body: Delivered,
    admit: ({ orderId, runnerId }) =>
      runnerId === undefined ? Promise.resolve() : mustBeHis(orders, orderId, runnerId),
    input: ({ orderId }) => ({ order_id: orderId }),
    oneFor: ({ orderId }) => orderId,
    status: 200,
    answer: Started,
    answerOf: ({ id, state, createdAt }, { orderId }) => ({
      message: `The order is being completed; follow it at ${prefix}/orderUpdateStream/${id}`,
      orderId,
      sagaId: id,
      status: state.status,
      timestamp: utcText(createdAt),
    }),
    refuses: [404],
  })
  addUpdates(shell, {
    path: `${prefix}/orderUpdateStream/:saga_id`,
    operationId: 'follow_order_completion',
    tells: 'states',
    presenter,
    unknown: (sagaId) => ({ error: `There is no saga ${sagaId}.` }),
  })
}

async function mustBeHis(orders: OrderReader, orderId: string, runnerId: string): Promise<void> {
  const order = await orders(orderId).catch((error: unknown) => {
    throw new HttpError(503, `It cannot be seen whose order it is: ${(error as Error).message}.`, 5)
  })
  // Of another's order no more is told than of one that is not there.
  if (order?.runnerId !== runnerId) throw new HttpError(404, `There is no order ${orderId} of runner ${runnerId}.`)
}
