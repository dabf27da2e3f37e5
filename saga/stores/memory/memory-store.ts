/** Keeps sagas in the process's memory: for tests, the checker and examples. Nothing outlives the process. */
import { hasEnded } from '../../core/state.ts'
import { jsonOf } from '../json.ts'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import type { Reading } from '../reading.ts'
import type { CommitResult, HistoryEntry, Move, SagaFilter, Start, StartResult, Store, StoredSaga } from '../store.ts'

interface Row {
  saga: StoredSaga
  live: boolean
  readonly history: HistoryEntry[]
}

const reading: Reading<StoredSaga> = { keyOf: (saga) => saga, toSaga: (saga) => saga }

/** @param now the store's own clock, Unix milliseconds, for heartbeats */
export function memoryStore(now: () => number = Date.now): Store {
  const rows = new Map<string, Row>()
  const byKey = new Map<string, string>()
  const heartbeats = new Map<string, number>()

  function start({ saga, entry, live }: Start): StartResult {
    const held = rows.get(saga.key === null ? saga.id : (byKey.get(saga.key) ?? saga.id))
    if (held !== undefined) return { kind: 'exists', id: held.saga.id, fingerprint: held.saga.fingerprint }
    rows.set(saga.id, { saga, live, history: [entry] })
    if (saga.key !== null) byKey.set(saga.key, saga.id)
    return { kind: 'started' }
  }

  function move(change: Move): 'moved' | 'stale' {
    const row = rows.get(change.id)
    if (row === undefined || row.saga.seq !== change.fromSeq) return 'stale'
    const { state, businessKey, owner, updatedAt, toSeq } = change
    row.saga = { ...row.saga, seq: toSeq, state, businessKey, owner, updatedAt }
    row.live = change.live
    row.history.push(...change.entries)
    return 'moved'
  }

  const matching = (filter: SagaFilter): StoredSaga[] =>
    [...rows.values()].map((row) => row.saga).filter((saga) => matches(saga, filter))

  return {
    exclusive: true,
    open: () => Promise.resolve(),
    async commit({ starts, moves }): Promise<CommitResult> {
      const entries = [...starts.map(({ entry }) => entry), ...moves.flatMap((each) => each.entries)]
      for (const { sagaId, events } of entries) jsonOf(sagaId, events) // refused here as anywhere else
      return { starts: starts.map(start), moves: moves.map(move) }
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
    history: (sagaId, afterSeq = 0, limit = 1000) =>
      Promise.resolve((rows.get(sagaId)?.history ?? []).filter((entry) => entry.seq > afterSeq).slice(0, limit)),
    heartbeat(owner) {
      heartbeats.set(owner, now())
      return Promise.resolve()
    },
    retire(owner) {
      heartbeats.delete(owner)
      return Promise.resolve()
    },
    claim(owner, silentMs, limit, versions) {
      const alive = (id: string): boolean => now() - (heartbeats.get(id) ?? -Infinity) < silentMs
      const runs = ({ definition, version }: StoredSaga): boolean =>
        versions.some((each) => each.definition === definition && each.version === version)
      const free = [...rows.values()].filter(
        ({ live, saga }) => live && saga.owner !== owner && !alive(saga.owner) && runs(saga),
      )
      const sagas = free.slice(0, limit).map((row) => (row.saga = { ...row.saga, owner }))
      return Promise.resolve({ sagas, damaged: [] })
    },
    liveVersions() {
      const counts = new Map<string, { definition: string; version: number; count: number }>()
      for (const { saga, live } of rows.values()) {
        if (!live && saga.state.status !== 'PARKED') continue
        const { definition, version } = saga
        const key = `${definition}@${version}`
        counts.set(key, { definition, version, count: (counts.get(key)?.count ?? 0) + 1 })
      }
      return Promise.resolve([...counts.values()])
    },
    prune(before, limit) {
      const old = [...rows.values()].filter(
        ({ saga, live }) => !live && hasEnded(saga.state.status) && saga.updatedAt < before,
      )
      for (const { saga } of old.slice(0, limit)) {
        rows.delete(saga.id)
        if (saga.key !== null) byKey.delete(saga.key)
      }
      return Promise.resolve(Math.min(old.length, limit))
    },
    ready: () => Promise.resolve(true),
    close: () => Promise.resolve(),
  }
}

const matches = (saga: StoredSaga, filter: SagaFilter): boolean =>
  (filter.definition === undefined || saga.definition === filter.definition) &&
  (filter.status === undefined || saga.state.status === filter.status) &&
  (filter.businessKey === undefined || saga.businessKey === filter.businessKey) &&
  (filter.createdFrom === undefined || saga.createdAt >= filter.createdFrom) &&
  (filter.createdBefore === undefined || saga.createdAt < filter.createdBefore)
