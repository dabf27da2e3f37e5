/** Small sagas keep all promises in every state, and bugs planted in the rules are found. */
import { describe, expect, test } from 'vitest'
import { check } from './check.ts'
import { planted } from './planted.testkit.ts'
import { sagas } from './sagas.testkit.ts'

describe('every reachable state keeps the promises', () => {
  test.each(Object.entries(sagas))('%s', (_name, saga) => {
    const { fault, statuses } = check(saga, { tries: 3 })
    expect(fault).toBeNull()
    expect(statuses).toHaveProperty('COMPLETED')
  })
})

test.each(planted.map((each) => [each.bug, each] as const))(
  'the walk finds that %s',
  (_bug, { saga, rules, fault, operated = false }) => {
    const options = { tries: 3, hostFails: operated, operator: operated }
    expect(check(saga, { ...options, rules }).fault?.promise).toMatch(fault)
    expect(check(saga, options).fault).toBeNull()
  },
)
