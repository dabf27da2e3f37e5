/** Every state that Create Order can reach keeps the promises of a saga (docs/saga-rules.md). */
import { describe, expect, test } from 'vitest'
import type { CheckOptions } from '../../../saga/hosts/checker/check.ts'
import { check } from '../../../saga/hosts/checker/check.ts'
import { createOrderSaga } from './saga.ts'

const createOrder = createOrderSaga({ timerMs: 30 * 60_000 })

/** `payment.released` is also said of a release to a runner; only its status tells that it was reverted. */
const samples = { authorise: { undone: { status: 'REVERTED' } } }

const walks: Readonly<Record<string, CheckOptions>> = {
  'one try': { tries: 1 },
  'one try, a host that fails and an operator': { tries: 1, hostFails: true, operator: true },
  'two tries': { tries: 2 },
  'one try, and foreign order and payment services': { tries: 1, foreign: ['order', 'payment'] },
}

describe('every state keeps the promises', () => {
  test.each(Object.entries(walks))('%s', (_name, options) => {
    const { fault, states, statuses } = check(createOrder, { hostFails: false, operator: false, samples, ...options })
    expect(fault).toBeNull()
    expect(states).toBeGreaterThan(300)
    // States that behave alike are one: without that there are tens of thousands.
    expect(states).toBeLessThan(4000)
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

test('a revert that is told without its status is found to be no answer', () => {
  expect(() => check(createOrder, { samples: { authorise: { undone: {} } } })).toThrow(
    /payment\.released answers revert_payment of step authorise/,
  )
})
