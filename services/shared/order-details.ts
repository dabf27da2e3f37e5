/**
 * What a customer asks for: read, limited and priced in this one place, whoever takes the order in. What is taken here is
 * refused by nobody later for what it says. Pure.
 */
import { z } from 'zod'
import { exampleIds } from './http/examples.ts'
import { centsOf, decimalOf, MoneyError, mostCents } from './money/money.ts'

type Details = Readonly<Record<string, unknown>>

const amount = { type: ['number', 'string'], description: 'Decimal SGD, such as 12.99' }

/** `order_details` as the API pages show it; `readOrderDetails` looks into it. A record, since it is passed on as it came. */
const details = z
  .record(z.string(), z.unknown(), 'send order_details, an object with foodItems and deliveryLocation')
  .meta({
    properties: {
      foodItems: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          properties: { price: amount, quantity: { type: 'integer', minimum: 1, maximum: 10_000 } },
          required: ['price', 'quantity'],
          description: 'Kept as it is, with whatever else it holds',
        },
      },
      deliveryFee: { ...amount, type: ['number', 'string', 'null'] },
      storeLocation: { type: ['string', 'null'] },
      deliveryLocation: { type: ['string', 'null'] },
    },
    required: ['foodItems'],
    example: { foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }], deliveryLocation: 'North Campus' },
  })

/** The body of a request for an order. */
export const OrderRequest = z.object({
  customer_id: z
    .string('send customer_id, a text')
    .min(1, 'must not be empty')
    .max(255, 'must have at most 255 characters')
    .meta({ example: exampleIds.customer }),
  order_details: details,
})

export interface OrderContent {
  /** The `foodItems` as they came, JSON. */
  readonly description: string
  readonly foodCents: number
  readonly deliveryCents: number
  readonly totalCents: number
  readonly storeLocation: string | null
  /** Empty where none was given. */
  readonly deliveryLocation: string
}

export type ReadOrder =
  { readonly ok: true; readonly value: OrderContent } | { readonly ok: false; readonly why: string }

/**
 * Refuses what cannot be priced exactly: a broken item is never skipped and so never free, and a sum is of any size up to
 * `mostCents` or refused by name.
 */
export function readOrderDetails(details: Details): ReadOrder {
  try {
    const cost = costOf(details)
    checkSize(details)
    const description = JSON.stringify(details['foodItems'])
    const storeLocation = place(details, 'storeLocation')
    const deliveryLocation = place(details, 'deliveryLocation') ?? ''
    return { ok: true, value: { ...cost, description, storeLocation, deliveryLocation } }
  } catch (error) {
    if (error instanceof MoneyError || error instanceof DetailsError) return { ok: false, why: error.message }
    throw error
  }
}

class DetailsError extends Error {}

/** Sum of price times quantity, plus the fee. */
function costOf({ foodItems, deliveryFee }: Details): Pick<OrderContent, 'foodCents' | 'deliveryCents' | 'totalCents'> {
  if (!Array.isArray(foodItems) || foodItems.length === 0)
    throw new DetailsError(
      'order_details.foodItems must be a list with at least one item, each with price and quantity.',
    )
  const foodCents = foodItems.reduce<number>((sum, item, index) => sum + itemCents(item, index), 0)
  const deliveryCents =
    deliveryFee == null || deliveryFee === '' ? 0 : centsOf(deliveryFee, 'order_details.deliveryFee')
  const totalCents = foodCents + deliveryCents
  if (totalCents > mostCents) throw new MoneyError(`The order costs more than ${decimalOf(mostCents)}; split it.`)
  return { foodCents, deliveryCents, totalCents }
}

function itemCents(item: unknown, index: number): number {
  const where = `order_details.foodItems[${index}]`
  if (item === null || typeof item !== 'object')
    throw new DetailsError(`${where} must be an object with price and quantity.`)
  const { price, quantity } = item as { readonly price?: unknown; readonly quantity?: unknown }
  if (typeof quantity !== 'number' || !Number.isInteger(quantity) || quantity < 1 || quantity > 10_000)
    throw new DetailsError(`${where}.quantity must be a whole number from 1 to 10000.`)
  return centsOf(price, `${where}.price`) * quantity
}

/**
 * Every move of a saga writes the details again, and as JSON within the JSON of an event they may take four times as much:
 * every transport still carries that.
 */
const mostBytes = 100_000

function checkSize(details: Details): void {
  if (Buffer.byteLength(asJson(details)) > mostBytes)
    throw new DetailsError(`order_details must have at most ${mostBytes} bytes as JSON: order fewer foodItems at once.`)
}

function asJson(details: Details): string {
  try {
    return JSON.stringify(details)
  } catch (error) {
    // Reading JSON that is nested so deeply does not overflow the stack; writing it does.
    if (error instanceof RangeError) throw new DetailsError('order_details is nested too deeply: send it flat.')
    throw error
  }
}

const longestPlace = 500

function place(details: Details, name: string): string | null {
  const value = details[name] ?? null
  // PostgreSQL keeps no NUL in a text.
  if (value === null || (typeof value === 'string' && value.length <= longestPlace && !value.includes('\u0000')))
    return value
  throw new DetailsError(
    `order_details.${name} must be a text of at most ${longestPlace} characters, without NUL; leave it out where there is none.`,
  )
}
