import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StepState } from './state.ts'
import { entriesOf, noSteps, readSteps, stepIn, withStepIn, type Steps } from './steps.ts'

const step = (attempts: number): StepState => ({ phase: 'done', attempts, since: 0 })
const names = fc.array(
  fc.stringMatching(/^[\w-]{1,12}$/).filter((name) => !(name in {})),
  { maxLength: 120 },
)

test('what is put in is found, and nothing else, as after a restart', () =>
  fc.assert(
    fc.property(names, (all) => {
      const expected = new Map(all.map((name, index) => [name, step(index)]))
      const kept = all.reduce((steps, name, index) => withStepIn(steps, name, step(index)), noSteps)
      expect(new Map(entriesOf(kept))).toEqual(expected)
      const read = readSteps(JSON.parse(JSON.stringify(kept)) as typeof kept)
      for (const name of [...all, 'other one']) expect(stepIn(read, name)).toEqual(expected.get(name))
    }),
  ))

test('steps of an earlier version, one flat object, are read', () => {
  const flat = { pay: step(1), '3': step(2), few: step(3), many: step(4) }
  expect(new Map(entriesOf(readSteps(flat)))).toEqual(new Map(Object.entries(flat)))
  expect(readSteps({ many: step(1) })).toEqual({ few: { many: step(1) } })
  expect(readSteps({})).toEqual({ few: {} })
  const long = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`s${index}`, step(index)]))
  expect(new Map(entriesOf(readSteps(long)))).toEqual(new Map(Object.entries(long)))
})

test('a change copies a few entries, however many steps there are', () => {
  let steps = noSteps
  for (let each = 0; each < 10_000; each++) steps = withStepIn(steps, `step-${each}`, step(1))
  const before = steps
  const after = withStepIn(steps, 'step-77', step(2))
  const groupsOf = (all: Steps) => ('many' in all ? Object.values(all.many).flatMap((each) => Object.values(each)) : [])
  const groups = groupsOf(before)
  const kept = new Set(groupsOf(after))
  expect(groups.filter((group) => !kept.has(group))).toHaveLength(1)
  expect(Math.max(...groups.map((group) => Object.keys(group).length))).toBeLessThan(40)
})
