/**
 * What the User Service can be asked over messages, and how it answers (docs/wire-contract.md).
 *
 * Answers are read loosely: test clients send other fields in `payment_info`, or none at all.
 */
import { participantContract } from 'ordersaga/contract'
import { z } from 'zod'
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
