/** Checks a saga store by its two tables: every saga ended or parked, every history whole and true. */
import { isDeepStrictEqual } from 'node:util'
import type { Event } from 'ordersaga/events'
import { evolve, replay } from 'ordersaga/core'
import { isSettled, type SagaState } from 'ordersaga/state'
import type { Store, StoredSaga } from 'ordersaga/store'
import type { Tables } from './tables.ts'

export interface StoredSagas {
  readonly rows: readonly {
    readonly id: string
    readonly seq: number
    readonly status: string
    readonly state: SagaState
  }[]
  readonly history: ReadonlyMap<string, readonly { readonly seq: number; readonly events: readonly Event[] }[]>
}

export async function readSagas(tables: Tables): Promise<StoredSagas> {
  const schema = tables.kind === 'postgres' ? 'ordersaga.' : ''
  const rows = await tables.rows<{ id: string; seq: number; state_seq: number; status: string }>(
    `select id, seq, state_seq, status from ${schema}saga`,
  )
  const entries = await tables.rows<{ saga_id: string; seq: number; events: string; state: string | null }>(
    `select saga_id, seq, events, state from ${schema}saga_history order by saga_id, seq`,
  )
  const history = new Map<string, Kept[]>()
  for (const { saga_id, seq, events, state } of entries) {
    const list = history.get(saga_id) ?? []
    list.push({ seq, events: JSON.parse(events) as readonly Event[], state })
    history.set(saga_id, list)
  }
  return { rows: rows.map((row) => ({ ...row, state: stateOf(row.state_seq, history.get(row.id) ?? []) })), history }
}

interface Kept {
  readonly seq: number
  readonly events: readonly Event[]
  readonly state: string | null
}

/** The state that was kept, with what came since: what the store makes of its tables when it reads a saga. */
function stateOf(stateSeq: number, entries: readonly Kept[]): SagaState {
  const kept = entries.find(({ seq }) => seq === stateSeq)?.state
  const since = entries.filter(({ seq }) => seq > stateSeq).flatMap(({ events }) => events)
  const state = kept == null ? null : (JSON.parse(kept) as SagaState)
  return JSON.parse(JSON.stringify(since.reduce(evolve, state))) as SagaState
}

/** By the store's own reads, where it has no tables. */
export async function readStore(store: Store): Promise<StoredSagas> {
  const sagas: StoredSaga[] = []
  for (let after: string | null | undefined; after !== null;) {
    const page = await store.list({}, { limit: 1000, after })
    for (const { problem } of page.damaged) throw problem
    sagas.push(...page.items)
    after = page.next
  }
  const history = new Map<string, { seq: number; events: readonly Event[] }[]>()
  const rows: StoredSaga[] = []
  for (const listed of sagas) {
    let saga: StoredSaga | undefined = listed
    let entries = await store.history(listed.id)
    // Two reads are no snapshot: a late answer may have come between them.
    for (let tries = 1; tries < 5 && entries.length !== saga?.seq; tries += 1) {
      saga = (await store.load([listed.id])).sagas[0]
      entries = await store.history(listed.id)
    }
    history.set(listed.id, [...entries])
    rows.push(saga ?? listed)
  }
  return { rows: rows.map(({ id, seq, state }) => ({ id, seq, status: state.status, state })), history }
}

/** A sentence for each problem. */
export function historyProblems({ rows, history }: StoredSagas): readonly string[] {
  const known = new Set(rows.map(({ id }) => id))
  return [
    ...[...history.keys()].filter((id) => !known.has(id)).map((id) => `there is a history of saga ${id}, but no saga`),
    ...rows.flatMap((row) => rowProblems(row, history.get(row.id) ?? [])),
  ]
}

function rowProblems(
  { id, seq, status, state }: StoredSagas['rows'][number],
  entries: readonly { readonly seq: number; readonly events: readonly Event[] }[],
): readonly string[] {
  const found: string[] = []
  if (state.status !== status || state.id !== id)
    found.push(`saga ${id} is listed as ${status}, but its state says ${state.id} ${state.status}`)
  if (!isSettled(state.status)) found.push(`saga ${id} is ${state.status}: neither ended nor parked`)
  const seqs = entries.map((entry) => entry.seq)
  if (seqs.length !== seq || seqs.some((each, index) => each !== index + 1))
    found.push(`saga ${id} has made ${seq} moves, but its history has ${seqs.join(', ')}`)
  const folded = replay(entries.flatMap(({ events }) => events))
  // By way of JSON, as it was stored: fields that are undefined are absent there.
  if (!isDeepStrictEqual(JSON.parse(JSON.stringify(folded)), state))
    found.push(`the history of saga ${id} does not fold to its state`)
  return found
}
