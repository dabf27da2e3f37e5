/**
 * What the User Service can be asked over messages, and how it answers (docs/wire-contract.md).
 *
 * Answers are read loosely: test clients send other fields in `payment_info`, or none at all.
 */
import { participantContract } from 'ordersaga/contract'
import { z } from 'zod'
import { completeOrderFailed, partInCompleteOrder, speaksOfOrder } from '../shared/complete-order.ts'
import { storableText } from '../shared/database/text.ts'

const user = participantContract('user', { tombstones: true })

export const getPaymentInfo = user.command('get_payment_info', {
  payload: z.object({ user_id: storableText }),
  done: [
    'user.payment_info_retrieved',
    z.object({
      payment_info: z
        .looseObject({ stripeCustomerId: z.string().nullish(), paymentMethodId: z.string().nullish() })
        .nullish(),
    }),
  ],
  rejected: ['user.payment_info_failed', z.object({ error: z.string() })],
})

/** How a runner is paid. Who sends no `runner_id` asks about the runner of the order. */
export const getRunnerPaymentInfo = partInCompleteOrder('user').command('get_runner_payment_info', {
  payload: z.object({ order_id: storableText, runner_id: storableText.nullish() }),
  done: [
    'runner.payment_info_retrieved',
    /** The information is for the Payment Service alone: forwarded as it is. */
    z.looseObject({ payment_info: z.record(z.string(), z.unknown()).nullish().catch(null) }).catch({}),
  ],
  rejected: completeOrderFailed,
  verdict: ({ payment_info }) => (payment_info == null ? 'nothing is known of how the runner is paid' : null),
  belongs: speaksOfOrder,
})
