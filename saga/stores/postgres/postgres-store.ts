/**
 * Keeps sagas in PostgreSQL: one statement, one round trip, one commit for a whole batch. Any number of processes.
 *
 * Plans are kept from depending on what the tables held when a statement was first prepared (an empty table is scanned,
 * and stays scanned): every session asks for index access and nested loops, which fit all that is done here.
 */
import { createHash } from 'node:crypto'
import pg from 'pg'
import type { SagaState } from '../../core/state.ts'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import type {
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
import { describeError } from './errors.ts'
import { migrations } from './migrations.ts'
import * as statements from './statements.ts'
import { listen } from './listener.ts'

export interface PostgresStoreOptions {
  /** Such as `postgresql://user:password@host:5432/database`. */
  readonly connectionString: string
  /** Where the tables are; made where it is missing. `ordersaga` where none is given. */
  readonly schema?: string
  /** Connections at once; 4 where none is given. Commits take one. */
  readonly maxConnections?: number
}

export function postgresStore(options: PostgresStoreOptions): Store {
  return new PostgresStore(options)
}

interface SagaRow {
  readonly id: string
  readonly definition: string
  readonly version: number
  readonly seq: number
  readonly state: string
  readonly owner: string
  readonly key: string | null
  readonly fingerprint: string
  readonly business_key: string | null
  readonly created_at: number
  readonly updated_at: number
}

const int8 = 20

/** Counts and Unix milliseconds fit a number. */
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary'): ((value: string) => unknown) =>
    oid === int8 ? Number : (pg.types.getTypeParser(oid, format) as (value: string) => unknown),
}

/** A notification carries at most 8,000 bytes. */
const mostHinted = 7_900

class PostgresStore implements Store {
  readonly #options: PostgresStoreOptions
  readonly #schema: string
  readonly #channel: string
  readonly #texts = new Map<string, string>()
  #pool: pg.Pool | null = null
  /** Another process was alive at the last heartbeat: it is told what moves here. */
  #others = false

  constructor(options: PostgresStoreOptions) {
    this.#options = options
    this.#schema = options.schema ?? 'ordersaga'
    this.#channel = `${this.#schema}_moved`.slice(0, 63)
  }

  async open(): Promise<void> {
    if (this.#pool !== null) return
    const pool = new pg.Pool({ ...this.#settings(), max: this.#options.maxConnections ?? 4 })
    // A connection that breaks while idle is replaced at the next query; without a listener it would end the process.
    pool.on('error', () => undefined)
    try {
      await this.#migrate(pool)
      this.#pool = pool
    } catch (error) {
      await pool.end()
      throw describeError(error)
    }
  }

  async commit(batch: {
    readonly starts: readonly Start[]
    readonly moves: readonly Move[]
  }): ReturnType<Store['commit']> {
    const { starts, moves } = batch
    const rows = await this.#query<{ kind: string; id: string }>('commit', statements.commit, [
      ...moveColumns(moves),
      ...startColumns(starts),
      this.#channel,
      this.#others ? hintOf(moves) : '',
    ])
    const moved = new Set(rows.filter((row) => row.kind === 'm').map((row) => row.id))
    const started = new Set(rows.filter((row) => row.kind === 's').map((row) => row.id))
    return {
      starts: await this.#startResults(starts, started),
      moves: moves.map((move) => (moved.has(move.id) ? 'moved' : 'stale')),
    }
  }

  async load(ids: readonly string[]): Promise<readonly StoredSaga[]> {
    return (await this.#query<SagaRow>('load', statements.load, [ids])).map(toSaga)
  }

  async findByKey(key: string): Promise<StoredSaga | null> {
    const [row] = await this.#query<SagaRow>('findByKey', statements.findByKey, [key])
    return row === undefined ? null : toSaga(row)
  }

  async list(filter: SagaFilter, page: PageRequest = {}): Promise<SagaPage> {
    const limit = pageLimit(page.limit)
    const { where, values } = condition(filter)
    const after = page.after === undefined ? null : parseKey(page.after)
    const from = after === null ? '' : ` and (created_at, id) < ($${values.length + 1}, $${values.length + 2})`
    const keyed = after === null ? values : [...values, after.createdAt, after.id]
    const text = `${statements.list(where + from)} order by created_at desc, id desc limit $${keyed.length + 1}`
    return pageOf((await this.#query<SagaRow>(null, text, [...keyed, limit + 1])).map(toSaga), limit)
  }

  async count(filter: SagaFilter): Promise<number> {
    const { where, values } = condition(filter)
    return (await this.#query<{ n: number }>(null, statements.count(where), values))[0]?.n ?? 0
  }

  async history(sagaId: string, afterSeq = 0, limit = 1000): Promise<readonly HistoryEntry[]> {
    interface Row {
      readonly seq: number
      readonly at: number
      readonly input_id: string
      readonly events: string
    }
    const rows = await this.#query<Row>('history', statements.history, [sagaId, afterSeq, limit])
    return rows.map((row) => ({
      sagaId,
      seq: row.seq,
      at: row.at,
      inputId: row.input_id,
      events: JSON.parse(row.events) as HistoryEntry['events'],
    }))
  }

  async heartbeat(owner: string): Promise<void> {
    const [row] = await this.#query<{ others: boolean }>('heartbeat', statements.heartbeat, [owner])
    this.#others = row?.others === true
  }

  async retire(owner: string): Promise<void> {
    await this.#query('retire', statements.retire, [owner])
  }

  async claim(owner: string, silentMs: number, limit: number): Promise<readonly StoredSaga[]> {
    return (await this.#query<SagaRow>('claim', statements.claim, [owner, silentMs, limit])).map(toSaga)
  }

  liveVersions(): ReturnType<Store['liveVersions']> {
    return this.#query('liveVersions', statements.liveVersions, [])
  }

  async prune(before: number, limit: number): Promise<number> {
    return (await this.#query<{ count: number }>('prune', statements.prune, [before, limit]))[0]?.count ?? 0
  }

  watch(onHint: (sagaIds: readonly string[]) => void): Promise<{ close(): Promise<void> }> {
    return listen(this.#settings(), this.#channel, (payload) => onHint(payload.split(',')))
  }

  async ready(): Promise<boolean> {
    return this.#query(null, 'select 1', []).then(
      () => true,
      () => false,
    )
  }

  async close(): Promise<void> {
    const pool = this.#pool
    this.#pool = null
    await pool?.end()
  }

  #settings(): pg.ClientConfig {
    return {
      connectionString: this.#options.connectionString,
      types,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      query_timeout: 30_000,
      application_name: 'ordersaga',
      options: '-c enable_seqscan=off -c enable_mergejoin=off -c jit=off -c plan_cache_mode=force_generic_plan',
    }
  }

  async #migrate(pool: pg.Pool): Promise<void> {
    const client = await pool.connect()
    const schema = quoted(this.#schema)
    try {
      await client.query('begin')
      // One process after the other; the lock goes with the transaction.
      await client.query('select pg_advisory_xact_lock($1)', [lockOf(this.#schema)])
      await client.query(
        `create schema if not exists ${schema}; create table if not exists ${schema}.saga_schema (version int not null)`,
      )
      const { rows } = await client.query<{ version: number | null }>(
        `select max(version) as version from ${schema}.saga_schema`,
      )
      const at = rows[0]?.version ?? 0
      if (at > migrations.length)
        throw new StoreError(
          'unusable',
          `Schema ${this.#schema} was made by a newer version (${at}, known ${migrations.length}). Use that version.`,
        )
      for (const migration of migrations.slice(at)) await client.query(migration.replaceAll('S.', `${schema}.`))
      if (at < migrations.length)
        await client.query(`insert into ${schema}.saga_schema values ($1)`, [migrations.length])
      await client.query('commit')
      client.release()
    } catch (error) {
      client.release(true)
      throw error
    }
  }

  async #startResults(starts: readonly Start[], started: ReadonlySet<string>): Promise<readonly StartResult[]> {
    const seen = new Set<string>()
    const fresh = starts.map(
      ({ saga }) => started.has(saga.id) && !seen.has(saga.id) && seen.add(saga.id) !== undefined,
    )
    if (fresh.every(Boolean)) return starts.map(() => ({ kind: 'started' }))
    const refused = starts.filter((_start, index) => fresh[index] !== true)
    const rows = await this.#query<{ id: string; key: string | null; fingerprint: string }>(
      'holders',
      statements.holders,
      [refused.map(({ saga }) => saga.id), refused.map(({ saga }) => saga.key).filter((key) => key !== null)],
    )
    return starts.map(({ saga }, index): StartResult => {
      if (fresh[index] === true) return { kind: 'started' }
      const holder =
        rows.find((row) => saga.key !== null && row.key === saga.key) ?? rows.find((row) => row.id === saga.id)
      if (holder === undefined)
        throw new StoreError(
          'unavailable',
          `Saga ${saga.id} was neither stored nor found; another one is just being removed. Try again.`,
        )
      return { kind: 'exists', id: holder.id, fingerprint: holder.fingerprint }
    })
  }

  /** The statement with its schema's name in it. */
  #placed(text: string): string {
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    const placed = text.replaceAll('S.', `${quoted(this.#schema)}.`)
    this.#texts.set(text, placed)
    return placed
  }

  async #query<Row extends object>(name: string | null, text: string, values: readonly unknown[]): Promise<Row[]> {
    if (this.#pool === null) throw new StoreError('unavailable', 'The PostgreSQL store is closed.')
    try {
      const query = { text: this.#placed(text), values: [...values] }
      const { rows } = await this.#pool.query<Row>(name === null ? query : { ...query, name })
      return rows
    } catch (error) {
      throw describeError(error)
    }
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

const lockOf = (schema: string): number => createHash('sha256').update(`ordersaga:${schema}`).digest().readInt32BE()

const moveColumns = (moves: readonly Move[]): unknown[] => [
  moves.map((move) => move.id),
  moves.map((move) => move.fromSeq),
  moves.map((move) => move.toSeq),
  moves.map((move) => JSON.stringify(move.state)),
  moves.map((move) => move.state.status),
  moves.map((move) => move.businessKey),
  moves.map((move) => move.owner),
  moves.map((move) => move.live),
  moves.map((move) => move.updatedAt),
  moves.map((move) => JSON.stringify(move.entries.map(entryRow))),
]

const entryRow = ({ seq, at, inputId, events }: HistoryEntry): unknown => ({
  seq,
  at,
  input_id: inputId,
  events: JSON.stringify(events),
})

const startColumns = (starts: readonly Start[]): unknown[] => [
  starts.map(({ saga }) => saga.id),
  starts.map(({ saga }) => saga.definition),
  starts.map(({ saga }) => saga.version),
  starts.map(({ saga }) => saga.seq),
  starts.map(({ saga }) => JSON.stringify(saga.state)),
  starts.map(({ saga }) => saga.owner),
  starts.map(({ saga }) => saga.key),
  starts.map(({ saga }) => saga.fingerprint),
  starts.map(({ saga }) => saga.businessKey),
  starts.map(({ saga }) => saga.createdAt),
  starts.map(({ saga }) => saga.updatedAt),
  starts.map(({ saga }) => saga.state.status),
  starts.map(({ live }) => live),
  starts.map(({ entry }) => entry.inputId),
  starts.map(({ entry }) => JSON.stringify(entry.events)),
]

/** As many ids as fit: a subscriber that misses one sees the move with the saga's next. */
function hintOf(moves: readonly Move[]): string {
  let hint = ''
  for (const { id } of moves) {
    if (hint.length + id.length + 1 > mostHinted) break
    hint = hint === '' ? id : `${hint},${id}`
  }
  return hint
}

const toSaga = (row: SagaRow): StoredSaga => ({
  id: row.id,
  definition: row.definition,
  version: row.version,
  seq: row.seq,
  state: JSON.parse(row.state) as SagaState,
  owner: row.owner,
  key: row.key,
  fingerprint: row.fingerprint,
  businessKey: row.business_key,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

function condition(filter: SagaFilter): { readonly where: string; readonly values: readonly (string | number)[] } {
  const parts: [string, string | number | undefined][] = [
    ['definition =', filter.definition],
    ['status =', filter.status],
    ['business_key =', filter.businessKey],
    ['created_at >=', filter.createdFrom],
    ['created_at <', filter.createdBefore],
  ]
  const used = parts.filter(([, value]) => value !== undefined)
  return {
    where: ['true', ...used.map(([text], index) => `${text} $${index + 1}`)].join(' and '),
    values: used.map(([, value]) => value as string | number),
  }
}
