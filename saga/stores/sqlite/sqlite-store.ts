/**
 * Keeps sagas in one SQLite file: the embedded default. Durable (WAL, fsync on commit), in process, one process by a lock.
 *
 * The driver is synchronous; a batch is one transaction of prepared statements, so its size bounds how long the event
 * loop is held (256 moves take a few milliseconds).
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import Libsql from 'libsql'
import { jsonOf } from '../json.ts'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import { readRows } from '../reading.ts'
import type { HistoryRow, SagaRow } from '../rows.ts'
import {
  condition,
  endedStatuses,
  isStorable,
  readColumns,
  reading,
  refuseOddNames,
  sagaColumns,
  stateToKeep,
  toEntry,
} from '../rows.ts'
import type {
  DefinitionVersion,
  Found,
  HistoryEntry,
  Move,
  PageRequest,
  SagaFilter,
  SagaPage,
  Start,
  StartResult,
  Store,
  StoredSaga,
} from '../store.ts'
import { StoreError } from '../store.ts'
import { migrations } from './migrations.ts'

export interface SqliteStoreOptions {
  /** The file; its folder is made where it is missing. `:memory:` keeps nothing. */
  readonly file: string
  /** Unix milliseconds; heartbeats of the one process are kept by it. */
  readonly now?: () => number
}

export function sqliteStore(options: SqliteStoreOptions): Store {
  return new SqliteStore(options.file, options.now ?? Date.now)
}

type Database = InstanceType<typeof Libsql>
/** Values are bound by position; as one array where it counts, since the driver flattens a list of them. */
type Statement = Libsql.Statement

const columns = readColumns('saga_history')

// Made once: a text put together for each row would be hashed for each row.
const insertSaga = `insert into saga (${sagaColumns}, status, live) values (?,?,?,?,?,?,?,?,?,?,?,?,?) on conflict do nothing`
const insertEntry = 'insert into saga_history (saga_id, seq, at, input_id, events, state) values (?,?,?,?,?,?)'
/** A call of the driver costs as much as a row: history goes in by several rows a call. */
const rowsAtOnce = 8
const insertEntries = `${insertEntry}${',(?,?,?,?,?,?)'.repeat(rowsAtOnce - 1)}`
const updateSaga = `update saga set seq = ?, state_seq = coalesce(?, state_seq), status = ?, business_key = ?, owner = ?,
  live = ?, updated_at = ? where id = ? and seq = ?`

type EntryValues = readonly (string | number | null)[]

const entryValues = (entry: HistoryEntry, state: string | null): EntryValues => [
  entry.sagaId,
  entry.seq,
  entry.at,
  entry.inputId,
  jsonOf(entry.sagaId, entry.events),
  state,
]

class SqliteStore implements Store {
  readonly exclusive = true
  readonly #file: string
  readonly #now: () => number
  readonly #heartbeats = new Map<string, number>()
  readonly #statements = new Map<string, Statement>()
  #database: Database | null = null

  constructor(file: string, now: () => number) {
    this.#file = file
    this.#now = now
  }

  async open(): Promise<void> {
    if (this.#database !== null) return
    await this.#guard(() => {
      if (this.#file !== ':memory:') mkdirSync(dirname(this.#file), { recursive: true })
      const database = new Libsql(this.#file, { timeout: 0 })
      try {
        prepareFile(database, this.#file)
      } catch (error) {
        database.close()
        throw error
      }
      this.#database = database
    })
  }

  async commit(batch: {
    readonly starts: readonly Start[]
    readonly moves: readonly Move[]
  }): ReturnType<Store['commit']> {
    return this.#guard(() => {
      refuseOddNames(batch)
      return this.#transaction(() => {
        const written: EntryValues[] = []
        const starts = batch.starts.map((start) => this.#start(start, written))
        const moves = batch.moves.map((move) => this.#move(move, written))
        this.#append(written)
        return { starts, moves }
      })
    })
  }

  async load(ids: readonly string[]): Promise<Found> {
    return this.#guard(() => this.#read(ids.filter(isStorable)))
  }

  async list(filter: SagaFilter, page: PageRequest = {}): Promise<SagaPage> {
    const limit = pageLimit(page.limit)
    const { where, values } = condition(filter, () => '?')
    const after = page.after === undefined ? null : parseKey(page.after)
    const from = after === null ? '' : 'and (created_at, id) < (?, ?)'
    return this.#guard(() => {
      const rows = this.#sql(
        // Which they are comes from an index alone; only the rows of the page are read.
        `select ${columns} from saga where rowid in (
           select rowid from saga where ${where} ${from} order by created_at desc, id desc limit ?
         ) order by created_at desc, id desc`,
      ).all(...values, ...(after === null ? [] : [after.createdAt, after.id]), limit + 1) as SagaRow[]
      return pageOf(reading, rows, limit)
    })
  }

  async count(filter: SagaFilter): Promise<number> {
    const { where, values } = condition(filter, () => '?')
    return this.#guard(
      () => (this.#sql(`select count(*) as n from saga where ${where}`).get(...values) as { n: number }).n,
    )
  }

  async history(sagaId: string, afterSeq = 0, limit = 1000): Promise<readonly HistoryEntry[]> {
    return this.#guard(() => {
      const rows = this.#sql(
        'select seq, at, input_id, events from saga_history where saga_id = ? and seq > ? order by seq limit ?',
      ).all(sagaId, afterSeq, limit) as HistoryRow[]
      return rows.map((row) => toEntry(sagaId, row))
    })
  }

  async heartbeat(owner: string): Promise<void> {
    this.#heartbeats.set(owner, this.#now())
    return Promise.resolve()
  }

  async retire(owner: string): Promise<void> {
    this.#heartbeats.delete(owner)
    return Promise.resolve()
  }

  async claim(owner: string, silentMs: number, limit: number, versions: readonly DefinitionVersion[]): Promise<Found> {
    const pairs = versions.map(({ definition, version }) => [definition, version])
    const alive = [...this.#heartbeats].filter(([, at]) => this.#now() - at < silentMs).map(([id]) => id)
    return this.#guard(() =>
      this.#transaction(() => {
        const rows = this.#sql(
          // Others' sagas lie on both sides of one's own in the index; those are not looked at, however many they are.
          `update saga set owner = ?1 where rowid in (
             select rowid from (
               select rowid, owner, definition, version from saga where live = 1 and owner < ?1
               union all select rowid, owner, definition, version from saga where live = 1 and owner > ?1
             ) where owner not in (select value from json_each(?2))
               and (definition, version) in (select value ->> 0, value ->> 1 from json_each(?4)) limit ?3
           ) returning id`,
        ).all(owner, JSON.stringify(alive), limit, JSON.stringify(pairs)) as { id: string }[]
        return this.#read(rows.map(({ id }) => id))
      }),
    )
  }

  async liveVersions(): ReturnType<Store['liveVersions']> {
    return this.#guard(
      () =>
        this.#sql(
          `select definition, version, count(*) as count from (
             select definition, version from saga where live = 1
             union all select definition, version from saga where status = 'PARKED' and live = 0
           ) group by definition, version order by definition, version`,
        ).all() as { definition: string; version: number; count: number }[],
    )
  }

  async prune(before: number, limit: number): Promise<number> {
    return this.#guard(() =>
      this.#transaction(() => {
        const ids = this.#sql(
          // A saga is never moved before it was made: its age in the index says where to look.
          `select id from saga
           where status in ${endedStatuses} and created_at < ?1 and live = 0 and updated_at < ?1
           limit ?2`,
        ).all(before, limit) as { id: string }[]
        for (const { id } of ids) {
          this.#sql('delete from saga_history where saga_id = ?').run(id)
          this.#sql('delete from saga where id = ?').run(id)
        }
        return ids.length
      }),
    )
  }

  async ready(): Promise<boolean> {
    return this.#guard(() => this.#sql('select 1').get() !== undefined).catch(() => false)
  }

  async close(): Promise<void> {
    const database = this.#database
    this.#statements.clear()
    this.#database = null
    return this.#guard(() => {
      if (database === null) return
      // The driver keeps a closed file, and so its lock, until the last statement is garbage: the lock is given up first,
      // which takes leaving the write-ahead log.
      database.exec('pragma journal_mode = delete; pragma locking_mode = normal; select 1 from sqlite_master')
      database.close()
    })
  }

  #read(ids: readonly string[]): Found {
    const one = this.#sql(`select ${columns} from saga where id = ?`)
    const rows = ids.map((id) => one.get(id) as SagaRow | undefined)
    return readRows(
      reading,
      rows.filter((row) => row !== undefined),
    )
  }

  #start({ saga, entry, live }: Start, written: EntryValues[]): StartResult {
    const { changes } = this.#sql(insertSaga).run([
      saga.id,
      saga.definition,
      saga.version,
      saga.seq,
      0,
      saga.owner,
      saga.key,
      saga.fingerprint,
      saga.businessKey,
      saga.createdAt,
      saga.updatedAt,
      saga.state.status,
      live ? 1 : 0,
    ])
    if (changes === 0) return this.#holder(saga)
    written.push(entryValues(entry, null))
    return { kind: 'started' }
  }

  /** The saga that holds the id or the key of a start that was refused. */
  #holder(saga: StoredSaga): StartResult {
    const row = this.#sql('select id, fingerprint from saga where id = ? or key = ? order by key = ? desc limit 1').get(
      saga.id,
      saga.key,
      saga.key,
    ) as { id: string; fingerprint: string }
    return { kind: 'exists', id: row.id, fingerprint: row.fingerprint }
  }

  #move(move: Move, written: EntryValues[]): 'moved' | 'stale' {
    const state = stateToKeep(move)
    const { changes } = this.#sql(updateSaga).run([
      move.toSeq,
      state === null ? null : move.toSeq,
      move.state.status,
      move.businessKey,
      move.owner,
      move.live ? 1 : 0,
      move.updatedAt,
      move.id,
      move.fromSeq,
    ])
    if (changes === 0) return 'stale'
    for (const entry of move.entries) written.push(entryValues(entry, entry.seq === move.toSeq ? state : null))
    return 'moved'
  }

  #append(entries: readonly EntryValues[]): void {
    const whole = entries.length - (entries.length % rowsAtOnce)
    for (let from = 0; from < whole; from += rowsAtOnce)
      this.#sql(insertEntries).run(entries.slice(from, from + rowsAtOnce).flat())
    for (const entry of entries.slice(whole)) this.#sql(insertEntry).run(entry)
  }

  #sql(text: string): Statement {
    const known = this.#statements.get(text)
    if (known !== undefined) return known
    if (this.#database === null) throw new StoreError('unavailable', `The store ${this.#file} is closed.`)
    const statement = this.#database.prepare(text)
    this.#statements.set(text, statement)
    return statement
  }

  #transaction<T>(work: () => T): T {
    this.#sql('begin immediate').run()
    try {
      const result = work()
      this.#sql('commit').run()
      return result
    } catch (error) {
      if (this.#database?.inTransaction === true) this.#sql('rollback').run() // SQLite may have done so itself
      throw error
    }
  }

  /** Runs synchronous work as a promise and says in our words what SQLite refused. */
  #guard<T>(work: () => T): Promise<T> {
    try {
      return Promise.resolve(work())
    } catch (error) {
      return Promise.reject(describe(error, this.#file))
    }
  }
}

function prepareFile(database: Database, file: string): void {
  // Two pages of a state in the usual 4,096 bytes leave half of them empty; a file that exists keeps its size.
  database.exec('pragma page_size = 8192')
  database.exec('pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full;')
  database.exec('begin immediate')
  const { user_version: at } = database.prepare<[]>('pragma user_version').get() as { user_version: number }
  if (at > migrations.length)
    throw new StoreError(
      'unusable',
      `${file} was made by a newer version (schema ${at}, known ${migrations.length}). Use that version.`,
    )
  for (const migration of migrations.slice(at)) database.exec(migration)
  database.exec(`pragma user_version = ${migrations.length}`)
  database.exec('commit')
}

function describe(error: unknown, file: string): unknown {
  if (error instanceof StoreError || error instanceof RangeError) return error
  const { code = '', message = String(error) } = error as { code?: string; message?: string }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED') || /is locked/.test(message))
    return new StoreError('locked', `${file} is in use by another process. Stop it, or choose another folder.`, error)
  if (code.startsWith('SQLITE_CONSTRAINT') || code === 'SQLITE_TOOBIG' || code === 'SQLITE_MISMATCH')
    return new StoreError('refused', `SQLite refused the row: ${message}`, error)
  if (
    /^(SQLITE_CANTOPEN|SQLITE_READONLY|SQLITE_NOTADB|SQLITE_CORRUPT|EACCES|EROFS|ENOTDIR|EEXIST|EPERM)/.test(code) ||
    /unable to open/i.test(message)
  )
    return new StoreError(
      'unusable',
      `${file} cannot be used: ${message}. Check the path and that this user may write there.`,
      error,
    )
  return new StoreError('unavailable', `SQLite failed on ${file}: ${message}`, error)
}
