import { expect, test } from 'vitest'
import { cancellable, isOrderStatus, statusesBefore, whyNot } from './domain.ts'

test('naming a status moves an order only along the table, one place at a time', () => {
  const before = (status: Parameters<typeof statusesBefore>[0]) => statusesBefore(status)
  expect(before('CREATED')).toEqual(['PENDING'])
  expect(before('PLACED')).toEqual(['ACCEPTED'])
  expect(before('ON_THE_WAY')).toEqual(['PLACED'])
  expect(before('DELIVERED')).toEqual(['ON_THE_WAY'])
  expect(before('COMPLETED')).toEqual(['DELIVERED'])
  expect(before('CANCELLED')).toEqual(['PENDING', 'CREATED'])
})

test('no status name takes an order to or from a runner', () => {
  expect(statusesBefore('ACCEPTED')).toEqual([])
  expect(statusesBefore('CREATED')).not.toContain('ACCEPTED')
})

test('nothing leads back to PENDING', () => expect(statusesBefore('PENDING')).toEqual([]))

test('an order can be cancelled until a runner has accepted it', () => {
  expect(cancellable).toEqual(['PENDING', 'CREATED'])
})

test('a refusal names the state and what is possible', () => {
  expect(whyNot('ACCEPTED', 'CANCELLED')).toContain('ACCEPTED')
  expect(whyNot('CANCELLED', 'CREATED')).toBe('the order is CANCELLED: nothing can follow, not CREATED')
  expect(whyNot('CREATED', 'DELIVERED')).toBe('the order is CREATED: ACCEPTED or CANCELLED can follow, not DELIVERED')
  expect(whyNot('CREATED', 'ACCEPTED')).toContain('when a runner accepts it')
  expect(whyNot('ACCEPTED', 'CREATED')).toContain('when its runner gives it back')
})

test.each(['created', 'PAID', 'toString', ''])('"%s" is no status', (name) => expect(isOrderStatus(name)).toBe(false))
