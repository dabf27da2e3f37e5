/**
 * The gateway that moves real money: Stripe, through its official SDK.
 *
 * Border: no other file of the services knows Stripe's API. What leaves this file says neither key nor card: Stripe's own
 * errors hold what it knows of the card, so they are not passed on, not even as a cause.
 *
 * Invariants:
 * - every write carries an idempotency key. Stripe keeps a key with its answer for at least 24 hours; within that time a
 *   repeat does nothing and gives the first answer again. What could come later looks first whether it was done before;
 * - `Refused` only where Stripe has said no. A lost connection, a busy key, a fault of Stripe's: thrown, outcome unknown.
 */
import { Stripe } from 'stripe'
import type { Gateway, GatewayAnswer, HoldRequest, Refused, RefusalCode, TransferRequest } from './gateway.ts'

export interface StripeOptions {
  readonly secretKey: string
  /** Where Stripe's API is, such as `http://127.0.0.1:12111` for its mock; the real one where none is given. */
  readonly url?: string
  /** Unix milliseconds; the system's clock where none is given. */
  readonly now?: () => number
}

/** Our calls and their answers are written for this version; another is a change of this file. */
const apiVersion = '2026-10-28.endive'

/** Below the deadline of a saga's attempt, so that the outcome is known to be unknown before the next one. */
const timeoutMs = 8_000

/**
 * While a payment is younger than that, the key of its hold cannot be forgotten: half of what Stripe promises, whatever the
 * clocks say. Until then nothing is looked up, which keeps orders clear of Stripe's limit of 20 searches a second.
 */
const keyTrustedMs = 12 * 60 * 60_000

/** What is not known to have happened: the same call under the same key finds out. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
  readonly code: 'gateway_unreachable' | 'gateway_misconfigured'
  readonly retryable: boolean

  constructor(code: GatewayError['code'], message: string) {
    super(message)
    this.code = code
    this.retryable = code === 'gateway_unreachable'
  }
}

export function stripeGateway(options: StripeOptions): Gateway {
  const now = options.now ?? Date.now
  const stripe = new Stripe(options.secretKey, {
    apiVersion,
    timeout: timeoutMs,
    maxNetworkRetries: 1,
    telemetry: false,
    ...placeOf(options.url),
  })

  return {
    name: 'stripe',

    authorise: (request, key) =>
      asking('hold the money', 'STRIPE_API_ERROR', async () => {
        if (request.paymentMethodId === null) return noCard
        const mayBeForgotten = now() - request.begunAt >= keyTrustedMs
        const earlier = mayBeForgotten ? await findHold(stripe, request.paymentId) : null
        const intent = earlier ?? (await stripe.paymentIntents.create(holdParams(request), { idempotencyKey: key }))
        return holdAnswer(stripe, intent, key)
      }),

    cancel: (intentId, reason, key) =>
      asking('let go of the hold', 'stripe_error', () =>
        unlessDone(
          () => stripe.paymentIntents.cancel(intentId, { cancellation_reason: reason }, { idempotencyKey: key }),
          ({ payment_intent: intent }) => intent?.status === 'canceled',
        ),
      ),

    capture: (intentId, key) =>
      asking('take the held money', 'stripe_error', () =>
        unlessDone(
          () => stripe.paymentIntents.capture(intentId, {}, { idempotencyKey: key }),
          ({ payment_intent: intent }) => intent?.status === 'succeeded',
        ),
      ),

    refund: (intentId, reason, key) =>
      asking('refund the customer', 'stripe_error', async () => {
        // A refund knows one reason less than a cancellation.
        const known = reason === 'abandoned' ? 'requested_by_customer' : reason
        let status: string | null = null
        const answer = await unlessDone(
          async () => {
            const request = { payment_intent: intentId, reason: known }
            status = (await stripe.refunds.create(request, { idempotencyKey: key })).status
          },
          ({ code }) => code === 'charge_already_refunded',
        )
        return status === 'failed' || status === 'canceled'
          ? refused('stripe_error', `The refund is ${String(status)}.`, { stripeStatus: status })
          : answer
      }),

    transfer: (request, key) => asking('pay the runner', 'stripe_error', () => transfer(stripe, request, key)),

    reverse: (transferId, key) =>
      asking('take the transfer back', 'stripe_error', () =>
        unlessDone(
          () => stripe.transfers.createReversal(transferId, {}, { idempotencyKey: key }),
          // Reversed under another key, or by a person: Stripe has no code of its own for that.
          async () => (await stripe.transfers.retrieve(transferId)).reversed,
        ),
      ),
  }
}

function holdParams(request: HoldRequest): Stripe.PaymentIntentCreateParams {
  return {
    amount: request.cents,
    currency: 'sgd',
    capture_method: 'manual',
    confirm: true,
    // Nobody is there to answer 3-D Secure or to be led to another page: such a card is declined.
    allowed_payment_method_types: ['card'],
    error_on_requires_action: true,
    payment_method: request.paymentMethodId ?? '',
    metadata: {
      order_id: request.orderId,
      customer_id: request.customerId,
      correlation_id: request.sagaId,
      payment_record_id: request.paymentId,
    },
    ...(request.stripeCustomerId === null ? {} : { customer: request.stripeCustomerId }),
    ...(request.description === null ? {} : { description: request.description }),
    ...(request.returnUrl === null ? {} : { return_url: request.returnUrl }),
  }
}

/**
 * The hold that was made for a payment before, as it is now. The one that holds money, where there are several: to create and
 * to confirm are one call, but what a card refused stays behind as an intent too.
 *
 * A search sees what is new late, by an hour at the most: by then the key is still remembered. So whatever was made for the
 * payment, either the search finds it or the key does.
 *
 * @throws GatewayError also where Stripe refuses the search: that says nothing of the hold
 */
async function findHold(stripe: Stripe, paymentId: string): Promise<Stripe.PaymentIntent | null> {
  try {
    const query = `metadata['payment_record_id']:'${paymentId}'`
    const { data } = await stripe.paymentIntents.search({ query, limit: 100 })
    const ours = data.filter(({ metadata }) => metadata['payment_record_id'] === paymentId)
    const found = ours.find(({ status }) => status === 'requires_capture' || status === 'succeeded') ?? ours[0]
    return found === undefined ? null : await stripe.paymentIntents.retrieve(found.id)
  } catch (error) {
    throw unknownOutcome('hold the money before', error)
  }
}

async function holdAnswer(
  stripe: Stripe,
  created: Stripe.PaymentIntent,
  key: string,
): Promise<GatewayAnswer<{ readonly intentId: string }>> {
  // A repeat under the same key would say `processing` for ever: only a fresh look tells what came of it.
  const intent = created.status === 'processing' ? await stripe.paymentIntents.retrieve(created.id) : created
  // One that succeeded was captured by a person: the customer's money is with us all the same.
  if (intent.status === 'requires_capture' || intent.status === 'succeeded') return { ok: true, intentId: intent.id }
  if (intent.status === 'processing')
    throw new GatewayError('gateway_unreachable', `Stripe still works on ${intent.id}: ask again later`)
  // Nothing may stay behind that could become a hold later.
  if (intent.status !== 'canceled')
    await stripe.paymentIntents.cancel(intent.id, {}, { idempotencyKey: `${key}:unfinished` })
  const why = `The card could not be charged: the payment is ${intent.status}. Use another card.`
  return refused('STRIPE_UNEXPECTED_STATUS', why, { stripeStatus: intent.status })
}

/** A key can be forgotten, and a refusal under it need not be kept: what was paid for this payment is looked up first. */
async function transfer(
  stripe: Stripe,
  { intentId, paymentId, orderId, cents, account }: TransferRequest,
  key: string,
): Promise<GatewayAnswer<{ readonly transferId: string }>> {
  const { data } = await stripe.transfers.list({ transfer_group: paymentId, limit: 100 })
  const paid = data.find(({ metadata, reversed }) => metadata['payment_record_id'] === paymentId && !reversed)
  if (paid !== undefined) return { ok: true, transferId: paid.id }

  const { latest_charge: charge } = await stripe.paymentIntents.retrieve(intentId)
  const made = await stripe.transfers.create(
    {
      amount: cents,
      currency: 'sgd',
      destination: account,
      transfer_group: paymentId,
      metadata: { order_id: orderId, payment_record_id: paymentId },
      // Pays out of this very charge, so that it need not wait for the balance.
      ...(charge === null ? {} : { source_transaction: typeof charge === 'string' ? charge : charge.id }),
    },
    { idempotencyKey: key },
  )
  return { ok: true, transferId: made.id }
}

type NoFromStripe = Stripe.errors.StripeInvalidRequestError

/** Does a write; `isDone` knows the "no" that means that it was done before, under another key or by a person. */
async function unlessDone(
  write: () => Promise<unknown>,
  isDone: (no: NoFromStripe) => boolean | Promise<boolean>,
): Promise<GatewayAnswer> {
  try {
    await write()
  } catch (error) {
    if (!(error instanceof Stripe.errors.StripeInvalidRequestError) || !(await isDone(error))) throw error
  }
  return { ok: true }
}

/** Asks Stripe, and tells a "no" from what nobody knows. */
async function asking<Told>(
  what: string,
  code: RefusalCode,
  ask: () => Promise<GatewayAnswer<Told>>,
): Promise<GatewayAnswer<Told>> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Stripe.errors.StripeCardError) return refusalOf('STRIPE_CARD_ERROR', error)
    if (error instanceof Stripe.errors.StripeInvalidRequestError) return refusalOf(code, error)
    throw unknownOutcome(what, error)
  }
}

function unknownOutcome(what: string, error: unknown): unknown {
  if (!(error instanceof Stripe.errors.StripeError)) return error
  const { errors } = Stripe
  const seen = [error.type, error.code, error.requestId].filter((part) => part !== undefined).join(', ')
  if (error instanceof errors.StripeAuthenticationError || error instanceof errors.StripePermissionError) {
    const advice = 'check STRIPE_SECRET_KEY and what it may do'
    return new GatewayError('gateway_misconfigured', `Stripe lets us not ${what} (${seen}): ${advice}`)
  }
  const advice = 'it is asked again under the same key'
  return new GatewayError('gateway_unreachable', `whether Stripe did ${what} is not known (${seen}): ${advice}`)
}

function refusalOf(code: RefusalCode, error: Stripe.errors.StripeError): Refused {
  // Where a card was not declined by its bank, the SDK has an empty decline code.
  const stripeCode = [error.decline_code, error.code].find((code) => code !== undefined && code !== '')
  const stripeStatus = error.payment_intent?.status
  return refused(code, error.message, {
    ...(stripeCode === undefined ? {} : { stripeCode }),
    ...(stripeStatus === undefined ? {} : { stripeStatus }),
  })
}

function refused(code: RefusalCode, message: string, seen: Pick<Refused, 'stripeCode' | 'stripeStatus'> = {}): Refused {
  return { ok: false, code, message, ...seen }
}

const noCard = refused('STRIPE_API_ERROR', 'The customer has no payment method. Set one, then order again.')

function placeOf(url: string | undefined): Pick<Stripe.StripeConfig, 'host' | 'port' | 'protocol'> {
  if (url === undefined) return {}
  const { hostname, port, protocol } = new URL(url)
  return { host: hostname, port, protocol: protocol === 'http:' ? 'http' : 'https' }
}
