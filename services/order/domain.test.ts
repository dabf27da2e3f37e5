import { expect, test } from 'vitest'
import { cancellable, isOrderStatus, orderStatuses, statusesBefore, whyNot, whyNotCancelled } from './domain.ts'

test('naming a status moves an order only along the table, one place at a time', () => {
  const before = (status: Parameters<typeof statusesBefore>[0]) => statusesBefore(status)
  expect(before('CREATED')).toEqual(['PENDING'])
  expect(before('ACCEPTED')).toEqual(['CREATED'])
  expect(before('PLACED')).toEqual(['ACCEPTED'])
  expect(before('ON_THE_WAY')).toEqual(['PLACED'])
  expect(before('DELIVERED')).toEqual(['ON_THE_WAY'])
  expect(before('COMPLETED')).toEqual(['DELIVERED'])
  expect(before('CANCELLED')).toEqual(['PENDING', 'CREATED'])
})

test('no status name takes an order from its runner', () => {
  expect(statusesBefore('CREATED')).not.toContain('ACCEPTED')
})

test('nothing leads back to PENDING', () => expect(statusesBefore('PENDING')).toEqual([]))

test('a command cancels whatever is not over; a person, only what waits for a runner', () => {
  const over = ['DELIVERED', 'COMPLETED', 'CANCELLED']
  expect([...cancellable.byCommand, ...over].toSorted()).toEqual(orderStatuses.toSorted())
  expect(cancellable.withoutRunner).toEqual(['PENDING', 'CREATED'])
  expect(cancellable.byRoute).toEqual(['CREATED'])
})

test('a refusal names the state and what is possible', () => {
  expect(whyNotCancelled('PENDING', cancellable.byRoute)).toBe(
    'the order is PENDING: only one that is CREATED can be cancelled in this way',
  )
  expect(whyNot('CANCELLED', 'CREATED')).toBe('the order is CANCELLED: nothing can follow, not CREATED')
  expect(whyNot('CREATED', 'DELIVERED')).toBe('the order is CREATED: ACCEPTED or CANCELLED can follow, not DELIVERED')
  expect(whyNot('ACCEPTED', 'CREATED')).toContain('when its runner gives it back')
})

test.each(['created', 'PAID', 'toString', ''])('"%s" is no status', (name) => expect(isOrderStatus(name)).toBe(false))
