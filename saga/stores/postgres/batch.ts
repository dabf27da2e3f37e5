/** A batch as the columns that the commit statement takes, and the parts of a batch that hurt each other apart. */
import { jsonOf } from '../json.ts'
import { stateToKeep } from '../rows.ts'
import type { HistoryEntry, Move, Start } from '../store.ts'
import { int8Array, textArray } from './arrays.ts'

export interface Batch {
  readonly starts: readonly Start[]
  readonly moves: readonly Move[]
}

/** Of `moveColumns`, in order. The last entry of a move travels with it, earlier ones as `entryColumns`. */
export const moveColumnTypes = {
  id: 'text',
  from_seq: 'bigint',
  to_seq: 'bigint',
  /** Null where none is kept with this move. */
  state: 'text',
  status: 'text',
  business_key: 'text',
  owner: 'text',
  live: 'bigint',
  updated_at: 'bigint',
  at: 'bigint',
  input_id: 'text',
  events: 'text',
}

/** Every batch takes its rows in the order of their ids: two that share rows then wait for each other, and never both. */
export function moveColumns(moves: readonly Move[]): Buffer[] {
  const sorted = moves.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const last = sorted.map((move) => move.entries.at(-1))
  return [
    textArray(sorted.map((move) => move.id)),
    int8Array(sorted.map((move) => move.fromSeq)),
    int8Array(sorted.map((move) => move.toSeq)),
    textArray(sorted.map((move) => stateToKeep(move))),
    textArray(sorted.map((move) => move.state.status)),
    textArray(sorted.map((move) => move.businessKey)),
    textArray(sorted.map((move) => move.owner)),
    int8Array(sorted.map((move) => (move.live ? 1 : 0))),
    int8Array(sorted.map((move) => move.updatedAt)),
    int8Array(last.map((entry) => entry?.at ?? 0)),
    textArray(last.map((entry) => entry?.inputId ?? null)),
    textArray(last.map((entry) => (entry === undefined ? null : jsonOf(entry.sagaId, entry.events)))),
  ]
}

export const entryColumnTypes = { id: 'text', seq: 'bigint', at: 'bigint', input_id: 'text', events: 'text' }

export function entryColumns(moves: readonly Move[]): Buffer[] {
  const earlier = moves.flatMap((move): readonly HistoryEntry[] => move.entries.slice(0, -1))
  return [
    textArray(earlier.map((entry) => entry.sagaId)),
    int8Array(earlier.map((entry) => entry.seq)),
    int8Array(earlier.map((entry) => entry.at)),
    textArray(earlier.map((entry) => entry.inputId)),
    textArray(earlier.map((entry) => jsonOf(entry.sagaId, entry.events))),
  ]
}

export const startColumnTypes = {
  id: 'text',
  definition: 'text',
  version: 'bigint',
  seq: 'bigint',
  state_seq: 'bigint',
  status: 'text',
  owner: 'text',
  key: 'text',
  fingerprint: 'text',
  business_key: 'text',
  live: 'bigint',
  created_at: 'bigint',
  updated_at: 'bigint',
  at: 'bigint',
  input_id: 'text',
  events: 'text',
}

/** In the order of their keys, for the same reason as moves. */
export function startColumns(starts: readonly Start[]): Buffer[] {
  const sorted = starts.toSorted((a, b) => ((a.saga.key ?? a.saga.id) < (b.saga.key ?? b.saga.id) ? -1 : 1))
  return [
    textArray(sorted.map(({ saga }) => saga.id)),
    textArray(sorted.map(({ saga }) => saga.definition)),
    int8Array(sorted.map(({ saga }) => saga.version)),
    int8Array(sorted.map(({ saga }) => saga.seq)),
    int8Array(sorted.map(() => 0)),
    textArray(sorted.map(({ saga }) => saga.state.status)),
    textArray(sorted.map(({ saga }) => saga.owner)),
    textArray(sorted.map(({ saga }) => saga.key)),
    textArray(sorted.map(({ saga }) => saga.fingerprint)),
    textArray(sorted.map(({ saga }) => saga.businessKey)),
    int8Array(sorted.map(({ live }) => (live ? 1 : 0))),
    int8Array(sorted.map(({ saga }) => saga.createdAt)),
    int8Array(sorted.map(({ saga }) => saga.updatedAt)),
    int8Array(sorted.map(({ entry }) => entry.at)),
    textArray(sorted.map(({ entry }) => entry.inputId)),
    textArray(sorted.map(({ entry }) => jsonOf(entry.sagaId, entry.events))),
  ]
}

/**
 * The batch in parts, to be written one after the other: within a part, no two items have an id or a key in common,
 * since one statement does not see what it has itself written. The engine's batches are one part.
 */
export function partsOf({ starts, moves }: Batch): readonly Batch[] {
  const parts: { starts: Start[]; moves: Move[] }[] = []
  const next = new Map<string, number>()
  function place(names: readonly string[]): { starts: Start[]; moves: Move[] } {
    const index = Math.max(...names.map((name) => next.get(name) ?? 0))
    for (const name of names) next.set(name, index + 1)
    return (parts[index] ??= { starts: [], moves: [] })
  }
  for (const start of starts) {
    const { id, key } = start.saga
    place(key === null ? [`id ${id}`] : [`id ${id}`, `key ${key}`]).starts.push(start)
  }
  for (const move of moves) place([`id ${move.id}`]).moves.push(move)
  return parts
}
