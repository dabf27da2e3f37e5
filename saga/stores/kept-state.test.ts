import { expect, test } from 'vitest'
import { evolve } from '../core/evolve.ts'
import { foldSince, stateToKeep } from './kept-state.ts'
import { moveOf, startOf } from './sagas.testkit.ts'

/** A saga of so many moves, and which of them its state was kept with. */
function grow(
  moves: number,
  live = true,
): { readonly keptAt: number[]; readonly bytes: number; readonly events: number } {
  let { saga } = startOf()
  const keptAt: number[] = []
  let bytes = 0
  let events = 0
  while (saga.seq < moves) {
    const move = moveOf(saga, { step: `step${saga.seq}`, live })
    const kept = stateToKeep(move)
    saga = { ...saga, seq: move.toSeq, state: move.state }
    events += JSON.stringify(move.entries).length
    if (kept !== null) keptAt.push(saga.seq)
    bytes += kept?.length ?? 0
  }
  return { keptAt, bytes, events }
}

test('a state is kept every sixteen moves at first, later with ever fewer, and never more than an eighth of them apart', () => {
  const { keptAt } = grow(4_096)
  expect(keptAt.slice(0, 3)).toEqual([16, 32, 48])
  expect(keptAt.slice(-3)).toEqual([3_584, 3_840, 4_096])
  for (const [index, seq] of keptAt.entries()) {
    const distance = seq - (keptAt[index - 1] ?? 0)
    expect(distance).toBeGreaterThanOrEqual(16)
    expect(distance).toBeLessThanOrEqual(Math.max(16, seq / 8))
  }
})

test('what is kept of states stays in proportion to the moves, however many they are', () => {
  const [short, long] = [grow(512), grow(4_096)]
  expect(long.bytes / long.events).toBeLessThan(1.2 * (short.bytes / short.events))
})

test('a state from which nothing follows by itself is kept at once', () => {
  expect(grow(4, false).keptAt).toEqual([2, 3, 4])
})

test('a move of several entries that passes the place of a state keeps it', () => {
  const { saga } = startOf()
  expect(stateToKeep(moveOf({ ...saga, seq: 14 }, { entries: 4 }))).not.toBeNull()
  expect(stateToKeep(moveOf({ ...saga, seq: 16 }, { entries: 4 }))).toBeNull()
})

test('a state is folded from the one that was kept and the moves since, and from no fewer', () => {
  const { saga, entry } = startOf()
  const { entries } = moveOf(saga)
  const later = [entry.events, ...entries.map(({ events }) => events)]
  const state = later.flat().reduce(evolve, null)
  expect(foldSince(null, 0, later, 2)).toEqual(state)
  expect(foldSince(JSON.stringify(saga.state), 1, later.slice(1), 2)).toEqual(state)
  expect(() => foldSince(null, 0, later.slice(1), 2)).toThrow('it is at move 2, but after 0 its history has 1')
})
