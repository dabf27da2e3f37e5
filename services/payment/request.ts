/** Reads both forms of `authorize_payment` into one request, in whole cents. */
import { centsOf, leastChargeCents, MoneyError, mostCents } from '../shared/money/money.ts'
import type { AuthorizePayload } from './messages.ts'
import type { PaymentRequest } from './rows.ts'

export type ReadRequest =
  { readonly ok: true; readonly request: PaymentRequest } | { readonly ok: false; readonly why: string }

export function readRequest(payload: AuthorizePayload): ReadRequest {
  try {
    const request = 'customer' in payload ? fromCents(payload) : fromDecimals(payload)
    const why = whatIsWrong(request.cents)
    return why === null ? { ok: true, request } : { ok: false, why }
  } catch (error) {
    if (error instanceof MoneyError) return { ok: false, why: error.message }
    throw error
  }
}

function fromCents({ order_id, customer, order, return_url }: Extract<AuthorizePayload, { customer: unknown }>) {
  return {
    orderId: order_id,
    customerId: customer.clerkUserId,
    cents: order.amount,
    description: order.description ?? null,
    stripeCustomerId: customer.stripeCustomerId ?? null,
    paymentMethodId: customer.userStripeCard?.payment_method_id ?? null,
    returnUrl: return_url ?? null,
  }
}

function fromDecimals({ order_id, customer_id, amount, payment_info }: Extract<AuthorizePayload, { amount: unknown }>) {
  return {
    orderId: order_id,
    customerId: customer_id,
    cents: centsOf(amount),
    description: null,
    stripeCustomerId: payment_info?.stripeCustomerId ?? null,
    paymentMethodId: payment_info?.paymentMethodId ?? null,
    returnUrl: null,
  }
}

function whatIsWrong(cents: number): string | null {
  if (!Number.isInteger(cents)) return `order.amount must be whole cents, not ${cents}.`
  if (cents < leastChargeCents) return `The amount must be at least ${leastChargeCents} cents, not ${cents}.`
  return cents > mostCents ? `The amount must be at most ${mostCents} cents, not ${cents}.` : null
}
