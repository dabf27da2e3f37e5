/**
 * What the Payment Service can be asked over messages, and how it answers (contract 1.5, 1.6 and 6.2).
 *
 * Payloads are read loosely, because foreign services send other fields and leave some out. `payment.released` answers
 * both the revert and the release; its `status` says which.
 */
import { participantContract, type ReplyMessage } from 'ordersaga/contract'
import { z } from 'zod'
import { storableText } from '../database/text.ts'

/** `error` is a code of contract 6.2, such as `STRIPE_CARD_ERROR`. */
const failure = z.looseObject({
  error: z.string(),
  message: z.string().nullish(),
  payment_id: z.string().nullish(),
  order_id: z.string().nullish(),
})

/** The form that the original Payment Service accepts: whole cents under `order`, the card under `customer`. */
const currentForm = z.object({
  order_id: storableText,
  customer: z.object({
    clerkUserId: storableText,
    stripeCustomerId: storableText.nullish(),
    userStripeCard: z.object({ payment_method_id: storableText.nullish() }).nullish(),
  }),
  order: z.object({ amount: z.int(), description: storableText.nullish() }),
  return_url: storableText.nullish(),
})

/** The form of seed 001: a decimal amount, and the payment data as the User Service gave it. */
const olderForm = z.object({
  order_id: storableText,
  customer_id: storableText,
  amount: z.union([z.number(), z.string()]),
  payment_info: z.record(z.string(), z.unknown()).nullish(),
})

export type AuthorizePayment = z.infer<typeof currentForm> | z.infer<typeof olderForm>

const payment = participantContract('payment', { tombstones: true })

export const authorizePayment = payment.command('authorize_payment', {
  payload: z.union([currentForm, olderForm]),
  done: [
    'payment.authorized',
    z.looseObject({
      payment_id: z.string().min(1),
      order_id: z.string().nullish(),
      payment_intent_id: z.string().nullish(),
      status: z.string().nullish(),
    }),
  ],
  rejected: ['payment.failed', failure],
})

/** The undo of `authorize_payment`. Names the payment, the order, or only the command that it undoes. */
export const revertPayment = payment.command('revert_payment', {
  payload: z.object({
    payment_id: storableText.nullish(),
    order_id: storableText.nullish(),
    reason: z.string().nullish(),
  }),
  done: ['payment.released', z.looseObject({ payment_id: z.string().nullish(), status: z.string() })],
  rejected: ['payment.failed', failure],
  safeOnNothing: true,
  belongs: (reply, asked) =>
    isAbout(asked.payment_id, reply) && (isFailure(reply) || field(reply, 'status') === 'REVERTED'),
})

/** Takes the held money and gives it to the runner. */
export const releasePayment = payment.command('release_payment', {
  payload: z.object({ payment_id: storableText, runner_id: storableText, runner_connect_account_id: storableText }),
  done: [
    'payment.released',
    z.looseObject({
      payment_id: z.string().nullish(),
      runner_id: z.string().nullish(),
      /** Decimal. */
      amount: z.number().nullish(),
      status: z.string(),
      transfer_id: z.string().nullish(),
    }),
  ],
  rejected: ['payment.failed', failure],
  belongs: (reply, asked) =>
    isAbout(asked.payment_id, reply) && (isFailure(reply) || field(reply, 'status') === 'SUCCEEDED'),
})

const isFailure = (reply: ReplyMessage): boolean => reply.type === 'payment.failed'

/** Where one of the two names no payment, the type and the saga have to do. */
function isAbout(asked: string | null | undefined, reply: ReplyMessage): boolean {
  const said = field(reply, 'payment_id')
  return asked == null || said == null || said === asked
}

function field({ payload }: ReplyMessage, name: string): unknown {
  return typeof payload === 'object' && payload !== null
    ? (payload as Readonly<Record<string, unknown>>)[name]
    : undefined
}
