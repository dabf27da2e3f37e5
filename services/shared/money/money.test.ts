import fc from 'fast-check'
import { expect, test } from 'vitest'
import { centsOf, decimalOf, mostCents, orderCost, orderTotalCents } from './money.ts'

test.each([
  [19.99, 1999],
  [4.35, 435],
  [8.2, 820],
  ['12.5', 1250],
  [0, 0],
  ['3.990', 399],
  [1e2, 10000],
])('%s is %i cents', (decimal, cents) => expect(centsOf(decimal)).toBe(cents))

test.each([-1, 1.005, '12,99', 'free', NaN, Infinity, null, true, '', 1e12, '-0.01'])(
  '%s is not an amount',
  (decimal) => expect(() => centsOf(decimal, 'price')).toThrow(/^price must/),
)

test('every whole number of cents survives the way out and in', () =>
  fc.assert(fc.property(fc.integer({ min: 0, max: mostCents }), (cents) => centsOf(decimalOf(cents)) === cents)))

test('an order costs its items times their quantities, plus the fee', () => {
  const details = {
    foodItems: [
      { price: 12.99, quantity: 2 },
      { price: '0.10', quantity: 3 },
    ],
    deliveryFee: '3.99',
  }
  expect(orderCost(details)).toEqual({ foodCents: 2628, deliveryCents: 399, totalCents: 3027 })
})

test.each([
  [{}, /foodItems must be a list/],
  [{ foodItems: [] }, /foodItems must be a list/],
  [{ foodItems: [null] }, /foodItems\[0\] must be an object/],
  [{ foodItems: [{ price: 1, quantity: 1 }, { price: 1 }] }, /foodItems\[1\]\.quantity must be a whole number/],
  [{ foodItems: [{ price: 1, quantity: 1.5 }] }, /quantity must be a whole number/],
  [{ foodItems: [{ price: 1, quantity: -1 }] }, /quantity must be a whole number/],
  [{ foodItems: [{ quantity: 1 }] }, /price must be a number/],
  [{ foodItems: [{ price: 999_999, quantity: 9_999 }] }, /split it/],
  [{ foodItems: [{ price: 1, quantity: 1 }], deliveryFee: 'much' }, /deliveryFee must be a number/],
])('%j is refused, never free', (details, why) => expect(() => orderTotalCents(details)).toThrow(why))
