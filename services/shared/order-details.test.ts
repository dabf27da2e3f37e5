import { expect, test } from 'vitest'
import { readOrderDetails } from './order-details.ts'

const burger = { name: 'Burger', price: 12.99, quantity: 1 }

test('an order is read exactly, its items kept as they came', () => {
  const foodItems = [{ item_name: 'Tea', price: '4.35', quantity: 2, note: 'hot' }, burger]
  expect(readOrderDetails({ foodItems, deliveryFee: '3.99', deliveryLocation: 'North Campus', foodFee: 1 })).toEqual({
    ok: true,
    value: {
      description: JSON.stringify(foodItems),
      foodCents: 2169,
      deliveryCents: 399,
      totalCents: 2568,
      storeLocation: null,
      deliveryLocation: 'North Campus',
    },
  })
})

test('fee and places may be left out', () => {
  expect(readOrderDetails({ foodItems: [burger] })).toMatchObject({
    value: { deliveryCents: 0, storeLocation: null, deliveryLocation: '' },
  })
})

test('an order may cost far more than 999.99, to the cent', () => {
  const feast = { foodItems: [{ name: 'Feast', price: 999.99, quantity: 1000 }], deliveryFee: 1.98 }
  expect(readOrderDetails(feast)).toMatchObject({ value: { foodCents: 99_999_000, deliveryCents: 198 } })
})

const nested = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`)

test.each([
  ['a sum above the greatest', { foodItems: [{ price: 999_999.99, quantity: 2 }] }, '999999.99'],
  ['items that are a book', { foodItems: [{ ...burger, note: 'x'.repeat(100_000) }] }, 'foodItems'],
  ['items that are a well', { foodItems: [{ ...burger, note: nested(200_000) }] }, 'nested'],
  ['a remark that is a book', { foodItems: [burger], remark: 'x'.repeat(100_000) }, 'bytes'],
  ['no items', { foodItems: [] }, 'foodItems'],
  ['a broken item among good ones', { foodItems: [burger, { name: 'free?' }] }, 'foodItems[1]'],
  ['half a burger', { foodItems: [{ ...burger, quantity: 0.5 }] }, 'quantity'],
  ['a negative price', { foodItems: [{ ...burger, price: -1 }] }, 'price'],
  ['a fee in words', { foodItems: [burger], deliveryFee: 'much' }, 'deliveryFee'],
  ['a place that is a number', { foodItems: [burger], deliveryLocation: 7 }, 'deliveryLocation'],
  ['a place with NUL', { foodItems: [burger], storeLocation: 'a\u0000' }, 'storeLocation'],
])('%s is refused by name', (_what, details, field) => {
  expect(readOrderDetails(details)).toEqual({ ok: false, why: expect.stringContaining(field) })
})

test('an order costs its items times their quantities, plus the fee', () => {
  const details = {
    foodItems: [
      { price: 12.99, quantity: 2 },
      { price: '0.10', quantity: 3 },
    ],
    deliveryFee: '3.99',
  }
  expect(readOrderDetails(details)).toMatchObject({ value: { foodCents: 2628, deliveryCents: 399, totalCents: 3027 } })
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
])('%j is refused, never free', (details, why) => {
  expect(readOrderDetails(details)).toEqual({ ok: false, why: expect.stringMatching(why) })
})
