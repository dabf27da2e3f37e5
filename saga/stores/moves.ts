/**
 * Moves as they are read: rows that cannot be made out are told apart, and the status of a move is found where an earlier
 * version has kept none with it. Positions among the moves of all sagas, as text that a reader hands back.
 */
import { evolve } from '../core/evolve.ts'
import type { SagaState, SagaStatus } from '../core/state.ts'
import type { Events } from './kept-state.ts'
import { damageOf } from './reading.ts'
import type { DamagedSaga, HistoryEntry, StoredMove } from './store.ts'
import { StoreError } from './store.ts'

/** As it is read: with it, an earlier version has kept no status. */
export type ReadEntry = Omit<HistoryEntry, 'status'> & { readonly status: SagaStatus | null }

export type ReadMove = ReadEntry & Omit<StoredMove, 'status'>

/** The events of each of a saga's moves from the first on; throws, whatever it is, where they cannot be read. */
export type ReadMoves = () => readonly Events[]

export interface MoveReading<Row, Entry extends ReadEntry> {
  readonly idOf: (row: Row) => string
  /** Throws, whatever it is, where the row cannot be read. */
  readonly toEntry: (row: Row) => Entry
  /** The moves of these sagas, each up to a `seq`, as far as the sagas are still there. */
  readonly earlier: (upTo: ReadonlyMap<string, number>) => Promise<ReadonlyMap<string, ReadMoves>>
}

export interface ReadEntries<Entry> {
  readonly entries: readonly (Entry & HistoryEntry)[]
  readonly damaged: readonly DamagedSaga[]
}

/** Entries from rows; those of sagas that are removed meanwhile are left out. */
export async function readEntries<Row, Entry extends ReadEntry>(
  { idOf, toEntry, earlier }: MoveReading<Row, Entry>,
  rows: readonly Row[],
): Promise<ReadEntries<Entry>> {
  const damaged = new Map<string, StoreError>()
  function sound<T>(id: string, read: () => T): T | null {
    try {
      return read()
    } catch (error) {
      damaged.set(id, error instanceof StoreError ? error : damageOf(id, error))
      return null
    }
  }
  const read = rows.map((row) => sound(idOf(row), () => toEntry(row))).filter((entry) => entry !== null)
  const old = withoutStatus(read)
  const moves = old.size === 0 ? new Map<string, ReadMoves>() : await earlier(old)
  const found = new Map([...moves].map(([id, of]) => [id, sound(id, () => statusesAfter(of(), old.get(id) ?? 0))]))
  const entries = read.flatMap((entry) => {
    const status = entry.status ?? found.get(entry.sagaId)?.[entry.seq - 1]
    return status === undefined ? [] : [{ ...entry, status }]
  })
  return { entries, damaged: [...damaged].map(([id, problem]) => ({ id, problem })) }
}

/** The same of one saga. @throws StoreError `damaged` */
export async function readHistory<Row>(
  reading: MoveReading<Row, ReadEntry>,
  rows: readonly Row[],
): Promise<readonly HistoryEntry[]> {
  const {
    entries,
    damaged: [damage],
  } = await readEntries(reading, rows)
  if (damage !== undefined) throw damage.problem
  return entries
}

/** Sagas of entries without a status, and the last such `seq` of each. */
function withoutStatus(entries: readonly ReadEntry[]): ReadonlyMap<string, number> {
  const upTo = new Map<string, number>()
  for (const { sagaId, seq, status } of entries)
    if (status === null) upTo.set(sagaId, Math.max(seq, upTo.get(sagaId) ?? 0))
  return upTo
}

/** @throws where they are not all of a saga's moves up to `seq` */
function statusesAfter(moves: readonly Events[], seq: number): readonly SagaStatus[] {
  if (moves.length !== seq) throw new Error(`its history up to move ${seq} has ${moves.length}`)
  let state: SagaState | null = null
  return moves.map((events) => {
    state = events.reduce<SagaState | null>(evolve, state)
    if (state === null) throw new Error('its history does not begin with its start')
    return state.status
  })
}

/** A position is of one store: its identity, then the place in the store's own words. */
export const positionText = (identity: string, place: string | number): string => `${identity}:${place}`

interface CountedPosition {
  readonly identity: string
  readonly count: number
}

/**
 * A position of a store that counts its moves.
 *
 * @throws RangeError
 */
export function parsePosition(position: string): CountedPosition {
  const [, identity, count] = /^([a-z0-9]+):(\d{1,16})$/.exec(position) ?? []
  if (identity === undefined) throw noPosition(position)
  return { identity, count: Number(count) }
}

/**
 * The count in a position of this store: 0 before the first move.
 *
 * @param last of the last move that was counted
 * @throws RangeError
 */
export function countIn(position: string | null, identity: string, last: number): number {
  if (position === null) return 0
  const { identity: of, count } = parsePosition(position)
  if (of !== identity || count > last) throw noPosition(position)
  return count
}

export const noPosition = (position: string): RangeError =>
  new RangeError(
    `${JSON.stringify(position)} is no position among the moves of this store: another has given it, or this one before it was restored from a backup. Begin again with null.`,
  )
