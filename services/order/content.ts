/** What an order is for, read from the `order_details` of a request or command. Pure. */
import { MoneyError, orderCost } from '../shared/money/money.ts'

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

/**
 * Refuses what cannot be priced exactly: a broken item is never skipped and so never free, and a sum is of any
 * size up to `mostCents` or refused by name.
 */
export function readContent(details: Readonly<Record<string, unknown>>): ReadContent {
  try {
    const { foodCents, deliveryCents } = orderCost(details)
    const description = itemsText(details['foodItems'])
    const storeLocation = place(details, 'storeLocation')
    const deliveryLocation = place(details, 'deliveryLocation') ?? ''
    return { ok: true, value: { description, foodCents, deliveryCents, storeLocation, deliveryLocation } }
  } catch (error) {
    if (error instanceof MoneyError || error instanceof ContentError) return { ok: false, why: error.message }
    throw error
  }
}

class ContentError extends Error {}

/** As JSON within the JSON of an event it may take four times as much, which every transport still carries. */
const mostItemBytes = 100_000

function itemsText(items: unknown): string {
  const text = written(items)
  if (Buffer.byteLength(text) <= mostItemBytes) return text
  throw new ContentError(
    `order_details.foodItems must have at most ${mostItemBytes} bytes as JSON: order less at once.`,
  )
}

function written(items: unknown): string {
  try {
    return JSON.stringify(items)
  } catch (error) {
    // Reading JSON that is nested so deeply does not overflow the stack; writing it does.
    if (error instanceof RangeError)
      throw new ContentError('order_details.foodItems is nested too deeply: send it flat.')
    throw error
  }
}

const longestPlace = 500

function place(details: Readonly<Record<string, unknown>>, name: string): string | null {
  const value = details[name] ?? null
  // PostgreSQL keeps no NUL in a text.
  if (value === null || (typeof value === 'string' && value.length <= longestPlace && !value.includes('\u0000'))) {
    return value
  }
  throw new ContentError(`order_details.${name} must be a text of at most ${longestPlace} characters, without NUL.`)
}
