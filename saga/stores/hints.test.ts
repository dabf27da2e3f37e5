import { expect, test } from 'vitest'
import { movedHints, pass, readHint, waitingHint } from './hints.ts'
import { watcherOf } from './sagas.testkit.ts'

/** What a watcher of the process `me` is told. */
function heard(...payloads: readonly string[]): string[] {
  const told: string[] = []
  const watcher = watcherOf(
    (ids) => told.push(...ids),
    () => told.push('waiting'),
  )
  for (const payload of payloads) {
    const hint = readHint(payload)
    if (hint !== null) pass(hint, 'me', watcher)
  }
  return told
}

test('what others have moved, and that something waits, is told; what the process has said itself is not', () => {
  expect(heard(...movedHints('other', ['a', 'b']), waitingHint('other'), waitingHint(''))).toEqual([
    'a',
    'b',
    'waiting',
    'waiting',
  ])
  expect(heard(...movedHints('me', ['a']), waitingHint('me'), ...movedHints('other', []))).toEqual([])
})

test('what is not understood is passed over', () => {
  const odd = ['', 'no json', '{}', '[]', 'null', '5', '["other",1]', '{"from":5,"waiting":true}']
  expect(heard(...odd, '{"from":"other","waiting":"soon"}', '{"from":"other","newer":true}')).toEqual([])
})

test('a process that knows only of moves takes a hint that something waits for none of its own', () => {
  expect(Array.isArray(JSON.parse(waitingHint('other')))).toBe(false)
})

test('hints of many moves are cut into notifications that PostgreSQL takes', () => {
  const ids = Array.from({ length: 1_000 }, (_, index) => `Grüße "${index}"`)
  const hints = movedHints('from', ids)
  expect(hints.length).toBeGreaterThan(1)
  for (const hint of hints) expect(Buffer.byteLength(hint)).toBeLessThan(8_000)
  expect(heard(...hints)).toEqual(ids)
})
