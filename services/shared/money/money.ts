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

/** Less cannot be charged to a card: the least amount of Stripe's for SGD, in cents. */
export const leastChargeCents = 50

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

/** For a schema of decimals: adds why one is not whole cents, as a part of a sentence. */
export function wholeCents(decimal: number, { addIssue }: { readonly addIssue: (message: string) => void }): void {
  try {
    centsOf(decimal, 'it')
  } catch (error) {
    if (!(error instanceof MoneyError)) throw error
    addIssue(error.message.replace(/\.$/, ''))
  }
}

/** @example decimalOf(1999) // 19.99 */
export const decimalOf = (cents: number): number =>
  Number(`${Math.trunc(cents / 100)}.${String(Math.abs(cents % 100)).padStart(2, '0')}`)
