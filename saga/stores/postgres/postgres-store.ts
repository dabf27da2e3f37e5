/**
 * Keeps sagas in PostgreSQL: one statement, one round trip, one commit for a whole batch. Any number of processes.
 *
 * Plans are kept from depending on what the tables held when a statement was first prepared (an empty table is scanned,
 * and stays scanned): every session asks for index access and nested loops, which fit all that is done here. Statements are
 * prepared by name, so between here and the server there may be a pooler of sessions, but not one of transactions.
 */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import { readRows } from '../reading.ts'
import { retryLater } from '../retry-later.ts'
import type { HistoryRow, SagaRow } from '../rows.ts'
import { condition, isStorable, reading, refuseOddNames, toEntry } from '../rows.ts'
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
} from '../store.ts'
import { StoreError } from '../store.ts'
import { textArray } from './arrays.ts'
import type { Batch } from './batch.ts'
import { entryColumns, moveColumns, partsOf, startColumns } from './batch.ts'
import { describeError, isRace } from './errors.ts'
import { hintsOf, readHint } from './hints.ts'
import { listen } from './listener.ts'
import type { ConnectionSettings } from './schema.ts'
import { migrate, quoted } from './schema.ts'
import * as statements from './statements.ts'

export interface PostgresStoreOptions {
  /** Such as `postgresql://user:password@host:5432/database`. */
  readonly connectionString: string
  /** Where the tables are; made where it is missing. `ordersaga` where none is given. */
  readonly schema?: string
  /** Connections at once; 4 where none is given, of which commits take one. Lists have two more, and `watch` has one. */
  readonly maxConnections?: number
  /** How long the server may be silent while something is asked of it; 30,000 where none is given. */
  readonly commandTimeoutMs?: number
  /** Told now and then while the schema is made or upgraded, here or by another process, which takes as long as it takes. */
  readonly onProblem?: (what: string, cause: unknown) => void
}

export function postgresStore(options: PostgresStoreOptions): Store {
  return new PostgresStore(options)
}

const argument = (n: number): string => `$${n}`

const int8 = 20

/** Counts and Unix milliseconds fit a number. */
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary'): ((value: string) => unknown) =>
    oid === int8 ? Number : (pg.types.getTypeParser(oid, format) as (value: string) => unknown),
}

/** Index access and nested loops, planned once and for all; see the head of this file. */
const planning = `
  set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
  set jit = off; set plan_cache_mode = force_generic_plan`

/** Lists follow the index that has their order, also where statistics are missing; a bitmap would be sorted as a whole. */
const inOrder = 'set enable_seqscan = off; set enable_bitmapscan = off; set jit = off'

/** How often a commit that lost a race is run again before the caller is told. */
const mostRaces = 10

/** Lists and counts come in many shapes: planned for what is asked, on connections that no commit waits for. */
interface Pools {
  readonly work: pg.Pool
  readonly lists: pg.Pool
}

interface Written {
  readonly moved: readonly string[] | null
  readonly started: readonly string[] | null
}

class PostgresStore implements Store {
  readonly #options: PostgresStoreOptions
  readonly #schema: string
  readonly #channel: string
  /** Tells this process's hints from those of others. */
  readonly #self = randomUUID()
  readonly #texts = new Map<string, string>()
  #pools: Pools | null = null
  /** Another process was alive lately: it is told what moves here. */
  #others = false

  constructor(options: PostgresStoreOptions) {
    this.#options = options
    this.#schema = options.schema ?? 'ordersaga'
    this.#channel = `${this.#schema}_moved`.slice(0, 63)
  }

  async open(): Promise<void> {
    if (this.#pools !== null) return
    const pools = {
      work: this.#pool(this.#options.maxConnections ?? 4, planning),
      lists: this.#pool(2, inOrder),
    }
    try {
      await migrate(this.#settings(), this.#schema, this.#options.onProblem)
      this.#pools = pools
    } catch (error) {
      await end(pools)
      throw describeError(error)
    }
  }

  async commit(batch: Batch): ReturnType<Store['commit']> {
    refuseOddNames(batch)
    const parts = partsOf(batch)
    const written = await this.#retried(({ work }) => this.#writeAll(work, parts))
    return {
      starts: await this.#startResults(batch.starts, written),
      moves: batch.moves.map((move) => (written.has(move) ? 'moved' : 'stale')),
    }
  }

  async load(ids: readonly string[]): Promise<Found> {
    return readRows(reading, await this.#query<SagaRow>('load', statements.load, [ids.filter(isStorable)]))
  }

  async list(filter: SagaFilter, page: PageRequest = {}): Promise<SagaPage> {
    const limit = pageLimit(page.limit)
    const { where, values } = condition(filter, argument)
    const after = page.after === undefined ? null : parseKey(page.after)
    const from = after === null ? '' : ` and (created_at, id) < ($${values.length + 1}, $${values.length + 2})`
    const keyed = after === null ? values : [...values, after.createdAt, after.id]
    const text = `${statements.list(where + from)} order by created_at desc, id desc limit $${keyed.length + 1}`
    return pageOf(reading, await this.#query<SagaRow>(null, text, [...keyed, limit + 1]), limit)
  }

  async count(filter: SagaFilter): Promise<number> {
    const { where, values } = condition(filter, argument)
    return (await this.#query<{ n: number }>(null, statements.count(where), values))[0]?.n ?? 0
  }

  async history(sagaId: string, afterSeq = 0, limit = 1000): Promise<readonly HistoryEntry[]> {
    if (!isStorable(sagaId)) return []
    const rows = await this.#query<HistoryRow>('history', statements.history, [sagaId, afterSeq, limit])
    return rows.map((row) => toEntry(sagaId, row))
  }

  async heartbeat(owner: string): Promise<void> {
    const [row] = await this.#query<{ others: boolean }>('heartbeat', statements.heartbeat, [owner])
    this.#others = row?.others === true
  }

  async retire(owner: string): Promise<void> {
    await this.#query('retire', statements.retire, [owner])
  }

  async claim(owner: string, silentMs: number, limit: number, versions: readonly DefinitionVersion[]): Promise<Found> {
    const pairs = [versions.map(({ definition }) => definition), versions.map(({ version }) => version)]
    const claim = { name: 'claim', text: this.#placed(statements.claim), values: [owner, silentMs, limit, ...pairs] }
    const rows = await this.#retried(({ work }) =>
      inTransaction(work, async (client) => {
        const ids = (await client.query<{ id: string }>(claim)).rows.map(({ id }) => id)
        if (ids.length === 0) return []
        const load = { name: 'load', text: this.#placed(statements.load), values: [ids] }
        return (await client.query<SagaRow>(load)).rows
      }),
    )
    return readRows(reading, rows)
  }

  liveVersions(): ReturnType<Store['liveVersions']> {
    return this.#query('liveVersions', statements.liveVersions, [])
  }

  async prune(before: number, limit: number): Promise<number> {
    return (await this.#query<{ count: number }>('prune', statements.prune, [before, limit]))[0]?.count ?? 0
  }

  watch(onHint: (sagaIds: readonly string[]) => void): Promise<{ close(): Promise<void> }> {
    return listen(
      this.#settings(),
      this.#channel,
      (client) => client.query('select pg_notify($1, $2)', [this.#channel, hintsOf(this.#self, [])[0]]),
      (payload) => {
        const hint = readHint(payload)
        if (hint === null || hint.from === this.#self) return
        this.#others = true
        if (hint.ids.length > 0) onHint(hint.ids)
      },
    )
  }

  async ready(): Promise<boolean> {
    return this.#query<{ writable: boolean }>('writable', statements.writable, []).then(
      ([row]) => row?.writable === true,
      () => false,
    )
  }

  async close(): Promise<void> {
    const pools = this.#pools
    this.#pools = null
    if (pools !== null) await end(pools)
  }

  #pool(max: number, session: string): pg.Pool {
    // The pool waits for what this returns, although its types do not say so.
    const begin = (client: pg.ClientBase): unknown => {
      // A connection that breaks outside of a query says so by an event; unheard, that would end the process.
      client.on('error', () => undefined)
      return client.query(session)
    }
    const pool = new pg.Pool({ ...this.#settings(), max, onConnect: begin })
    return pool.on('error', () => undefined)
  }

  #settings(): ConnectionSettings {
    return {
      connectionString: this.#options.connectionString,
      types,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      query_timeout: this.#options.commandTimeoutMs ?? 30_000,
      application_name: 'ordersaga',
    }
  }

  /** The items of the batch that were written. */
  async #writeAll(pool: pg.Pool, parts: readonly Batch[]): Promise<ReadonlySet<Start | Move>> {
    const [only] = parts
    if (only === undefined) return new Set()
    if (parts.length === 1) return new Set(await this.#write(pool, only))
    return inTransaction(pool, async (client) => {
      const written: (Start | Move)[] = []
      for (const part of parts) written.push(...(await this.#write(client, part)))
      return new Set(written)
    })
  }

  async #write(to: pg.Pool | pg.PoolClient, { starts, moves }: Batch): Promise<readonly (Start | Move)[]> {
    const hints =
      this.#others && moves.length > 0
        ? hintsOf(
            this.#self,
            moves.map(({ id }) => id),
          )
        : []
    const { rows } = await to.query<Written>({
      name: 'commit',
      text: this.#placed(statements.commit),
      values: [...moveColumns(moves), ...entryColumns(moves), ...startColumns(starts), this.#channel, textArray(hints)],
    })
    const moved = new Set(rows[0]?.moved)
    const started = new Set(rows[0]?.started)
    return [...starts.filter(({ saga }) => started.has(saga.id)), ...moves.filter(({ id }) => moved.has(id))]
  }

  async #startResults(starts: readonly Start[], written: ReadonlySet<Start | Move>): Promise<readonly StartResult[]> {
    const refused = starts.filter((start) => !written.has(start)).map(({ saga }) => saga)
    if (refused.length === 0) return starts.map(() => ({ kind: 'started' }))
    const holders = await this.#query<{ id: string; key: string | null; fingerprint: string }>(
      'holders',
      statements.holders,
      [refused.map(({ id }) => id), refused.map(({ key }) => key).filter((key) => key !== null)],
    )
    const byId = new Map(holders.map((holder) => [holder.id, holder]))
    const byKey = new Map(holders.map((holder) => [holder.key, holder]))
    return starts.map((start): StartResult => {
      if (written.has(start)) return { kind: 'started' }
      const { id, key } = start.saga
      const holder = (key === null ? undefined : byKey.get(key)) ?? byId.get(id)
      if (holder === undefined)
        throw new StoreError(
          'unavailable',
          `Saga ${id} was neither stored nor found; the one that held its key is just being removed. Try again.`,
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

  /** Runs a statement that is prepared under its name; without one, it is planned for these very values. */
  async #query<Row extends object>(name: string | null, text: string, values: readonly unknown[]): Promise<Row[]> {
    const query = { text: this.#placed(text), values: [...values], ...(name === null ? {} : { name }) }
    const on = name === null ? 'lists' : 'work'
    return this.#retried(async (pools) => (await pools[on].query<Row>(query)).rows)
  }

  /** Runs again what lost a race with another process and has therefore changed nothing. */
  async #retried<T>(work: (pools: Pools) => Promise<T>): Promise<T> {
    for (let races = 1; ; races++) {
      if (this.#pools === null) throw new StoreError('unavailable', 'The PostgreSQL store is closed.')
      try {
        return await work(this.#pools)
      } catch (error) {
        if (!isRace(error) || races === mostRaces) throw retryLater(describeError(error))
      }
    }
  }
}

async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    client.release()
    return result
  } catch (error) {
    client.release(true)
    throw error
  }
}

const end = async ({ work, lists }: Pools): Promise<void> => {
  await Promise.all([work.end(), lists.end()])
}
