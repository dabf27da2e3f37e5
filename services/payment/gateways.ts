/**
 * Which gateway is asked about which payment: the one that its row names, whatever is configured by now.
 *
 * Invariant: where that one is not configured, nothing is asked and nothing changed. The outcome stays unknown until it is
 * configured again: another gateway knows nothing of the payment's money.
 */
import type { Gateway } from './gateway.ts'
import type { PaymentRow } from './schema.ts'

export interface Gateways {
  /** Always there, so that play money begun before Stripe was configured ends as the play money it is. */
  readonly sandbox: Gateway
  /** Moves real money where it is configured, and takes all new payments then. */
  readonly stripe?: Gateway
}

export const gatewayOfNew = ({ sandbox, stripe }: Gateways): Gateway => stripe ?? sandbox

export const namesOf = ({ stripe }: Gateways): readonly Gateway['name'][] =>
  stripe === undefined ? ['sandbox'] : ['sandbox', 'stripe']

/** @throws GatewayMissingError where the payment was begun at a gateway that is not configured */
export function gatewayOf(gateways: Gateways, row: PaymentRow): Gateway {
  const gateway = gateways[row.gateway]
  if (gateway === undefined) throw new GatewayMissingError(row)
  return gateway
}

class GatewayMissingError extends Error {
  override readonly name = 'GatewayMissingError'
  readonly code = 'gateway_missing'
  /** Once somebody has configured it. */
  readonly retryable = true

  constructor({ payment_id, gateway, status }: PaymentRow) {
    super(
      `payment ${payment_id} was begun at ${gateway}, which is not configured here: set STRIPE_SECRET_KEY; until then it stays ${status}`,
    )
  }
}
