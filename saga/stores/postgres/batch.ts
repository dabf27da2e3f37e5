/** A batch as the columns that the commit statement takes, and the parts of a batch that hurt each other apart. */
import type { Columns } from '../rows.ts'
import * as rows from '../rows.ts'
import type { HistoryEntry, Move, Start } from '../store.ts'
import { int8Array, textArray } from './arrays.ts'

export interface Batch {
  readonly starts: readonly Start[]
  readonly moves: readonly Move[]
}

/** The columns of something that belongs to the item. */
const through = <Item, Part>(columns: Columns<Part>, part: (item: Item) => Part): Columns<Item> =>
  Object.fromEntries(
    Object.entries(columns).map(([name, { type, of }]) => [name, { type, of: (item: Item) => of(part(item)) }]),
  )

const { at, input_id, events } = rows.entryColumns
const ofEntry = { at, input_id, events }

/** The last entry of a move travels with it (and has its status), earlier ones on their own. */
export const moveColumns: Columns<Move> = {
  ...rows.moveColumns,
  ...through(ofEntry, ({ entries }: Move) => entries.at(-1) as HistoryEntry),
}

export const startColumns: Columns<Start> = { ...rows.sagaColumns, ...through(ofEntry, ({ entry }: Start) => entry) }

/** The items as one array for each column. */
const arraysOf = <Item>(columns: Columns<Item>, items: readonly Item[]): Buffer[] =>
  Object.values(columns).map(({ type, of }) => {
    const values = items.map((item) => of(item))
    return type === 'text' ? textArray(values as (string | null)[]) : int8Array(values as number[])
  })

/** Every batch takes its rows in the order of their ids: two that share rows then wait for each other, and never both. */
export const moveArrays = (moves: readonly Move[]): Buffer[] =>
  arraysOf(
    moveColumns,
    moves.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  )

export const earlierArrays = (moves: readonly Move[]): Buffer[] =>
  arraysOf(
    rows.entryColumns,
    moves.flatMap(({ entries }) => entries.slice(0, -1)),
  )

/** In the order of their keys, for the same reason as moves. */
export const startArrays = (starts: readonly Start[]): Buffer[] =>
  arraysOf(
    startColumns,
    starts.toSorted((a, b) => ((a.saga.key ?? a.saga.id) < (b.saga.key ?? b.saga.id) ? -1 : 1)),
  )

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
