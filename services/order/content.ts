/** What an order is for, read from the `order_details` of a request or command (contract 1.1). Pure. */
import { MoneyError, orderCost } from '../money/money.ts'

export interface OrderContent {
  /** The `foodItems` as they came, JSON. */
  readonly description: string
  readonly foodCents: number
  readonly deliveryCents: number
  readonly storeLocation: string | null
  /** Empty where none was given. */
  readonly deliveryLocation: string
}

export type ReadContent =
  { readonly ok: true; readonly value: OrderContent } | { readonly ok: false; readonly why: string }

/** Refuses what cannot be priced exactly: a broken item is never skipped and so never free (quirk O-11). */
export function readContent(details: Readonly<Record<string, unknown>>): ReadContent {
  try {
    const { foodCents, deliveryCents } = orderCost(details)
    const description = JSON.stringify(details['foodItems'])
    const storeLocation = place(details, 'storeLocation')
    const deliveryLocation = place(details, 'deliveryLocation') ?? ''
    return { ok: true, value: { description, foodCents, deliveryCents, storeLocation, deliveryLocation } }
  } catch (error) {
    if (error instanceof MoneyError || error instanceof PlaceError) return { ok: false, why: error.message }
    throw error
  }
}

class PlaceError extends Error {}

const longestPlace = 500

function place(details: Readonly<Record<string, unknown>>, name: string): string | null {
  const value = details[name] ?? null
  // PostgreSQL keeps no NUL in a text.
  if (value === null || (typeof value === 'string' && value.length <= longestPlace && !value.includes('\u0000'))) {
    return value
  }
  throw new PlaceError(`order_details.${name} must be a text of at most ${longestPlace} characters, without NUL.`)
}
