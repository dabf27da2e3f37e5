/** Sagas as those who order know them. */
import { stepOf } from 'ordersaga/core'
import type { Event } from 'ordersaga/events'
import type { SagaState } from 'ordersaga/state'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { exampleIds } from '../../shared/http/examples.ts'
import { decimalOf } from '../../shared/money/money.ts'
import { UtcText, utcText } from '../../shared/time/utc.ts'
import type { Presenter } from '../orchestrator/presenter.ts'
import { Status } from '../orchestrator/reads.ts'
import { wordsOf } from '../orchestrator/step-words.ts'
import { OrderRequest } from './request.ts'
import { OrderOrchestrationInput } from './saga.ts'

/** `current_step` and the beginning of `error`, by step of the saga. */
const { currentStep, errorOf } = wordsOf({
  stock: { name: 'REDUCE_STOCK', failed: 'The products could not be taken out of stock' },
  payment: { name: 'TAKE_PAYMENT', failed: 'The payment could not be taken' },
  order: { name: 'CREATE_ORDER', failed: 'The order could not be created' },
  'order-told': { name: 'UPDATE_ORDER_PAYMENT_ID', failed: 'The order could not be told of its payment' },
  'payment-told': { name: 'UPDATE_PAYMENT_ORDER_ID', failed: 'The payment could not be told of its order' },
})

const OrderView = z.object({
  saga_id: z.string().meta({ description: 'Also the transaction of all messages', example: exampleIds.saga }),
  order_id: z.string().nullable().meta({ example: exampleIds.order }),
  payment_id: z.string().nullable().meta({ example: exampleIds.payment }),
  status: Status,
  current_step: z.string().meta({ description: 'The step that is under way, or was last', example: 'TAKE_PAYMENT' }),
  error: z
    .string()
    .nullable()
    .meta({ description: 'Why it failed, where it did', example: 'The payment could not be taken: declined' }),
  cancel: z
    .object({ by: z.string().meta({ example: 'customer' }), reason: z.string().meta({ example: 'asked for' }) })
    .nullable(),
  amount: z.number().meta({ example: 9 }),
  ...OrderRequest.pick({ user_email: true, vendor_email: true, delivery_address: true }).shape,
  description: z.string().nullable().meta({ example: 'Ring twice' }),
  items: OrderRequest.shape.items,
  payment_method: OrderRequest.shape.payment_method,
  created_at: UtcText,
  updated_at: UtcText,
})

function viewOf({ id, state, createdAt, updatedAt }: StoredSaga): z.infer<typeof OrderView> {
  const { amount, items, status: _status, ...input } = OrderOrchestrationInput.parse(state.input)
  return {
    saga_id: id,
    order_id: replyField(state, 'order', 'order_id'),
    payment_id: replyField(state, 'payment', 'payment_id'),
    status: state.status,
    current_step: currentStep(state),
    error: errorOf(state),
    cancel: state.cancel === null ? null : { by: state.cancel.by, reason: state.cancel.reason },
    amount: decimalOf(amount),
    ...input,
    items: items.map((item) => ({ ...item, unit_price: decimalOf(item.unit_price) })),
    created_at: utcText(createdAt),
    updated_at: utcText(updatedAt),
  }
}

export function replyField(state: SagaState, step: string, field: string): string | null {
  const reply = stepOf(state, step).reply as Readonly<Record<string, unknown>> | null | undefined
  const value = reply?.[field]
  return typeof value === 'string' ? value : null
}

export const orderPresenter = {
  summary: OrderView,
  view: OrderView,
  summaryOf: viewOf,
  viewOf,
  eventView: (event: Event) => event,
} satisfies Presenter<z.infer<typeof OrderView>, z.infer<typeof OrderView>>
