/**
 * The saga's row as SQL stores keep it: its columns (a new one is a line here), its form in our words, and the conditions of lists and counts.
 *
 * The row is small and stays so. The state is kept in the history, beside the events of the move that it was kept with
 * (`kept-state.ts`), and what came since is folded when the saga is read.
 */
import type { Input } from '../core/decide.ts'
import type { SagaStatus } from '../core/state.ts'
import { jsonOf } from './json.ts'
import type { Events } from './kept-state.ts'
import { foldSince, stateToKeep } from './kept-state.ts'
import type { MoveReading, ReadEntries, ReadEntry, ReadMove, ReadMoves } from './moves.ts'
import { readEntries, readHistory } from './moves.ts'
import { isStorable } from './names.ts'
import type { Reading } from './reading.ts'
import { stateOf } from './reading.ts'
import type { HandedInput, HistoryEntry, KnownDefinition, Move, SagaFilter, Start, StoredSaga } from './store.ts'

interface Column<Item, Value> {
  readonly type: 'text' | 'bigint'
  readonly of: (item: Item) => Value
}

const text = <Item, Value extends string | null>(of: (item: Item) => Value): Column<Item, Value> => ({
  type: 'text',
  of,
})
const whole = <Item>(of: (item: Item) => number): Column<Item, number> => ({ type: 'bigint', of })
const flag = (is: boolean): number => (is ? 1 : 0)

/** Columns by name, in order: what a row of theirs holds, and where it comes from. */
export type Columns<Item> = Readonly<Record<string, Column<Item, string | number | null>>>

/** The table `saga`, as a start fills it. */
export const sagaColumns = {
  id: text(({ saga }: Start) => saga.id),
  definition: text(({ saga }: Start) => saga.definition),
  version: whole(({ saga }: Start) => saga.version),
  seq: whole(({ saga }: Start) => saga.seq),
  /** The move that its state was kept with last; 0 where none was yet. */
  state_seq: whole<Start>(() => 0),
  owner: text(({ saga }: Start) => saga.owner),
  key: text(({ saga }: Start) => saga.key),
  fingerprint: text(({ saga }: Start) => saga.fingerprint),
  business_key: text(({ saga }: Start) => saga.businessKey),
  created_at: whole(({ saga }: Start) => saga.createdAt),
  updated_at: whole(({ saga }: Start) => saga.updatedAt),
  status: text(({ saga }: Start) => saga.state.status),
  live: whole(({ live }: Start) => flag(live)),
}

/** The table `saga_history`, but for the state that may be kept with an entry. */
export const entryColumns = {
  saga_id: text((entry: HistoryEntry) => entry.sagaId),
  seq: whole((entry: HistoryEntry) => entry.seq),
  at: whole((entry: HistoryEntry) => entry.at),
  input_id: text((entry: HistoryEntry) => entry.inputId),
  events: text((entry: HistoryEntry) => jsonOf(entry.sagaId, entry.events)),
  status: text((entry: HistoryEntry) => entry.status),
}

/** What a move changes, and the saga and the `seq` that it changes it of. */
export const moveColumns = {
  id: text(({ id }: Move) => id),
  from_seq: whole(({ fromSeq }: Move) => fromSeq),
  to_seq: whole(({ toSeq }: Move) => toSeq),
  status: text(({ state }: Move) => state.status),
  business_key: text(({ businessKey }: Move) => businessKey),
  owner: text(({ owner }: Move) => owner),
  live: whole(({ live }: Move) => flag(live)),
  updated_at: whole(({ updatedAt }: Move) => updatedAt),
  /** Null where none is kept with this move. */
  state: text((move: Move) => stateToKeep(move)),
}

export const namesOf = <Item>(columns: Columns<Item>): string => Object.keys(columns).join(', ')

/** What is read of the table `saga`: its columns, the state that was kept, and the events of each move since. */
export const readColumns = (history: string): string => `${namesOf(sagaColumns)},
  (select h.state from ${history} h where h.saga_id = saga.id and h.seq = saga.state_seq) as state,
  case when state_seq < seq then (
    select string_agg(h.events, ',' order by h.seq) from ${history} h where h.saga_id = saga.id and h.seq > saga.state_seq
  ) end as later`

/** The statuses of sagas that may be pruned. */
export const endedStatuses = `('COMPLETED', 'COMPENSATED', 'CANCELLED', 'FAILED')`

export type RowOf<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends Column<never, infer Value> ? Value : never
}

export type SagaRow = RowOf<typeof sagaColumns> & { readonly state: string | null; readonly later: string | null }

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

const folded = ({ seq, state, state_seq, later }: SagaRow): unknown =>
  foldSince(state, state_seq, later === null ? [] : (JSON.parse(`[${later}]`) as readonly Events[]), seq)

export const reading: Reading<SagaRow> = { keyOf: ({ id, created_at }) => ({ id, createdAt: created_at }), toSaga }

/** Rows of an earlier version have no status. */
export type HistoryRow = Omit<RowOf<typeof entryColumns>, 'status'> & { readonly status: SagaStatus | null }

const toEntry = ({ saga_id, seq, at, input_id, events, status }: HistoryRow): ReadEntry => ({
  sagaId: saga_id,
  seq,
  at,
  inputId: input_id,
  events: JSON.parse(events) as Events,
  status,
})

/** A row of the table `saga_history`, and what is told of its saga with it. */
export type MoveRow = HistoryRow & Pick<SagaRow, 'definition' | 'version' | 'business_key'>

const toMove = (row: MoveRow): ReadMove => ({
  ...toEntry(row),
  definition: row.definition,
  version: row.version,
  businessKey: row.business_key,
})

/** The events of a saga's moves, one after the other. */
export interface EarlierRow {
  readonly saga_id: string
  readonly events: string
}

/** Reads the moves of sagas, each up to a `seq`. */
type Earlier = (upTo: ReadonlyMap<string, number>) => Promise<readonly EarlierRow[]>

const readingOf = <Row extends HistoryRow, Entry extends ReadEntry>(
  toEntry: (row: Row) => Entry,
  earlier: Earlier,
): MoveReading<Row, Entry> => ({
  idOf: ({ saga_id }) => saga_id,
  toEntry,
  earlier: async (upTo) => movesOf(await earlier(upTo)),
})

const movesOf = (rows: readonly EarlierRow[]): ReadonlyMap<string, ReadMoves> =>
  new Map(rows.map(({ saga_id, events }) => [saga_id, () => JSON.parse(`[${events}]`) as readonly Events[]]))

/** @throws StoreError `damaged` */
export const readHistoryRows = (rows: readonly HistoryRow[], earlier: Earlier): Promise<readonly HistoryEntry[]> =>
  readHistory(readingOf(toEntry, earlier), rows)

export const readMoveRows = (rows: readonly MoveRow[], earlier: Earlier): Promise<ReadEntries<ReadMove>> =>
  readEntries(readingOf(toMove, earlier), rows)

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

/** The table `saga_handed`: inputs by saga, in the order of their coming. */
export interface HandedRow {
  readonly saga_id: string
  readonly input_id: string
  readonly input: string
}

export const toHanded = ({ saga_id, input_id, input }: HandedRow): HandedInput => ({
  sagaId: saga_id,
  inputId: input_id,
  input: JSON.parse(input) as Input,
})

/** The table `saga_definition`. */
export interface DefinitionRow {
  readonly definition: string
  readonly version: number
  readonly structure: string
  readonly cancellable: boolean | number
}

export const toDefinition = (row: DefinitionRow): KnownDefinition => ({
  definition: row.definition,
  version: row.version,
  structure: row.structure,
  cancellable: Boolean(row.cancellable),
})
