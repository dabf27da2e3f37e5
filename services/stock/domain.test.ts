import fc from 'fast-check'
import { expect, test } from 'vitest'
import { linesOf, shareOut } from './domain.ts'

const id = fc.constantFrom('a', 'b', 'c', 'none')
const order = fc.array(fc.record({ product_id: id, quantity: fc.integer({ min: 1, max: 5 }) }), { minLength: 1 })
const left = fc.record({ a: fc.nat(20), b: fc.nat(20), c: fc.nat(20) })

test('whatever is wanted, no more is taken than is left, and what is taken is what those served want', () => {
  fc.assert(
    fc.property(fc.array(order), left, (orders, stock) => {
      const lines = orders.map(linesOf)
      const { refusals, taken } = shareOut(lines, new Map(Object.entries(stock)))
      const served = lines.filter((_each, index) => refusals[index] === null).flat()
      for (const product of ['a', 'b', 'c', 'none'] as const) {
        const sum = served
          .filter(({ productId }) => productId === product)
          .reduce((all, { quantity }) => all + quantity, 0)
        expect(taken.get(product) ?? 0).toBe(sum)
        expect(sum).toBeLessThanOrEqual(product === 'none' ? 0 : stock[product])
      }
    }),
  )
})

test('who is refused leaves all to who comes after', () => {
  const { refusals } = shareOut(
    [[{ productId: 'a', quantity: 3 }], [{ productId: 'a', quantity: 2 }], [{ productId: 'a', quantity: 1 }]],
    new Map([['a', 2]]),
  )
  expect(refusals).toEqual([
    '3 of product a are wanted, and 2 are left',
    null,
    '1 of product a are wanted, and 0 are left',
  ])
})
