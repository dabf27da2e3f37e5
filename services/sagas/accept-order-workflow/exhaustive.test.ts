/** Every state that Accept Order on Temporal can reach keeps the promises of a saga (docs/saga-rules.md). */
import { describe, expect, test } from 'vitest'
import { check, type CheckOptions } from '../../../saga/hosts/checker/check.ts'
import { acceptOrderWorkflowSaga } from './saga.ts'

const input = { order_id: 'order_1', runner_id: 'runner_1' }

const walks: Readonly<Record<string, CheckOptions>> = {
  'two tries, a host that fails and an operator': { tries: 2, hostFails: true, operator: true },
  'three tries': { tries: 3 },
  'two tries, and foreign order and timer services': { tries: 2, foreign: ['order', 'timer'] },
}

describe('every state keeps the promises', () => {
  test.each(Object.entries(walks))('%s', (_name, options) => {
    const { fault, states, statuses } = check(acceptOrderWorkflowSaga(), {
      input,
      hostFails: false,
      operator: false,
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
