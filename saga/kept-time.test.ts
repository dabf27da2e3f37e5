/** By which time rows are old, whatever the clock of the machine says. */
import { expect, test } from 'vitest'
import { KeptTime } from './kept-time.ts'
import type { Problem } from './problem.ts'

const [hour, day] = [3_600_000, 86_400_000]

function setUp() {
  const machine = { clock: 1_000 * day, elapsed: 0 }
  const problems: Problem[] = []
  const start = () =>
    new KeptTime({
      now: () => machine.clock,
      elapsed: () => machine.elapsed,
      onProblem: (problem) => problems.push(problem),
    })
  const passes = (ms: number): void => {
    machine.clock += ms
    machine.elapsed += ms
  }
  return { machine, problems, start, passes }
}

test('it goes with the clock, however long the process runs', () => {
  const { machine, problems, start, passes } = setUp()
  const time = start()
  let at = time.next(null)
  for (let count = 0; count < 100; count += 1) {
    passes(day)
    at = time.next(at)
    expect(at).toBe(machine.clock)
  }
  expect(problems).toEqual([])
})

test('a jump ahead makes it a day later at most in a process, and a day more at each start', () => {
  const { machine, problems, start, passes } = setUp()
  const time = start()
  let at = time.next(null)
  passes(hour)
  machine.clock += 400 * day
  at = time.next(at)
  expect(at).toBe(1_001 * day + hour)
  passes(hour)
  at = time.next(at)
  expect(at).toBe(1_001 * day + 2 * hour)
  for (let restart = 1; restart <= 3; restart += 1)
    expect((at = start().next(at))).toBe((1_001 + restart) * day + 2 * hour)
  expect(problems).toHaveLength(4)
})

test('a clock that is set right is believed at once, and told of again where it jumps once more', () => {
  const { machine, problems, start } = setUp()
  const time = start()
  time.next(null)
  for (const jump of [400 * day, -400 * day, 400 * day]) {
    machine.clock += jump
    time.next(null)
    time.next(null)
  }
  expect(problems.map(({ what }) => what)).toEqual(
    Array.from({ length: 2 }, () => expect.stringContaining('is 399 days ahead') as string),
  )
})

test('a clock that is behind makes nothing old when it is set right', () => {
  const { machine, start } = setUp()
  machine.clock -= 400 * day
  const at = start().next(null)
  machine.clock += 400 * day
  expect(start().next(at)).toBe(601 * day)
})
