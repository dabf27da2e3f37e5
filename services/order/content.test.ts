import { expect, test } from 'vitest'
import { readContent } from './content.ts'

const burger = { name: 'Burger', price: 12.99, quantity: 1 }

test('an order is read exactly, its items kept as they came', () => {
  const foodItems = [{ item_name: 'Tea', price: '4.35', quantity: 2, note: 'hot' }, burger]
  expect(readContent({ foodItems, deliveryFee: '3.99', deliveryLocation: 'North Campus', foodFee: 1 })).toEqual({
    ok: true,
    value: {
      description: JSON.stringify(foodItems),
      foodCents: 2169,
      deliveryCents: 399,
      storeLocation: null,
      deliveryLocation: 'North Campus',
    },
  })
})

test('fee and places may be left out', () => {
  expect(readContent({ foodItems: [burger] })).toMatchObject({
    value: { deliveryCents: 0, storeLocation: null, deliveryLocation: '' },
  })
})

test('an order may cost far more than 999.99, to the cent', () => {
  const feast = { foodItems: [{ name: 'Feast', price: 999.99, quantity: 1000 }], deliveryFee: 1.98 }
  expect(readContent(feast)).toMatchObject({ value: { foodCents: 99_999_000, deliveryCents: 198 } })
})

const nested = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`)

test.each([
  ['a sum above the greatest', { foodItems: [{ price: 999_999.99, quantity: 2 }] }, '999999.99'],
  ['items that are a book', { foodItems: [{ ...burger, note: 'x'.repeat(100_000) }] }, 'foodItems'],
  ['items that are a well', { foodItems: [{ ...burger, note: nested(200_000) }] }, 'foodItems'],
  ['no items', { foodItems: [] }, 'foodItems'],
  ['a broken item among good ones', { foodItems: [burger, { name: 'free?' }] }, 'foodItems[1]'],
  ['half a burger', { foodItems: [{ ...burger, quantity: 0.5 }] }, 'quantity'],
  ['a negative price', { foodItems: [{ ...burger, price: -1 }] }, 'price'],
  ['a fee in words', { foodItems: [burger], deliveryFee: 'much' }, 'deliveryFee'],
  ['a place that is a number', { foodItems: [burger], deliveryLocation: 7 }, 'deliveryLocation'],
  ['a place with NUL', { foodItems: [burger], storeLocation: 'a\u0000' }, 'storeLocation'],
])('%s is refused by name', (_what, details, field) => {
  expect(readContent(details)).toEqual({ ok: false, why: expect.stringContaining(field) })
})
