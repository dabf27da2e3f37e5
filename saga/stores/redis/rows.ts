/**
 * The saga's row as Redis keeps it, the arguments of a batch, and places in the order of lists.
 *
 * A text that may be missing is kept with a `=` before it, and empty where it is missing.
 */
import { hasEnded } from '../../core/state.ts'
import { jsonOf } from '../json.ts'
import type { PageKey } from '../page.ts'
import type { Reading } from '../reading.ts'
import { damageOf, stateOf } from '../reading.ts'
import type { HistoryEntry, Move, SagaFilter, Start, StoredSaga } from '../store.ts'

export interface Batch {
  readonly starts: readonly Start[]
  readonly moves: readonly Move[]
}

export const columns = [
  'definition',
  'version',
  'seq',
  'state',
  'status',
  'owner',
  'key',
  'fingerprint',
  'business',
  'live',
  'created',
  'updated',
] as const

type TextsOf<Columns extends readonly string[]> = { readonly [Column in keyof Columns]: string }

/** In the order of `columns`, then the id. */
export type Row = readonly [...TextsOf<typeof columns>, id: string]

export const reading: Reading<Row> = {
  keyOf: (row) => ({ id: row[12], createdAt: Number(row[10]) }),
  toSaga,
}

function toSaga(row: Row): StoredSaga {
  const [definition, version, seq, state, , owner, key, fingerprint, business, , created, updated, id] = row
  return {
    id,
    definition,
    version: Number(version),
    seq: Number(seq),
    state: stateOf(id, JSON.parse(state)),
    owner,
    key: unmarked(key),
    fingerprint,
    businessKey: unmarked(business),
    createdAt: Number(created),
    updatedAt: Number(updated),
  }
}

export const marked = (text: string | null | undefined): string => (text == null ? '' : `=${text}`)

const unmarked = (text: string): string | null => (text === '' ? null : text.slice(1))

const flag = (is: boolean): string => (is ? '1' : '0')

/** What the commit script takes after the prefix. */
export function batchArguments(self: string, { starts, moves }: Batch): string[] {
  const args = [self, String(starts.length), String(moves.length)]
  for (const { saga, entry, live } of starts)
    args.push(
      saga.id,
      saga.definition,
      String(saga.version),
      String(saga.seq),
      jsonOf(saga.id, saga.state),
      saga.state.status,
      saga.owner,
      marked(saga.key),
      saga.fingerprint,
      marked(saga.businessKey),
      flag(live),
      String(saga.createdAt),
      String(saga.updatedAt),
      flag(!live && hasEnded(saga.state.status)),
      entryText(entry),
    )
  for (const { id, fromSeq, toSeq, state, businessKey, owner, live, updatedAt, entries } of moves) {
    args.push(
      id,
      String(fromSeq),
      String(toSeq),
      jsonOf(id, state),
      state.status,
      marked(businessKey),
      owner,
      flag(live),
      String(updatedAt),
      flag(!live && hasEnded(state.status)),
      String(entries.length),
    )
    for (const entry of entries) args.push(entryText(entry))
  }
  return args
}

type EntryParts = readonly [seq: number, at: number, inputId: string, events: HistoryEntry['events']]

const entryText = ({ sagaId, seq, at, inputId, events }: HistoryEntry): string =>
  jsonOf(sagaId, [seq, at, inputId, events] satisfies EntryParts)

/** @throws StoreError `damaged` */
export function toEntry(sagaId: string, text: string): HistoryEntry {
  try {
    const [seq, at, inputId, events] = JSON.parse(text) as EntryParts
    return { sagaId, seq, at, inputId, events }
  } catch (error) {
    throw damageOf(sagaId, error)
  }
}

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
