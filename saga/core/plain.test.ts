import fc from 'fast-check'
import { expect, test } from 'vitest'
import { whyNotPlain } from './plain.ts'

test('whatever JSON can say is plain', () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => whyNotPlain(value, 'input') === null))
})

test('what is plain comes back from its text as it was, but for properties that are undefined', () => {
  const maybe = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true })
  fc.assert(
    fc.property(maybe, (value) => {
      if (value === undefined || whyNotPlain(value, 'input') !== null) return
      expect(JSON.parse(JSON.stringify(value))).toEqual(withoutMinusZero(value))
    }),
  )
})

const withoutMinusZero = (value: unknown): unknown => {
  if (typeof value === 'number') return value + 0
  if (Array.isArray(value)) return value.map(withoutMinusZero)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withoutMinusZero(member)]))
}

test.each([
  [{ day: new Date(0) }, 'input.day is a Date'],
  [{ items: [{ price: 1n }] }, 'input.items[0].price is a bigint'],
  [{ n: Number.NaN }, 'input.n is NaN'],
  [[undefined], 'input[0] is undefined'],
  [new Map(), 'input is a Map'],
  [() => 1, 'input is a function'],
  [Symbol('s'), 'input is a symbol'],
])('%o is named with its path', (value, why) => {
  expect(whyNotPlain(value, 'input')).toBe(
    `${why}, which no store gives back as it was; use plain JSON: text, finite numbers, booleans, null, lists and objects`,
  )
})

test('a property that is undefined counts as absent', () => {
  expect(whyNotPlain({ a: undefined, b: [{ c: undefined }] }, 'input')).toBeNull()
})

test('what contains itself is refused, not followed for ever', () => {
  const own: Record<string, unknown> = {}
  own['own'] = own
  expect(whyNotPlain(own, 'input')).toMatch(/own is nested more than 200 levels deep/)
})
