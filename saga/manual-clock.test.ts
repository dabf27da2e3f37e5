import { expect, test } from 'vitest'
import { manualClock } from './manual-clock.ts'

test('what is due is called back in its order, at its time, and what it sets is called back, too', async () => {
  const clock = manualClock(1_000)
  const seen: [string, number, number][] = []
  const note = (name: string) => () => void seen.push([name, clock.now(), clock.elapsed()])
  clock.after(30, note('third'))
  clock.after(10, () => {
    note('first')()
    clock.after(5, note('second'))
  })
  clock.after(31, note('not yet'))
  await clock.advance(30)
  expect(seen).toEqual([
    ['first', 1_010, 10],
    ['second', 1_015, 15],
    ['third', 1_030, 30],
  ])
})

test('what is cancelled is not called back', async () => {
  const clock = manualClock()
  let called = false
  clock.after(1, () => (called = true)).cancel()
  await clock.advance(10)
  expect(called).toBe(false)
})
