/**
 * What the Payment Service needs of whoever really moves money.
 *
 * Promises of every gateway:
 * - each call changes something at most once per key: a repeat under the same key, with the same request, gives the first
 *   answer again;
 * - a refusal is final under its key and left nothing behind; another try needs another key;
 * - a call that throws has an unknown outcome: the same call under the same key finds out;
 * - a payment has one hold at most, also where its key is forgotten (Stripe does so after a day): then the hold is found by
 *   the payment's id, and answered for as it is by now.
 */

/** Codes of the wire contract that a gateway refuses with. */
export type RefusalCode = 'STRIPE_CARD_ERROR' | 'STRIPE_API_ERROR' | 'STRIPE_UNEXPECTED_STATUS' | 'stripe_error'

export interface Refused {
  readonly ok: false
  readonly code: RefusalCode
  /** For people. */
  readonly message: string
  /** The gateway's own code, such as `card_declined`, and its own status. */
  readonly stripeCode?: string
  readonly stripeStatus?: string
}

export type GatewayAnswer<Told = unknown> = ({ readonly ok: true } & Told) | Refused

export interface HoldRequest {
  readonly paymentId: string
  /** Unix milliseconds; no hold of this payment was asked for before. */
  readonly begunAt: number
  readonly orderId: string
  readonly customerId: string
  readonly sagaId: string
  /** Whole cents of SGD. */
  readonly cents: number
  readonly description: string | null
  /** The gateway's names of customer and card; null where nobody knows them. */
  readonly stripeCustomerId: string | null
  readonly paymentMethodId: string | null
  readonly returnUrl: string | null
}

export interface TransferRequest {
  readonly intentId: string
  readonly paymentId: string
  readonly orderId: string
  readonly cents: number
  /** Where the runner is paid. */
  readonly account: string
}

/** Why money goes back, in the words that the contract knows. */
export type RevertReason = 'duplicate' | 'fraudulent' | 'requested_by_customer' | 'abandoned'

export interface Gateway {
  readonly name: 'sandbox' | 'stripe'
  /** Holds the money on the customer's card. Refused: nothing is held. */
  authorise(request: HoldRequest, key: string): Promise<GatewayAnswer<{ readonly intentId: string }>>
  /** Lets go of a hold; one that is gone already counts as let go. */
  cancel(intentId: string, reason: RevertReason, key: string): Promise<GatewayAnswer>
  /** Takes the held money. */
  capture(intentId: string, key: string): Promise<GatewayAnswer>
  /** Gives taken money back to the customer, all of it. */
  refund(intentId: string, reason: RevertReason, key: string): Promise<GatewayAnswer>
  /** Gives taken money to the runner. */
  transfer(request: TransferRequest, key: string): Promise<GatewayAnswer<{ readonly transferId: string }>>
  /** Takes a transfer back from the runner, all of it. */
  reverse(transferId: string, key: string): Promise<GatewayAnswer>
}
