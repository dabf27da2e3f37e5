/** A user as docs/wire-contract.md shows it. */
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import type { UserRow } from './schema.ts'

/** A text that is perhaps not known. */
const maybe = (example: string) => z.string().nullable().meta({ example })

const CardView = z.object({
  payment_method_id: z.string().meta({ example: 'pm_card_visa' }),
  last4: maybe('4242'),
  brand: maybe('visa'),
  exp_month: z.int().nullable().meta({ example: 12 }),
  exp_year: z.int().nullable().meta({ example: 2030 }),
  updated_at: UtcText.nullable(),
})

export const UserView = z.object({
  clerkUserId: z.string().meta({ example: exampleIds.customer }),
  username: maybe('ada'),
  email: z.string().meta({ example: 'ada@example.com' }),
  firstName: maybe('Ada'),
  lastName: maybe('Lovelace'),
  phoneNumber: maybe('+6591234567'),
  customerRating: z.number().meta({ example: 4.5 }),
  runnerRating: z.number().meta({ example: 5 }),
  stripeCustomerId: maybe('cus_123'),
  stripeConnectAccountId: maybe('acct_123'),
  createdAt: UtcText,
  updatedAt: UtcText,
  userStripeCard: CardView.optional().describe('The card that pays, where there is one'),
})

export const NamesView = z.object({
  email: UserView.shape.email,
  first_name: maybe('Ada'),
  last_name: maybe('Lovelace'),
  stripe_customer_id: maybe('cus_123'),
})

export const PaymentInfoView = z.object({
  payment_method_id: maybe('pm_card_visa'),
  last_four: maybe('4242'),
  card_type: maybe('visa'),
  expiry_month: z.int().nullable().meta({ example: 12 }),
  expiry_year: z.int().nullable().meta({ example: 2030 }),
})

export function userJson(row: UserRow, withCard: boolean): z.infer<typeof UserView> {
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

function cardJson(row: UserRow, paymentMethodId: string): z.infer<typeof CardView> {
  return {
    payment_method_id: paymentMethodId,
    last4: row.card_last4,
    brand: row.card_brand,
    exp_month: row.card_exp_month,
    exp_year: row.card_exp_year,
    updated_at: row.card_updated_at === null ? null : utcText(row.card_updated_at),
  }
}

export function names(user: UserRow): z.infer<typeof NamesView> {
  return {
    email: user.email,
    first_name: user.first_name,
    last_name: user.last_name,
    stripe_customer_id: user.stripe_customer_id,
  }
}

export function paymentInfo(user: UserRow): z.infer<typeof PaymentInfoView> {
  return {
    payment_method_id: user.payment_method_id,
    last_four: user.card_last4,
    card_type: user.card_brand,
    expiry_month: user.card_exp_month,
    expiry_year: user.card_exp_year,
  }
}
