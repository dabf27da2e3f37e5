import type { Problem } from '../../problem.ts'
import { expect, test } from 'vitest'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { turns, until } from './engine.testkit.ts'
import { Retention } from './retention.ts'
import { handClock } from './shop.testkit.ts'

/** A store with so many ended sagas, that removes a portion when it is told. */
function setUp(ended: number) {
  const clock = handClock()
  const asked: { readonly retainMs: number; readonly limit: number; finish(): void }[] = []
  let left = ended
  const store = {
    ...memoryStore(),
    prune: (retainMs: number, limit: number) =>
      new Promise<number>((resolve) => {
        const finish = (): void => {
          const removed = Math.min(left, limit)
          left -= removed
          resolve(removed)
        }
        asked.push({ retainMs, limit, finish })
      }),
  }
  const retention = new Retention({ store, clock, retainMs: 60_000, onProblem: () => undefined })
  return { retention, clock, asked, left: () => left }
}

test('all that is due is removed, portion after portion, one at a time, with a pause for commits after each', async () => {
  const { retention, clock, asked, left } = setUp(450)
  retention.run()
  retention.run()
  await turns()
  expect(asked.map(({ retainMs }) => retainMs)).toEqual([60_000])
  for (let portion = 1; portion <= 3; portion += 1) {
    expect(asked).toHaveLength(portion)
    retention.run()
    asked.at(-1)?.finish()
    await turns()
    expect(asked).toHaveLength(portion)
    clock.advance(20)
    await turns()
  }
  expect([left(), asked.length]).toEqual([0, 3])
  retention.run()
  expect(asked).toHaveLength(4)
})

test('the end waits for the portion under way, and no other follows', async () => {
  const { retention, clock, asked } = setUp(1000)
  retention.run()
  let over = false
  const end = retention.stop().then(() => (over = true))
  await turns()
  expect(over).toBe(false)
  asked[0]?.finish()
  await end
  retention.run()
  clock.advance(1000)
  await turns()
  expect(asked).toHaveLength(1)
})

test('the end does not wait for the pause', async () => {
  const { retention, asked } = setUp(1000)
  retention.run()
  asked[0]?.finish()
  await turns()
  await retention.stop()
  expect(asked).toHaveLength(1)
})

test('a store that fails is asked again with the next heartbeat', async () => {
  const problems: string[] = []
  const store = { ...memoryStore(), prune: () => Promise.reject(new Error('away')) }
  const onProblem = ({ what }: Problem): void => void problems.push(what)
  const retention = new Retention({ store, clock: handClock(), retainMs: 1, onProblem })
  for (const beats of [1, 2]) {
    retention.run()
    await until(() => expect(problems).toHaveLength(beats))
  }
})
