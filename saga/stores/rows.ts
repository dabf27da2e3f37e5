/**
 * The saga's row as SQL stores keep it: its columns, its form in our words, and the conditions of lists and counts.
 *
 * The row is small and stays so. The state is kept in the history, beside the events: with one of every so many moves, and
 * where nothing follows by itself. What came since is folded when the saga is read, a few entries at most. So a move costs
 * the same however much its saga holds: a large input, or the answers of two hundred steps.
 */
import type { Event } from '../core/events.ts'
import { evolve } from '../core/evolve.ts'
import type { SagaState } from '../core/state.ts'
import { jsonOf } from './json.ts'
import type { Reading } from './reading.ts'
import { damageOf, stateOf } from './reading.ts'
import type { HistoryEntry, Move, SagaFilter, Start, StoredSaga } from './store.ts'
import { StoreError } from './store.ts'

export const sagaColumns =
  'id, definition, version, seq, state_seq, owner, key, fingerprint, business_key, created_at, updated_at'

/** What is read of the table `saga`: its columns, the state that was kept, and the events of each move since. */
export const readColumns = (history: string): string => `${sagaColumns},
  (select h.state from ${history} h where h.saga_id = saga.id and h.seq = saga.state_seq) as state,
  case when state_seq < seq then (
    select string_agg(h.events, ',' order by h.seq) from ${history} h where h.saga_id = saga.id and h.seq > saga.state_seq
  ) end as later`

const movesPerState = 16

/** The state that is kept with a move: now and then, and where nothing follows by itself. Null otherwise. */
export function stateToKeep({ id, fromSeq, toSeq, live, state }: Move): string | null {
  const due = Math.floor(fromSeq / movesPerState) < Math.floor(toSeq / movesPerState)
  return due || !live ? jsonOf(id, state) : null
}

/** The statuses of sagas that may be pruned. */
export const endedStatuses = `('COMPLETED', 'COMPENSATED', 'CANCELLED', 'FAILED')`

export interface SagaRow {
  readonly id: string
  readonly definition: string
  readonly version: number
  readonly seq: number
  /** The move that `state` was kept with; 0 where none was yet. */
  readonly state_seq: number
  readonly owner: string
  readonly key: string | null
  readonly fingerprint: string
  readonly business_key: string | null
  readonly created_at: number
  readonly updated_at: number
  readonly state: string | null
  readonly later: string | null
}

const toSaga = (row: SagaRow): StoredSaga => ({
  id: row.id,
  definition: row.definition,
  version: row.version,
  seq: row.seq,
  state: stateOf(row.id, folded(row)),
  owner: row.owner,
  key: row.key,
  fingerprint: row.fingerprint,
  businessKey: row.business_key,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

function folded({ seq, state, state_seq, later }: SagaRow): unknown {
  const kept = state === null ? null : (JSON.parse(state) as SagaState)
  const moves = later === null ? [] : (JSON.parse(`[${later}]`) as readonly (readonly Event[])[])
  if (state_seq + moves.length !== seq)
    throw new Error(`it is at move ${seq}, but after ${state_seq} its history has ${moves.length}`)
  return moves.flat().reduce(evolve, kept)
}

export const reading: Reading<SagaRow> = { keyOf: ({ id, created_at }) => ({ id, createdAt: created_at }), toSaga }

export interface HistoryRow {
  readonly seq: number
  readonly at: number
  readonly input_id: string
  readonly events: string
}

/** @throws StoreError `damaged` */
export function toEntry(sagaId: string, { seq, at, input_id, events }: HistoryRow): HistoryEntry {
  try {
    return { sagaId, seq, at, inputId: input_id, events: JSON.parse(events) as readonly Event[] }
  } catch (error) {
    throw damageOf(sagaId, error)
  }
}

/** Text columns hold no NUL and no half of a surrogate pair (in JSON both are escaped). */
export const isStorable = (text: string | null): boolean =>
  // Most texts have neither pairs nor halves, which is told much faster.
  text === null || !/[\0\ud800-\udfff]/.test(text) || !/\0|\p{Surrogate}/u.test(text)

/**
 * Databases differ in what they make of such texts: some refuse, some keep another text, under which nothing is found.
 *
 * @throws StoreError `refused`
 */
export function refuseOddNames({ starts, moves }: { starts: readonly Start[]; moves: readonly Move[] }): void {
  for (const { saga, entry } of starts) {
    const { id, definition, owner, key, fingerprint, businessKey } = saga
    refuseOdd(id, 'id', id)
    refuseOdd(id, 'definition', definition)
    refuseOdd(id, 'owner', owner)
    refuseOdd(id, 'key', key)
    refuseOdd(id, 'fingerprint', fingerprint)
    refuseOdd(id, 'business key', businessKey)
    refuseOdd(id, 'input id', entry.inputId)
  }
  for (const { id, owner, businessKey, entries } of moves) {
    refuseOdd(id, 'owner', owner)
    refuseOdd(id, 'business key', businessKey)
    for (const { inputId } of entries) refuseOdd(id, 'input id', inputId)
  }
}

function refuseOdd(id: string, field: string, text: string | null): void {
  if (!isStorable(text))
    throw new StoreError(
      'refused',
      `The ${field} of saga ${JSON.stringify(id)} has a NUL or half a surrogate pair in it: ${JSON.stringify(text)}. Leave it out.`,
    )
}

/** @param argument how the database writes the n-th argument, from 1 */
export function condition(
  filter: SagaFilter,
  argument: (n: number) => string,
): { readonly where: string; readonly values: readonly (string | number)[] } {
  const parts: [string, string | number | undefined][] = [
    ['definition =', filter.definition],
    ['status =', filter.status],
    ['business_key =', filter.businessKey],
    ['created_at >=', filter.createdFrom],
    ['created_at <', filter.createdBefore],
  ]
  const used = parts.filter(([, value]) => value !== undefined)
  if (used.some(([, value]) => typeof value === 'string' && !isStorable(value))) return { where: 'false', values: [] }
  return {
    where: ['true', ...used.map(([text], index) => `${text} ${argument(index + 1)}`)].join(' and '),
    values: used.map(([, value]) => value as string | number),
  }
}
