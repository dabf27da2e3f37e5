import { check, readReply, type CommandContract } from 'ordersaga/contract'
import { expect, test } from 'vitest'
import { authorizePayment, releasePayment, revertPayment } from './messages.ts'

const read = (command: unknown, asked: unknown, type: string, payload: unknown) =>
  readReply(command as CommandContract, asked, { type, payload })
const revert = { payment_id: 'p1', order_id: 'o1', reason: 'undone' }
const release = { payment_id: 'p1', runner_id: 'r1', runner_connect_account_id: 'acct_1' }

test('both forms of the command are understood, with and without Stripe ids', () => {
  for (const payload of [
    { order_id: 'o', customer: { clerkUserId: 'c' }, order: { amount: 1999 } },
    {
      order_id: 'o',
      customer: { clerkUserId: 'c', stripeCustomerId: null, userStripeCard: { payment_method_id: null } },
      order: { amount: 1999, description: 'lunch' },
      return_url: 'https://localhost:5173/customer/history',
    },
    { order_id: 'o', customer_id: 'c', amount: 19.99, payment_info: { card_type: 'visa', last_four: '1234' } },
    { order_id: 'o', customer_id: 'c', amount: '19.99' },
  ]) {
    expect(check(authorizePayment.payload, payload)).toMatchObject({ ok: true })
  }
})

test('what a foreign service says besides is kept, and a missing intent id does no harm', () => {
  const payload = { payment_id: 'p1', order_id: 'order-1', amount: 12.5 }
  expect(read(authorizePayment, {}, 'payment.authorized', payload)).toEqual({ kind: 'done', data: payload })
  expect(read(authorizePayment, {}, 'payment.failed', { error: 'declined' })).toEqual({
    kind: 'rejected',
    reason: 'declined',
  })
})

test.each([
  ['reverted', { payment_id: 'p1', status: 'REVERTED' }, 'done'],
  ['reverted, without saying which', { status: 'REVERTED' }, 'done'],
  ['reverted, but another payment', { payment_id: 'p2', status: 'REVERTED' }, 'other'],
  ['released to a runner', { payment_id: 'p1', status: 'SUCCEEDED' }, 'other'],
  ['released without a status', { payment_id: 'p1' }, 'other'],
])('a revert reads payment.released: %s', (_what, payload, kind) => {
  expect(read(revertPayment, revert, 'payment.released', payload)).toMatchObject({ kind })
})

test('a failure about another payment is not the answer to this revert', () => {
  expect(read(revertPayment, revert, 'payment.failed', { payment_id: 'p2', error: 'x' })).toEqual({ kind: 'other' })
  expect(read(revertPayment, revert, 'payment.failed', { payment_id: 'p1', error: 'x' })).toEqual({
    kind: 'rejected',
    reason: 'x',
  })
  expect(read(revertPayment, revert, 'payment.failed', { error: 'x' })).toEqual({ kind: 'rejected', reason: 'x' })
})

test('a release is not answered by a revert of the same payment', () => {
  const paid = { payment_id: 'p1', status: 'SUCCEEDED', amount: 12.5 }
  expect(read(releasePayment, release, 'payment.released', paid)).toEqual({ kind: 'done', data: paid })
  expect(read(releasePayment, release, 'payment.released', { ...paid, status: 'REVERTED' })).toEqual({ kind: 'other' })
})

test('a code and a sentence are one text inside and two fields on the wire', () => {
  expect(read(authorizePayment, {}, 'payment.failed', { error: 'STRIPE_CARD_ERROR', message: 'Declined.' })).toEqual({
    kind: 'rejected',
    reason: 'STRIPE_CARD_ERROR: Declined.',
  })
  expect(authorizePayment.rejected?.refuse('STRIPE_CARD_ERROR: Declined.')).toEqual({
    error: 'STRIPE_CARD_ERROR',
    message: 'Declined.',
  })
})
