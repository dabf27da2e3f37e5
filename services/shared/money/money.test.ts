import fc from 'fast-check'
import { expect, test } from 'vitest'
import { centsOf, decimalOf, mostCents } from './money.ts'

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
