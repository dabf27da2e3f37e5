/**
 * What the Payment Service can be asked over messages, and how it answers (docs/wire-contract.md).
 *
 * On the wire a refusal is `payment.failed` with a code in `error` and a sentence in `message`; inside it is one text,
 * `CODE: sentence`. Answers are read loosely: foreign services leave fields out and add others.
 */
import { participantContract, type CommandContract, type ReplyMessage } from 'ordersaga/contract'
import { z } from 'zod'
import { partInCompleteOrder, releaseFailed, speaksOfOrder } from '../shared/complete-order.ts'
import { storableText } from '../shared/database/text.ts'

const payment = participantContract('payment', { tombstones: true })

/** The form that is sent today: whole cents. Producers without Stripe ids send null or nothing for them. */
const AuthorizeInCents = z.object({
  order_id: storableText,
  customer: z.object({
    clerkUserId: storableText,
    stripeCustomerId: storableText.nullish(),
    userStripeCard: z.object({ payment_method_id: storableText.nullish() }).nullish(),
  }),
  order: z.object({ amount: z.number(), description: storableText.nullish() }),
  return_url: storableText.nullish(),
})

/** The older form: decimals, and whatever the User Service said of the card. */
const AuthorizeInDecimals = z.object({
  order_id: storableText,
  customer_id: storableText,
  amount: z.union([z.number(), z.string()]),
  payment_info: z
    .looseObject({ stripeCustomerId: storableText.nullish(), paymentMethodId: storableText.nullish() })
    .nullish(),
})

const AuthorizePayload = z.union([AuthorizeInCents, AuthorizeInDecimals])
export type AuthorizePayload = z.infer<typeof AuthorizePayload>

const Failed = z.looseObject({ error: z.string(), message: z.string().nullish() })

const Released = z.looseObject({
  payment_id: z.string().nullish(),
  order_id: z.string().nullish(),
  status: z.string(),
  message: z.string().nullish(),
})

export const authorizePayment = withCodes(
  payment.command('authorize_payment', {
    payload: AuthorizePayload,
    done: [
      'payment.authorized',
      z.looseObject({
        payment_id: z.string().min(1),
        order_id: z.string().nullish(),
        payment_intent_id: z.string().nullish(),
        status: z.string().nullish(),
      }),
    ],
    rejected: ['payment.failed', Failed],
    verdict: ({ status }) => (status === 'FAILED' || status === 'REVERTED' ? `the payment is ${status}` : null),
  }),
)

/**
 * The undo of `authorize_payment`, and of a release. May name the payment, the order, or only the command that it undoes;
 * whatever has happened by then, nothing is held or taken afterwards.
 */
export const revertPayment = withCodes(
  payment.command('revert_payment', {
    payload: z.object({
      payment_id: storableText.nullish(),
      order_id: storableText.nullish(),
      reason: z.string().nullish(),
    }),
    done: ['payment.released', Released],
    rejected: ['payment.failed', Failed],
    safeOnNothing: true,
    // `payment.released` is also said of a release to a runner; its status tells them apart.
    belongs: (reply, asked) => speaksOf(asked.payment_id, reply) && hasStatus('REVERTED', reply),
  }),
)

/** Takes the money that is held and pays it to the runner. */
export const releasePayment = withCodes(
  payment.command('release_payment', {
    payload: z.object({
      payment_id: storableText,
      runner_id: storableText,
      runner_connect_account_id: storableText,
    }),
    done: [
      'payment.released',
      Released.extend({
        runner_id: z.string().nullish(),
        /** Decimal, not cents. */
        amount: z.number().nullish(),
        transfer_id: z.string().nullish(),
      }),
    ],
    rejected: ['payment.failed', Failed],
    belongs: (reply, asked) => speaksOf(asked.payment_id, reply) && hasStatus('SUCCEEDED', reply),
  }),
)

/** What the User Service, ours or another, tells of how a runner is paid, by the names in use. */
const RunnerPaymentInfo = z.looseObject({
  runner_id: storableText.nullish(),
  runnerId: storableText.nullish(),
  clerkUserId: storableText.nullish(),
  stripeConnectAccountId: storableText.nullish(),
  stripe_connect_account_id: storableText.nullish(),
  runner_connect_account_id: storableText.nullish(),
})
export type RunnerPaymentInfo = z.infer<typeof RunnerPaymentInfo>

/** As `releasePayment`, of the payment of an order, and as the Complete Order saga asks for it. */
export const releaseFunds = partInCompleteOrder('payment').command('release_funds', {
  payload: z.object({ order_id: storableText, runnerPaymentInfo: RunnerPaymentInfo }),
  done: ['funds_released', z.looseObject({}).nullish().catch(null)], // the type says it all
  rejected: releaseFailed,
  belongs: speaksOfOrder,
})

type Fields = Readonly<Record<string, unknown>> | null | undefined

/** False where the answer names another payment than the one that was asked for. */
function speaksOf(paymentId: string | null | undefined, reply: ReplyMessage): boolean {
  const named = (reply.payload as Fields)?.['payment_id']
  return typeof named !== 'string' || typeof paymentId !== 'string' || named === paymentId
}

function hasStatus(status: string, reply: ReplyMessage): boolean {
  return reply.type !== 'payment.released' || (reply.payload as Fields)?.['status'] === status
}

function withCodes<Contract extends Pick<CommandContract, 'rejected'>>(contract: Contract): Contract {
  if (contract.rejected === null) return contract
  return { ...contract, rejected: { ...contract.rejected, reason: reasonOf, refuse: refusal } }
}

function reasonOf(data: unknown): string {
  const { error, message } = data as z.infer<typeof Failed>
  return message == null || message === '' ? error : `${error}: ${message}`
}

function refusal(reason: string): { readonly error: string; readonly message?: string } {
  const [, error, message] = /^([A-Za-z_]+): ([\s\S]*)$/.exec(reason) ?? []
  return error === undefined || message === undefined ? { error: reason } : { error, message }
}
