/**
 * The Order Orchestration saga (docs/wire-contract.md 5): take the products out of stock, take the payment, create the order,
 * tell order and payment of each other. Pure: what runs it, and over what, is decided elsewhere; who asks was verified before.
 *
 * Telling the order of its payment is the point of no return: until then everything is undone on a failure or a cancel. A
 * completed order can still be cancelled; who keeps the orders decides, by obeying or refusing the undo of `order`.
 *
 * Each participant may be ours or a foreign one (`order-orchestration.ts`). A foreign one obeys every copy of a command anew,
 * so that it is asked once and given long: after silence its part is undone, behind it in the same queue. But one that keeps
 * orders never comes back from an undo of an order that it does not have, so that there a person is asked.
 */
import { defineSaga } from 'ordersaga'
import type { SagaDefinition } from 'ordersaga/definition'
import { defaultRetry, forever } from 'ordersaga/retry'
import { z } from 'zod'
import { storableText } from '../../shared/database/text.ts'
import { decimalOf, mostCents } from '../../shared/money/money.ts'
import type { Answering } from '../../shared/order-orchestration.ts'
import { orderStatuses, shopOrderCommands } from '../../shop-order/messages.ts'
import { paymentMethods, shopPaymentCommands } from '../../shop-payment/messages.ts'
import { mostLines, mostQuantity, stockCommands } from '../../stock/messages.ts'

export const parts = ['stock', 'payment', 'order'] as const
export type Part = (typeof parts)[number]

export const OrderOrchestrationInput = z.object({
  user_email: storableText,
  vendor_email: storableText,
  delivery_address: storableText,
  description: storableText.nullable(),
  status: z.enum(orderStatuses),
  items: z
    .array(
      z.object({
        product_id: storableText,
        quantity: z.int().min(1).max(mostQuantity),
        /** In cents. */
        unit_price: z.int().min(0).max(mostCents),
      }),
    )
    .min(1)
    .max(mostLines)
    .readonly(),
  payment_method: z.enum(paymentMethods),
  /** The whole order, in cents; computed once, when the saga starts. */
  amount: z.int().min(1).max(mostCents),
})
export type OrderOrchestrationInput = z.infer<typeof OrderOrchestrationInput>

export interface OrderOrchestrationOptions {
  /** How long an attempt at one of ours may take, in milliseconds. */
  readonly attemptMs?: number
  /** How long a foreign participant may take, in milliseconds. */
  readonly foreignMs?: number
}

/** About ten minutes: a person is asked only where nothing helps. */
const undoRetry = { ...defaultRetry, tries: 25 }

/** Each choice is a version of its own: a saga is asked for, and undone, by those with whom it began. */
const bits: Readonly<Record<Part, number>> = { stock: 1, payment: 2, order: 4 }
const versionOf = (foreign: readonly Part[]): number =>
  parts.reduce((sum, part) => sum + (foreign.includes(part) ? bits[part] : 0), 1)

/** The saga with every choice of foreign participants: those that began under another one go on under it. */
export const everyOrderOrchestration = (
  options: OrderOrchestrationOptions = {},
): readonly SagaDefinition<OrderOrchestrationInput>[] =>
  Array.from({ length: 2 ** parts.length }, (_, mask) =>
    orderOrchestrationSaga(
      parts.filter((part) => (mask & bits[part]) !== 0),
      options,
    ),
  )

/** @param foreign who of the participants is a foreign one */
export function orderOrchestrationSaga(
  foreign: readonly Part[] = [],
  { attemptMs = 10_000, foreignMs = 60_000 }: OrderOrchestrationOptions = {},
): SagaDefinition<OrderOrchestrationInput> {
  const who = (part: Part): Answering => (foreign.includes(part) ? 'foreign' : 'ours')
  const patience = (part: Part): number => (foreign.includes(part) ? foreignMs : attemptMs)
  /** After silence: asked again; of a foreign one, `otherwise`. */
  const silence = <T extends 'undo' | 'park'>(part: Part, otherwise: T) =>
    foreign.includes(part) ? otherwise : ('repeat' as const)
  const { reduceStock, rollbackStock } = stockCommands[who('stock')]
  const { takePayment, rollbackPayment, updatePaymentOrderId } = shopPaymentCommands[who('payment')]
  const { createOrder, rollbackOrder, updateOrderPaymentId } = shopOrderCommands[who('order')]

  return defineSaga('order-orchestration', { version: versionOf(foreign), input: OrderOrchestrationInput })
    .step('stock', {
      do: reduceStock,
      with: ({ input }) => ({ products: input.items.map(({ product_id, quantity }) => ({ product_id, quantity })) }),
      keep: () => null,
      undo: rollbackStock,
      undoWith: ({ sagaId }) => ({ transaction_id: sagaId }),
      undoRetry,
      onUnknown: silence('stock', 'undo'),
      attemptMs: patience('stock'),
    })
    .step('payment', {
      do: takePayment,
      with: ({ input }) => ({
        user_email: input.user_email,
        order_id: null,
        amount: decimalOf(input.amount),
        payment_method: input.payment_method,
        payment_status: 'Pending',
      }),
      keep: ({ payment_id }) => ({ payment_id }),
      undo: rollbackPayment,
      undoWith: ({ reply }) => ({ payment_id: reply?.payment_id ?? null }),
      undoRetry,
      onUnknown: silence('payment', 'undo'),
      attemptMs: patience('payment'),
    })
    .step('order', {
      do: createOrder,
      with: ({ input }) => ({
        user_email: input.user_email,
        vendor_email: input.vendor_email,
        delivery_address: input.delivery_address,
        description: input.description,
        status: input.status,
        items: input.items.map((item) => ({ ...item, unit_price: decimalOf(item.unit_price) })),
      }),
      keep: ({ order_id }) => ({ order_id }),
      undo: rollbackOrder,
      undoWith: () => ({}),
      undoRetry,
      onUnknown: silence('order', 'park'),
      attemptMs: patience('order'),
    })
    .step('order-told', {
      do: updateOrderPaymentId,
      retry: forever, // the point of no return: while it is unknown whether it was reached, nothing else can be done
      with: ({ replies: { order, payment } }) => ({ order_id: order.order_id, payment_id: payment.payment_id }),
      keep: () => null,
      attemptMs,
    })
    .pivot()
    .step('payment-told', {
      do: updatePaymentOrderId,
      retry: forever,
      onRejected: 'retry',
      with: ({ replies: { order, payment } }) => ({ payment_id: payment.payment_id, order_id: order.order_id }),
      keep: () => null,
      attemptMs,
    })
    .end({
      cancelDecidedBy: 'order',
      businessKey: ({ replies }) => replies.order?.order_id,
    })
}
