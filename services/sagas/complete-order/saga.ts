/**
 * The Complete Order saga (docs/wire-contract.md 2): the order was delivered, learn how its runner is paid, pay the runner,
 * complete the order. Pure: what runs it, and over what, is decided elsewhere.
 *
 * Paying is the point of no return: until then the order goes back to what it was before; after it the order is completed,
 * however often that must be asked for.
 */
import { defineSaga } from 'ordersaga'
import type { SagaDefinition } from 'ordersaga/definition'
import { defaultRetry, forever } from 'ordersaga/retry'
import { z } from 'zod'
import { completeOrder, deliverOrder, takeDeliveryBack } from '../../order/messages.ts'
import { releaseFunds } from '../../payment/messages.ts'
import { storableText } from '../../shared/database/text.ts'
import { getRunnerPaymentInfo } from '../../user/messages.ts'

export const CompleteOrderInput = z.object({ order_id: storableText })
export type CompleteOrderInput = z.infer<typeof CompleteOrderInput>

export interface CompleteOrderOptions {
  /** How long an attempt may take, in milliseconds. */
  readonly attemptMs?: number
}

/** About ten minutes: a person is asked only where nothing helps. */
const undoRetry = { ...defaultRetry, tries: 25 }

export function completeOrderSaga({
  attemptMs = 10_000,
}: CompleteOrderOptions = {}): SagaDefinition<CompleteOrderInput> {
  return defineSaga('complete-order', { version: 1, input: CompleteOrderInput })
    .step('deliver', {
      do: deliverOrder,
      with: ({ input }) => ({ order_id: input.order_id, status: 'DELIVERED' }),
      keep: (told) => ({
        runner_id: told?.runner_id ?? null,
        previous_status: told?.previous_status ?? 'ON_THE_WAY', // a foreign service does not say
      }),
      undo: takeDeliveryBack,
      undoWith: ({ input, reply }) => ({
        order_id: input.order_id,
        status: reply?.previous_status ?? 'ON_THE_WAY',
      }),
      undoRetry,
      attemptMs,
    })
    .step('runner', {
      do: getRunnerPaymentInfo,
      effect: 'none',
      with: ({ input, replies: { deliver } }) => ({
        order_id: input.order_id,
        ...(deliver.runner_id === null ? {} : { runner_id: deliver.runner_id }),
      }),
      keep: ({ payment_info }) => ({ payment_info: payment_info ?? {} }),
      attemptMs,
    })
    .step('release', {
      do: releaseFunds,
      retry: forever, // while it is unknown whether the runner has the money, nothing else can be done
      with: ({ input, replies: { runner } }) => ({
        order_id: input.order_id,
        runnerPaymentInfo: runner.payment_info,
      }),
      keep: () => null,
      attemptMs,
    })
    .pivot()
    .step('complete', {
      do: completeOrder,
      with: ({ input }) => ({ order_id: input.order_id, status: 'COMPLETED' }),
      onRejected: 'retry',
      retry: forever,
      keep: () => null,
      attemptMs,
    })
    .end({ businessKey: ({ input }) => input.order_id })
}
