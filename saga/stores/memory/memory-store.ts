/** Keeps sagas in the process's memory: for tests, the checker and examples. Nothing outlives the process. */
import { randomUUID } from 'node:crypto'
import { hasEnded } from '../../core/state.ts'
import { conflictOf, differing, without } from '../definitions.ts'
import { jsonOf } from '../json.ts'
import { countIn, positionText } from '../moves.ts'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import { Processes, versionKey } from '../processes.ts'
import type { Reading } from '../reading.ts'
import type {
  CommitResult,
  DefinitionVersion,
  HandedInput,
  HistoryEntry,
  KnownDefinition,
  Move,
  SagaFilter,
  Start,
  StartResult,
  Store,
  StoredSaga,
} from '../store.ts'

interface Row {
  saga: StoredSaga
  live: boolean
  /** By the store's clock. */
  storedAt: number
  readonly history: HistoryEntry[]
}

interface PlacedEntry {
  readonly place: number
  readonly entry: HistoryEntry
}

const reading: Reading<StoredSaga> = { keyOf: (saga) => saga, toSaga: (saga) => saga }

const handedKey = ({ sagaId, inputId }: Omit<HandedInput, 'input'>): string => JSON.stringify([sagaId, inputId])

const has = (versions: readonly DefinitionVersion[], saga: StoredSaga): boolean =>
  versions.some(({ definition, version }) => definition === saga.definition && version === saga.version)

/** @param now the store's own clock, Unix milliseconds, for heartbeats and for the age of ended sagas */
export function memoryStore(now: () => number = Date.now): Store {
  const identity = randomUUID().replaceAll('-', '')
  const rows = new Map<string, Row>()
  const byKey = new Map<string, string>()
  const known = new Map<string, KnownDefinition>()
  /** In the order of their coming. */
  const handed = new Map<string, HandedInput>()
  const processes = new Processes(now)
  /** Of all sagas that are there, by place. */
  let moves: PlacedEntry[] = []
  let lastPlace = 0

  function append(entries: readonly HistoryEntry[]): void {
    for (const entry of entries) moves.push({ place: ++lastPlace, entry })
  }

  function start({ saga, entry, live }: Start): StartResult {
    const held = rows.get(saga.key === null ? saga.id : (byKey.get(saga.key) ?? saga.id))
    if (held !== undefined) return { kind: 'exists', id: held.saga.id, fingerprint: held.saga.fingerprint }
    rows.set(saga.id, { saga, live, storedAt: now(), history: [entry] })
    if (saga.key !== null) byKey.set(saga.key, saga.id)
    append([entry])
    return { kind: 'started' }
  }

  function move(change: Move): 'moved' | 'stale' {
    const row = rows.get(change.id)
    if (row === undefined || row.saga.seq !== change.fromSeq) return 'stale'
    const { state, businessKey, owner, updatedAt, toSeq } = change
    row.saga = { ...row.saga, seq: toSeq, state, businessKey, owner, updatedAt }
    row.live = change.live
    row.storedAt = now()
    row.history.push(...change.entries)
    append(change.entries)
    return 'moved'
  }

  const matching = (filter: SagaFilter): StoredSaga[] =>
    [...rows.values()].map((row) => row.saga).filter((saga) => matches(saga, filter))

  /** How many sagas need the structure that is kept. */
  function needing(kept: KnownDefinition): number {
    const needs = ({ saga, live }: Row): boolean =>
      live || saga.state.status === 'PARKED' || (kept.cancellable && saga.state.status === 'COMPLETED')
    return [...rows.values()].filter((row) => has([kept], row.saga) && needs(row)).length
  }

  function remove({ id, key }: StoredSaga): void {
    rows.delete(id)
    if (key !== null) byKey.delete(key)
    for (const [place, { sagaId }] of handed) if (sagaId === id) handed.delete(place)
  }

  return {
    exclusive: true,
    identity: () => Promise.resolve(identity),
    use: (owner) => processes.use(owner),
    open: () => Promise.resolve(),
    async register(owner, definitions, silentMs) {
      const conflicts = differing(definitions, [...known.values()])
        .map((kept) =>
          conflictOf(kept, { sagas: needing(kept), processes: processes.othersRunning(kept, owner, silentMs) }),
        )
        .filter((conflict) => conflict !== null)
      const kept = without(definitions, conflicts)
      for (const each of kept) known.set(versionKey(each), each)
      processes.beat(owner, kept)
      return conflicts
    },
    definitions: () => Promise.resolve([...known.values()]),
    async hand(inputs) {
      for (const { sagaId, input } of inputs) jsonOf(sagaId, input)
      for (const each of inputs) {
        const place = handedKey(each)
        if (rows.has(each.sagaId) && !handed.has(place)) handed.set(place, each)
      }
    },
    async handed(versions, limit) {
      const wanted = [...handed.values()].filter(({ sagaId }) => {
        const saga = rows.get(sagaId)?.saga
        return saga !== undefined && has(versions, saga)
      })
      return wanted.slice(0, limit)
    },
    stillHanded: (inputs) => Promise.resolve(inputs.filter((each) => handed.has(handedKey(each)))),
    async dropHanded(inputs) {
      for (const each of inputs) handed.delete(handedKey(each))
    },
    async commit(batch): Promise<CommitResult> {
      const entries = [...batch.starts.map(({ entry }) => entry), ...batch.moves.flatMap((each) => each.entries)]
      for (const { sagaId, events } of entries) jsonOf(sagaId, events) // refused here as anywhere else
      return { starts: batch.starts.map(start), moves: batch.moves.map(move) }
    },
    async startedUnder(key) {
      const held = rows.get(byKey.get(key) ?? '')?.saga
      return held === undefined ? null : { id: held.id, fingerprint: held.fingerprint }
    },
    load: (ids) =>
      Promise.resolve({
        sagas: ids.map((id) => rows.get(id)?.saga).filter((saga) => saga !== undefined),
        damaged: [],
      }),
    async list(filter, page = {}) {
      const limit = pageLimit(page.limit)
      const after = page.after === undefined ? null : parseKey(page.after)
      const newestFirst = matching(filter).toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
      const from = newestFirst.filter(
        (saga) =>
          after === null ||
          saga.createdAt < after.createdAt ||
          (saga.createdAt === after.createdAt && saga.id < after.id),
      )
      return pageOf(reading, from, limit)
    },
    count: (filter) => Promise.resolve(matching(filter).length),
    // The entry of a seq lies at its place, so that a page costs what it returns.
    async history(sagaId, afterSeq = 0, limit = 1000) {
      const from = Math.max(afterSeq, 0)
      return (rows.get(sagaId)?.history ?? []).slice(from, from + limit)
    },
    async moves(after, limit) {
      const from = firstAfter(moves, countIn(after, identity, lastPlace))
      const page = moves.slice(from, from + pageLimit(limit))
      return {
        moves: page.map(({ entry }) => {
          const { definition, version, businessKey } = (rows.get(entry.sagaId) as Row).saga
          return { ...entry, definition, version, businessKey }
        }),
        damaged: [],
        next: page.length === 0 && after !== null ? after : positionText(identity, page.at(-1)?.place ?? 0),
      }
    },
    async heartbeat(owner, runs) {
      processes.beat(owner, runs)
    },
    async retire(owner) {
      processes.retire(owner)
    },
    async claim(owner, silentMs, limit, versions) {
      const alive = new Set(processes.alive(silentMs))
      const isFree = ({ live, saga }: Row): boolean =>
        live && saga.owner !== owner && !alive.has(saga.owner) && has(versions, saga)
      const free = [...rows.values()].filter(isFree)
      return { sagas: free.slice(0, limit).map((row) => (row.saga = { ...row.saga, owner })), damaged: [] }
    },
    async liveVersions() {
      const counts = new Map<string, { definition: string; version: number; count: number }>()
      for (const { saga, live } of rows.values()) {
        if (!live && saga.state.status !== 'PARKED') continue
        const { definition, version } = saga
        const key = versionKey(saga)
        counts.set(key, { definition, version, count: (counts.get(key)?.count ?? 0) + 1 })
      }
      return [...counts.values()]
    },
    async prune(retainMs, limit) {
      const latest = now() - retainMs
      const old = [...rows.values()]
        .filter(({ saga, live, storedAt }) => !live && hasEnded(saga.state.status) && storedAt <= latest)
        .slice(0, limit)
      for (const { saga } of old) remove(saga)
      moves = moves.filter(({ entry }) => rows.has(entry.sagaId))
      return old.length
    },
    ready: () => Promise.resolve(true),
    async close() {
      processes.free()
    },
  }
}

/** The index of the first move beyond a place. */
function firstAfter(moves: readonly PlacedEntry[], place: number): number {
  let [low, high] = [0, moves.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((moves[middle] as PlacedEntry).place <= place) low = middle + 1
    else high = middle
  }
  return low
}

const matches = (saga: StoredSaga, filter: SagaFilter): boolean =>
  (filter.definition === undefined || saga.definition === filter.definition) &&
  (filter.status === undefined || saga.state.status === filter.status) &&
  (filter.businessKey === undefined || saga.businessKey === filter.businessKey) &&
  (filter.createdFrom === undefined || saga.createdAt >= filter.createdFrom) &&
  (filter.createdBefore === undefined || saga.createdAt < filter.createdBefore)
