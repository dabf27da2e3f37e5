/**
 * The saga's row as Redis keeps it, the arguments of a batch, and places in the order of lists.
 *
 * A text that may be missing is kept with a `=` before it, and empty where it is missing.
 */
import type { SagaStatus } from '../../core/state.ts'
import { hasEnded } from '../../core/state.ts'
import { jsonOf } from '../json.ts'
import { foldSince, stateToKeep } from '../kept-state.ts'
import type { MoveReading, ReadEntries, ReadEntry, ReadMove } from '../moves.ts'
import { readEntries, readHistory } from '../moves.ts'
import type { PageKey } from '../page.ts'
import type { Reading } from '../reading.ts'
import { stateOf } from '../reading.ts'
import type { HistoryEntry, Move, SagaFilter, Start } from '../store.ts'

export interface Batch {
  readonly starts: readonly Start[]
  readonly moves: readonly Move[]
}

export const marked = (text: string | null | undefined): string => (text == null ? '' : `=${text}`)

const unmarked = (text: string): string | null => (text === '' ? null : text.slice(1))

const flag = (is: boolean): string => (is ? '1' : '0')

type Columns<Item> = Readonly<Record<string, (item: Item) => string>>

/** Fields of a saga's hash, as a start fills them. */
export const sagaColumns = {
  definition: ({ saga }: Start) => saga.definition,
  version: ({ saga }: Start) => String(saga.version),
  seq: ({ saga }: Start) => String(saga.seq),
  /** The state as it was kept last, and the move that it was kept with (`kept-state.ts`). */
  kept: () => '',
  kept_at: () => '0',
  /** How many of its moves have a place among those of all sagas: fewer where a process of the version before has moved it. */
  placed: () => '1',
  status: ({ saga }: Start) => saga.state.status,
  owner: ({ saga }: Start) => saga.owner,
  key: ({ saga }: Start) => marked(saga.key),
  fingerprint: ({ saga }: Start) => saga.fingerprint,
  business: ({ saga }: Start) => marked(saga.businessKey),
  live: ({ live }: Start) => flag(live),
  created: ({ saga }: Start) => String(saga.createdAt),
  updated: ({ saga }: Start) => String(saga.updatedAt),
} satisfies Columns<Start>

/** What the commit script takes of a start, its entry last. */
export const startColumns = {
  id: ({ saga }: Start) => saga.id,
  ...sagaColumns,
  over: ({ saga, live }: Start) => flag(!live && hasEnded(saga.state.status)),
  entry: ({ entry }: Start) => entryText(entry),
} satisfies Columns<Start>

/** What the commit script takes of a move, before its entries. */
export const moveColumns = {
  id: ({ id }: Move) => id,
  from: ({ fromSeq }: Move) => String(fromSeq),
  to: ({ toSeq }: Move) => String(toSeq),
  /** Empty where none is kept with this move. */
  state: (move: Move) => stateToKeep(move) ?? '',
  status: ({ state }: Move) => state.status,
  business: ({ businessKey }: Move) => marked(businessKey),
  owner: ({ owner }: Move) => owner,
  live: ({ live }: Move) => flag(live),
  updated: ({ updatedAt }: Move) => String(updatedAt),
  over: ({ live, state }: Move) => flag(!live && hasEnded(state.status)),
  entries: ({ entries }: Move) => String(entries.length),
} satisfies Columns<Move>

function push<Item>(args: string[], columns: Columns<Item>, item: Item): void {
  for (const of of Object.values(columns)) args.push(of(item))
}

/** What the commit script takes after the prefix. */
export function batchArguments(self: string, { starts, moves }: Batch): string[] {
  const entries = moves.reduce((sum, move) => sum + move.entries.length, starts.length)
  const args = [self, String(starts.length), String(moves.length), String(entries)]
  for (const start of starts) push(args, startColumns, start)
  for (const move of moves) {
    push(args, moveColumns, move)
    for (const entry of move.entries) args.push(entryText(entry))
  }
  return args
}

const names = Object.keys(sagaColumns) as (keyof typeof sagaColumns)[]

/** The values of `sagaColumns` in order, then the id and the entries since the state was kept. */
export type Answer = readonly [...string[], id: string, later: readonly string[]]

export type Row = Readonly<Record<keyof typeof sagaColumns, string>> & {
  readonly id: string
  readonly later: readonly string[]
}

export function rowOf(answer: Answer): Row {
  const values = Object.fromEntries(names.map((name, index) => [name, answer[index]])) as Record<
    keyof typeof sagaColumns,
    string
  >
  return { ...values, id: answer[names.length] as string, later: answer[names.length + 1] as readonly string[] }
}

export const reading: Reading<Row> = {
  keyOf: ({ id, created }) => ({ id, createdAt: Number(created) }),
  toSaga: (row) => ({
    id: row.id,
    definition: row.definition,
    version: Number(row.version),
    seq: Number(row.seq),
    state: stateOf(row.id, folded(row)),
    owner: row.owner,
    key: unmarked(row.key),
    fingerprint: row.fingerprint,
    businessKey: unmarked(row.business),
    createdAt: Number(row.created),
    updatedAt: Number(row.updated),
  }),
}

function folded({ kept, kept_at, seq, later }: Row): unknown {
  return foldSince(kept === '' ? null : kept, Number(kept_at), later.map(eventsOf), Number(seq))
}

/** Those of an earlier version have no status. */
type EntryParts = readonly [
  seq: number,
  at: number,
  inputId: string,
  events: HistoryEntry['events'],
  status?: SagaStatus,
]

const entryText = ({ sagaId, seq, at, inputId, events, status }: HistoryEntry): string =>
  jsonOf(sagaId, [seq, at, inputId, events, status] satisfies EntryParts)

/** An entry as text, and what is told of its saga with it. */
export interface MoveRow {
  readonly id: string
  readonly text: string
  readonly definition: string
  readonly version: number
  readonly businessKey: string | null
}

function toEntry({ id, text }: Pick<MoveRow, 'id' | 'text'>): ReadEntry {
  const [seq, at, inputId, events, status = null] = JSON.parse(text) as EntryParts
  return { sagaId: id, seq, at, inputId, events, status }
}

const toMove = ({ id, text, definition, version, businessKey }: MoveRow): ReadMove => ({
  ...toEntry({ id, text }),
  definition,
  version,
  businessKey,
})

/** What the script of moves answers for one of them; the text is missing where the history is damaged. */
export type MoveAnswer = readonly [
  id: string,
  text: string | null,
  definition: string,
  version: string,
  business: string,
]

export const moveRowOf = ([id, text, definition, version, business]: MoveAnswer): MoveRow => ({
  id,
  text: text ?? '',
  definition,
  version: Number(version),
  businessKey: unmarked(business),
})

/** Reads the entries of sagas, each up to a `seq`. */
type Earlier = (
  upTo: ReadonlyMap<string, number>,
) => Promise<readonly (readonly [id: string, texts: readonly string[]])[]>

const readingOf = <Row extends { readonly id: string }, Entry extends ReadEntry>(
  toEntry: (row: Row) => Entry,
  earlier: Earlier,
): MoveReading<Row, Entry> => ({
  idOf: ({ id }) => id,
  toEntry,
  earlier: async (upTo) => new Map((await earlier(upTo)).map(([id, texts]) => [id, () => texts.map(eventsOf)])),
})

const eventsOf = (text: string): HistoryEntry['events'] => (JSON.parse(text) as EntryParts)[3]

/** @throws StoreError `damaged` */
export const readHistoryTexts = (
  id: string,
  texts: readonly string[],
  earlier: Earlier,
): Promise<readonly HistoryEntry[]> =>
  readHistory(
    readingOf(toEntry, earlier),
    texts.map((text) => ({ id, text })),
  )

export const readMoveRows = (rows: readonly MoveRow[], earlier: Earlier): Promise<ReadEntries<ReadMove>> =>
  readEntries(readingOf(toMove, earlier), rows)

/** Where sagas made at that time begin, in the order of lists. */
const placeOf = (time: number): string =>
  String(Math.min(Math.max(Math.ceil(time), 0), Number.MAX_SAFE_INTEGER)).padStart(16, '0')

/** The places between which a page lies, the newest first, as Redis takes the ends of a range. */
export function rangeOf(
  { createdFrom, createdBefore }: SagaFilter,
  after: PageKey | null,
): readonly [high: string, low: string] {
  const ends = [
    ...(createdBefore === undefined ? [] : [`(${placeOf(createdBefore)}`]),
    ...(after === null ? [] : [`(${placeOf(after.createdAt)}_${after.id}`]),
  ]
  return [ends.toSorted()[0] ?? '+', createdFrom === undefined ? '-' : `[${placeOf(createdFrom)}`]
}
