/** A user as docs/wire-contract.md shows it. */
import { utcText } from '../shared/time/utc.ts'
import type { UserRow } from './schema.ts'

export function userJson(row: UserRow, withCard: boolean) {
  return {
    clerkUserId: row.user_id,
    username: row.username,
    email: row.email,
    firstName: row.first_name,
    lastName: row.last_name,
    phoneNumber: row.phone_number,
    customerRating: row.customer_rating,
    runnerRating: row.runner_rating,
    stripeCustomerId: row.stripe_customer_id,
    stripeConnectAccountId: row.stripe_connect_account_id,
    createdAt: utcText(row.created_at),
    updatedAt: utcText(row.updated_at),
    ...(withCard && row.payment_method_id !== null ? { userStripeCard: cardJson(row, row.payment_method_id) } : {}),
  }
}

function cardJson(row: UserRow, paymentMethodId: string) {
  return {
    payment_method_id: paymentMethodId,
    last4: row.card_last4,
    brand: row.card_brand,
    exp_month: row.card_exp_month,
    exp_year: row.card_exp_year,
    updated_at: row.card_updated_at === null ? null : utcText(row.card_updated_at),
  }
}

export function names(user: UserRow) {
  return {
    email: user.email,
    first_name: user.first_name,
    last_name: user.last_name,
    stripe_customer_id: user.stripe_customer_id,
  }
}

export function paymentInfo(user: UserRow) {
  return {
    payment_method_id: user.payment_method_id,
    last_four: user.card_last4,
    card_type: user.card_brand,
    expiry_month: user.card_exp_month,
    expiry_year: user.card_exp_year,
  }
}
