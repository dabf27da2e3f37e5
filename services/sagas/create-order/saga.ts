/**
 * The Create Order saga (docs/wire-contract.md 1): create the order, learn how the customer pays, authorise the
 * payment, confirm the order, start the timer. Pure: what runs it, and over what, is decided elsewhere.
 *
 * Confirming is the point of no return: until then everything is undone on a failure or a cancel; after it only the timer
 * is left, and it is repeated, not undone. A completed order can still be cancelled while no runner has accepted it: the
 * Order Service decides, by obeying or refusing the undo of `create`.
 */
import { defineSaga } from 'ordersaga'
import type { SagaDefinition } from 'ordersaga/definition'
import { defaultRetry, forever } from 'ordersaga/retry'
import { z } from 'zod'
import { cancelOrder, createOrder, orderHappened, updateOrderStatus } from '../../order/messages.ts'
import { authorizePayment, revertPayment } from '../../payment/messages.ts'
import { cancelOrderTimer, orderTimeout, startOrderTimer } from '../../timer/messages.ts'
import { getPaymentInfo } from '../../user/messages.ts'

export const CreateOrderInput = z.object({
  customer_id: z.string(),
  order_details: z.record(z.string(), z.unknown()),
  /** The whole order, in cents; computed once, when the saga starts. */
  amount: z.int(),
})
export type CreateOrderInput = z.infer<typeof CreateOrderInput>

export interface CreateOrderOptions {
  /** How long a runner has to accept, in milliseconds; 30 minutes as documented (docs/wire-contract.md 1.10). */
  readonly timerMs: number
  /** How long an attempt may take, in milliseconds. */
  readonly attemptMs?: number
}

/**
 * An undo is tried for about ten minutes, longer than a server or a broker takes to come back: a person is asked only
 * where nothing helps.
 */
const undoRetry = { ...defaultRetry, tries: 25 }

/** The timer is tried for about a minute; then the saga keeps the time itself. */
const timerRetry = { ...defaultRetry, tries: 6, maxMs: 20_000 }

/** Who cancels an order that no runner has taken in time. */
export const byTimer = { by: 'timer', reason: 'Order timed out (30 minutes)' } as const

const byOrderService = { by: 'order-service', reason: 'The order was cancelled at the Order Service' } as const

export function createOrderSaga({ timerMs, attemptMs = 10_000 }: CreateOrderOptions): SagaDefinition<CreateOrderInput> {
  return defineSaga('create-order', { version: 1, input: CreateOrderInput })
    .step('create', {
      do: createOrder,
      keep: ({ order_id }) => ({ order_id }),
      with: ({ input, sagaId }) => ({
        customer_id: input.customer_id,
        order_details: input.order_details,
        saga_id: sagaId,
        correlation_id: sagaId,
      }),
      undo: cancelOrder,
      undoWith: ({ reply, reason, sagaId }) => ({
        order_id: reply?.order_id,
        reason,
        correlation_id: sagaId,
        only_without_runner: true,
      }),
      undoRetry,
      attemptMs,
    })
    .step('payer', {
      do: getPaymentInfo,
      effect: 'none',
      with: ({ input }) => ({ user_id: input.customer_id }),
      keep: ({ payment_info }) => ({
        stripeCustomerId: payment_info?.stripeCustomerId ?? null,
        paymentMethodId: payment_info?.paymentMethodId ?? null,
      }),
      attemptMs,
    })
    .step('authorise', {
      do: authorizePayment,
      keep: ({ payment_id }) => ({ payment_id }),
      with: ({ input, replies: { create, payer } }) => ({
        order_id: create.order_id,
        customer: {
          clerkUserId: input.customer_id,
          stripeCustomerId: payer.stripeCustomerId,
          userStripeCard: { payment_method_id: payer.paymentMethodId },
        },
        order: { amount: input.amount, description: `Order ${create.order_id}` },
        return_url: 'https://localhost:5173/customer/history',
      }),
      undo: revertPayment,
      undoWith: ({ reply, replies, reason }) => ({
        payment_id: reply?.payment_id,
        order_id: replies.create.order_id,
        reason,
      }),
      undoRetry,
      attemptMs,
    })
    .step('confirm', {
      do: updateOrderStatus,
      retry: forever, // the point of no return: while it is unknown whether it was reached, nothing else can be done
      with: ({ replies, sagaId }) => ({ order_id: replies.create.order_id, status: 'CREATED', correlation_id: sagaId }),
      keep: () => null,
      attemptMs,
    })
    .pivot()
    .step('timer', {
      do: startOrderTimer,
      with: ({ input, replies, since, sagaId }) => ({
        order_id: replies.create.order_id,
        customer_id: input.customer_id,
        timeout_at: new Date(since + timerMs).toISOString(),
        saga_id: sagaId,
      }),
      undo: cancelOrderTimer,
      undoWith: ({ replies, reason }) => ({ order_id: replies.create.order_id, reason }),
      undoRetry,
      onRejected: 'retry',
      onExhausted: 'continue',
      thenCancelAfterMs: timerMs,
      retry: timerRetry,
      keep: () => null,
      attemptMs,
    })
    .end({
      cancelDecidedBy: 'create',
      businessKey: ({ input }) => input.customer_id,
      follows: [
        { event: orderTimeout, reaction: 'cancel', ...byTimer },
        { event: orderHappened('cancelled'), reaction: 'cancel', ...byOrderService },
        // No order waits without a runner and without a time: given back, its timer is asked for again.
        { event: orderHappened('acceptanceCancelled'), reaction: 'ask', step: 'timer', withinMs: timerMs, ...byTimer },
        { event: orderHappened('runnerCleared'), reaction: 'ask', step: 'timer', withinMs: timerMs, ...byTimer },
      ],
    })
}
