/** The reduced walk meets what a plain one meets, and judges it alike. */
import { describe, expect, test } from 'vitest'
import type { CheckOptions } from './check.ts'
import { explore } from './check.ts'
import { phasesOf, walk } from './plain.testkit.ts'
import { planted } from './planted.testkit.ts'
import { rules } from './rules.ts'
import { sagas } from './sagas.testkit.ts'

const options = (operated: boolean): CheckOptions => ({ tries: 9, hostFails: operated, operator: operated, input: {} })

const phasesMet = (saga: (typeof sagas)[string], operated: boolean): ReadonlySet<string> =>
  new Set(explore(saga, options(operated)).explored.nodes.map(({ world }) => phasesOf(world.saga.state)))

describe('the same statuses and phases are met', () => {
  const small = Object.entries(sagas).filter(([name]) => !/four|five/.test(name))
  test.each(small)('%s', (_name, saga) => {
    const plain = walk(saga).phases
    const reduced = phasesMet(saga, false)
    expect([...plain].filter((each) => !reduced.has(each))).toEqual([])
    // Members of a group may come to their times one by one, which the plain walk does not know.
    if (saga.stages.every((stage) => stage.length === 1)) expect(reduced.size).toBe(plain.size)
  })

  test.each(['one step', 'a cancel after completion', 'an unknown that parks'])(
    '%s, with a host that fails and an operator',
    (name) => {
      const saga = sagas[name]
      if (saga === undefined) throw new Error(`there is no saga of ${name}`)
      const reduced = phasesMet(saga, true)
      expect([...walk(saga, rules, true).phases].filter((each) => !reduced.has(each))).toEqual([])
    },
  )
})

test.each(planted.map((each) => [each.bug, each] as const))(
  'both find that %s',
  (_bug, { saga, rules: changed, fault, operated = false }) => {
    const plain = walk(saga, { ...rules, ...changed }, operated)
    const { broken } = explore(saga, { ...options(operated), rules: changed }).explored
    expect(plain.fault).toMatch(fault)
    expect(broken?.promise).toMatch(fault)
  },
)
