/** Every state that Complete Order on Temporal can reach keeps the promises of a saga (docs/saga-rules.md). */
import { describe, expect, test } from 'vitest'
import { check, type CheckOptions } from '../../../saga/hosts/checker/check.ts'
import { completeOrderWorkflowSaga } from './saga.ts'

const input = { order_id: 'order_1', runner_id: 'runner_1' }
const samples = { verify: { done: { status: 'ON_THE_WAY' } } }

const walks: Readonly<Record<string, CheckOptions>> = {
  'two tries, a host that fails and an operator': { tries: 2, hostFails: true, operator: true },
  'three tries': { tries: 3 },
  // Not the Order Service: it is asked alike twice, and the answers of activities, unlike foreign messages, say to what.
  'two tries, and foreign user and payment services': { tries: 2, foreign: ['user', 'payment'] },
  'one try of an order that was delivered before': { tries: 1, samples: { verify: { done: { status: 'DELIVERED' } } } },
}

describe('every state keeps the promises', () => {
  test.each(Object.entries(walks))('%s', (_name, options) => {
    const { fault, states, statuses } = check(completeOrderWorkflowSaga(), {
      input,
      hostFails: false,
      operator: false,
      samples,
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
