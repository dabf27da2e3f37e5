/** Every state that Complete Order can reach keeps the promises of a saga (docs/saga-rules.md). */
import { describe, expect, test } from 'vitest'
import type { CheckOptions } from '../../../saga/hosts/checker/check.ts'
import { check } from '../../../saga/hosts/checker/check.ts'
import { completeOrderSaga } from './saga.ts'

const paid = { payment_info: { runner_id: 'runner_1', stripeConnectAccountId: 'acct_1' } }

const walks: Readonly<Record<string, CheckOptions>> = {
  'two tries, a host that fails and an operator': { tries: 2, hostFails: true, operator: true },
  'three tries': { tries: 3 },
  'two tries, and foreign order, user and payment services': { tries: 2, foreign: ['order', 'user', 'payment'] },
  'one try of an order that was delivered before': {
    tries: 1,
    samples: { runner: { done: paid }, deliver: { done: { previous_status: 'DELIVERED', runner_id: 'runner_1' } } },
  },
}

describe('every state keeps the promises', () => {
  test.each(Object.entries(walks))('%s', (_name, options) => {
    const { fault, states, statuses } = check(completeOrderSaga(), {
      hostFails: false,
      operator: false,
      samples: { runner: { done: paid } },
      ...options,
    })
    expect(fault).toBeNull()
    expect(states).toBeGreaterThan(50)
    expect(Object.keys(statuses).toSorted()).toEqual([
      'CANCELLED',
      'CANCELLING',
      'COMPENSATED',
      'COMPENSATING',
      'COMPLETED',
      'FAILED',
      'PARKED',
      'STARTED',
    ])
  })
})
