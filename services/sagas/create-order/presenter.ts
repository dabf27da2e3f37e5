/** Sagas as the clients of port 3101 know them. */
import type { Event } from 'ordersaga/events'
import { stepOf } from 'ordersaga/core'
import type { SagaState } from 'ordersaga/state'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { exampleIds } from '../../shared/http/examples.ts'
import { decimalOf } from '../../shared/money/money.ts'
import { OrderRequest } from '../../shared/order-details.ts'
import { UtcText, utcText } from '../../shared/time/utc.ts'
import type { Presenter } from '../orchestrator/presenter.ts'
import { Status } from '../orchestrator/reads.ts'
import { wordsOf, type StepWords } from '../orchestrator/step-words.ts'
import { CreateOrderInput } from './saga.ts'

/** `current_step` and the beginning of `error`, by step of the saga. */
const steps: StepWords = {
  create: { name: 'CREATE_ORDER', failed: 'Order creation failed' },
  payer: { name: 'GET_USER_DATA', failed: 'Failed to get payment info' },
  authorise: { name: 'AUTHORIZE_PAYMENT', failed: 'Payment authorization failed' },
  confirm: { name: 'UPDATE_ORDER_STATUS', failed: 'Failed to update order status' },
  timer: { name: 'START_TIMER', failed: 'Failed to start the timer' },
}

const order = Object.keys(steps)
const { stepName, errorOf } = wordsOf(steps)

/** What the User Service tells of a card is for the saga alone. */
const secretSteps = ['payer']

const SagaSummary = z.object({
  id: z.string().meta({ example: exampleIds.saga }),
  customer_id: z.string().meta({ example: exampleIds.customer }),
  order_id: z.string().nullable().meta({ example: exampleIds.order }),
  status: Status,
  current_step: z.string().nullable().meta({ example: 'AUTHORIZE_PAYMENT' }),
  created_at: UtcText,
  updated_at: UtcText,
})

const SagaView = SagaSummary.extend({
  error: z.string().nullable().meta({ example: 'Payment authorization failed: Your card was declined.' }),
  completed_at: UtcText.nullable(),
  payment_id: z.string().nullable().meta({ example: exampleIds.payment }),
  payment_amount: z.number().meta({ description: 'Decimal SGD', example: 12.99 }),
  order_details: OrderRequest.shape.order_details,
  cancel: z
    .object({ by: z.string().meta({ example: 'customer' }), reason: z.string().meta({ example: 'changed my mind' }) })
    .nullable()
    .describe('Who asked for the cancel and why; not an error'),
  steps: z
    .array(
      z.object({
        step: z.string().meta({ example: 'AUTHORIZE_PAYMENT' }),
        phase: z.string().meta({ example: 'done' }),
        attempts: z.int().meta({ example: 1 }),
      }),
    )
    .describe('Those that have begun'),
})

function summaryOf(saga: StoredSaga): z.infer<typeof SagaSummary> {
  return {
    id: saga.id,
    customer_id: CreateOrderInput.parse(saga.state.input).customer_id,
    order_id: replyField(saga.state, 'create', 'order_id'),
    status: saga.state.status,
    current_step: currentStep(saga.state),
    created_at: utcText(saga.createdAt),
    updated_at: utcText(saga.updatedAt),
  }
}

function viewOf(saga: StoredSaga): z.infer<typeof SagaView> {
  const { state } = saga
  const input = CreateOrderInput.parse(state.input)
  return {
    ...summaryOf(saga),
    error: errorOf(state),
    completed_at: state.endedAt === null ? null : utcText(state.endedAt),
    payment_id: replyField(state, 'authorise', 'payment_id'),
    payment_amount: decimalOf(input.amount),
    order_details: input.order_details,
    cancel: state.cancel === null ? null : { by: state.cancel.by, reason: state.cancel.reason },
    steps: order
      .map((name) => ({ name, ...stepOf(state, name) }))
      .filter(({ phase }) => phase !== 'todo')
      .map(({ name, phase, attempts }) => ({ step: stepName(name), phase, attempts })),
  }
}

/** An event with its steps named as clients know them. */
function eventView(event: Event): object {
  if (event.type === 'SagaFailed') return { ...event, leftBehind: event.leftBehind.map(stepName) }
  if (!('step' in event)) return event
  const shown = { ...event, step: stepName(event.step) }
  return 'reply' in shown && secretSteps.includes(event.step) ? { ...shown, reply: null } : shown
}

const currentStep = ({ stage }: SagaState): string => stepName(order[Math.min(stage, order.length - 1)] as string)

function replyField(state: SagaState, step: string, field: string): string | null {
  const reply = stepOf(state, step).reply as Readonly<Record<string, unknown>> | undefined
  const value = reply?.[field]
  return typeof value === 'string' ? value : null
}

export const createOrderPresenter = {
  summary: SagaSummary,
  view: SagaView,
  summaryOf,
  viewOf,
  eventView,
  secretSteps,
} satisfies Presenter<z.infer<typeof SagaSummary>, z.infer<typeof SagaView>>
