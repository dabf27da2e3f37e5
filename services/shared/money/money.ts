/**
 * Money: whole cents inside, decimals only at the edges that the contract fixes, converted exactly.
 *
 * `19.99` is 1999 cents: decimals are read as text, digit by digit, never multiplied as floating-point numbers.
 */

/** A sum that cannot be read; the message says which and what would do. */
export class MoneyError extends Error {
  override readonly name = 'MoneyError'
}

/** No single amount in an order may be larger, in cents; anything above is a mistake. */
export const mostCents = 99_999_999

/**
 * @example centsOf(19.99) // 1999
 * @example centsOf('4.5') // 450
 * @throws MoneyError for a negative amount, more than two decimals, or what is not a number
 */
export function centsOf(decimal: unknown, what = 'the amount'): number {
  if (typeof decimal !== 'number' && typeof decimal !== 'string')
    throw new MoneyError(`${what} must be a number, such as 12.99.`)
  const match = /^(-?)(\d{1,9})(?:\.(\d*))?$/.exec(String(decimal).trim())
  if (match === null) throw new MoneyError(`${what} must be a number from 0 to ${decimalOf(mostCents)}, such as 12.99.`)
  const [, sign, whole = '0', fraction = ''] = match
  if (sign === '-') throw new MoneyError(`${what} must not be negative.`)
  if (/[1-9]/.test(fraction.slice(2))) throw new MoneyError(`${what} must not have more than two decimals.`)
  const cents = Number(whole) * 100 + Number(fraction.slice(0, 2).padEnd(2, '0'))
  if (cents > mostCents) throw new MoneyError(`${what} must be at most ${decimalOf(mostCents)}.`)
  return cents
}

/** @example decimalOf(1999) // 19.99 */
export const decimalOf = (cents: number): number =>
  Number(`${Math.trunc(cents / 100)}.${String(Math.abs(cents % 100)).padStart(2, '0')}`)

/** What an order costs, in cents. */
export interface OrderCost {
  readonly foodCents: number
  readonly deliveryCents: number
  readonly totalCents: number
}

/**
 * Reads what an order costs from its `order_details`: sum of price times quantity, plus the fee.
 *
 * @throws MoneyError naming the item or the field that is wrong; a broken item is never free
 */
export function orderCost(details: unknown): OrderCost {
  const { foodItems, deliveryFee } = (details ?? {}) as { readonly foodItems?: unknown; readonly deliveryFee?: unknown }
  if (!Array.isArray(foodItems) || foodItems.length === 0)
    throw new MoneyError('order_details.foodItems must be a list with at least one item, each with price and quantity.')
  const foodCents = foodItems.reduce<number>((sum, item, index) => sum + itemCents(item, index), 0)
  const deliveryCents =
    deliveryFee == null || deliveryFee === '' ? 0 : centsOf(deliveryFee, 'order_details.deliveryFee')
  const totalCents = foodCents + deliveryCents
  if (totalCents > mostCents) throw new MoneyError(`The order costs more than ${decimalOf(mostCents)}; split it.`)
  return { foodCents, deliveryCents, totalCents }
}

/** `orderCost(details).totalCents`. */
export const orderTotalCents = (details: unknown): number => orderCost(details).totalCents

function itemCents(item: unknown, index: number): number {
  const where = `order_details.foodItems[${index}]`
  if (item === null || typeof item !== 'object')
    throw new MoneyError(`${where} must be an object with price and quantity.`)
  const { price, quantity } = item as { readonly price?: unknown; readonly quantity?: unknown }
  if (typeof quantity !== 'number' || !Number.isInteger(quantity) || quantity < 1 || quantity > 10_000)
    throw new MoneyError(`${where}.quantity must be a whole number from 1 to 10000.`)
  return centsOf(price, `${where}.price`) * quantity
}
