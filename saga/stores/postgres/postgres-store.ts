/**
 * Keeps sagas in PostgreSQL: one statement, one round trip, one commit for a whole batch. Any number of processes.
 *
 * Plans are kept from depending on what the tables held when a statement was first prepared (an empty table is scanned,
 * and stays scanned): every session of the store's own asks for index access and nested loops, which fit all that is done
 * here. Statements are prepared by name, so between here and the server there may be a pooler of sessions, but not one of
 * transactions. In a pool of the caller's, whose settings are left alone, each statement is planned when it is run.
 */
import { randomUUID } from 'node:crypto'
import { problemReporter } from '../../problem.ts'
import { conflictOf, differing, without } from '../definitions.ts'
import { movedHints, pass, readHint, waitingHint } from '../hints.ts'
import { jsonOf } from '../json.ts'
import { noPosition, positionText } from '../moves.ts'
import { areStorable, isStorable, refuseOddDefinitions, refuseOddInputs, refuseOddNames } from '../names.ts'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import { versionKey } from '../processes.ts'
import { readRows } from '../reading.ts'
import { retryLater } from '../retry-later.ts'
import type { DefinitionRow, EarlierRow, HandedRow, HistoryRow, MoveRow, SagaRow } from '../rows.ts'
import { condition, reading, readHistoryRows, readMoveRows, toDefinition, toHanded } from '../rows.ts'
import type {
  DefinitionVersion,
  Found,
  HandedInput,
  HistoryEntry,
  KeyHolder,
  KnownDefinition,
  Move,
  MovePage,
  PageRequest,
  SagaFilter,
  SagaPage,
  Start,
  StartResult,
  Store,
  StoredSaga,
  StoreWatcher,
  StructureConflict,
} from '../store.ts'
import { StoreError } from '../store.ts'
import { textArray } from './arrays.ts'
import type { Batch } from './batch.ts'
import { earlierArrays, moveArrays, partsOf, startArrays } from './batch.ts'
import { describeError, isRace } from './errors.ts'
import { listen } from './listener.ts'
import type { PostgresStoreOptions } from './options.ts'
import { checkPostgresOptions } from './options.ts'
import type { PostgresClient } from './pool.ts'
import { Session } from './pool.ts'
import { createDatabase, isMissingDatabase, lockOf, migrate, nameOfDatabase, quoted } from './schema.ts'
import type { Dedicated, Source } from './source.ts'
import { callersSource, ownSource } from './source.ts'
import * as statements from './statements.ts'

export type { PostgresStoreOptions } from './options.ts'
export type { PostgresClient, PostgresPool, PostgresPoolClient, PostgresQuery, TypeParsers } from './pool.ts'

export interface PostgresStore extends Store {
  /**
   * @param tx a connection (of any pool) to the same database, with a transaction open on it. Keep that short: who starts a
   *   saga with the same key at the same time waits for its end
   */
  commitIn(tx: PostgresClient, start: Start): Promise<StartResult>
}

/** @throws StoreError `unusable` where an option is wrong */
export function postgresStore(options: PostgresStoreOptions): PostgresStore {
  checkPostgresOptions(options)
  return new SchemaStore(options)
}

const argument = (n: number): string => `$${n}`

const { list, count, littleMemory, room, ...prepared } = statements

/** How often a commit that lost a race is run again before the caller is told. */
const mostRaces = 10

interface Written {
  readonly moved: readonly string[] | null
  readonly started: readonly string[] | null
}

class SchemaStore implements PostgresStore {
  readonly #options: PostgresStoreOptions
  readonly #schema: string
  readonly #channel: string
  readonly #timeoutMs: number
  /** Tells this process's hints from those of others. */
  readonly #self = randomUUID()
  readonly #texts = new Map<string, string>()
  #source: Source | null = null
  /** Another process was alive lately: it is told what moves here. */
  #others = false

  constructor(options: PostgresStoreOptions) {
    this.#options = options
    this.#schema = options.schema ?? 'ordersaga'
    this.#channel = `${this.#schema}_moved`.slice(0, 63)
    this.#timeoutMs = options.commandTimeoutMs ?? 30_000
  }

  async open(): Promise<void> {
    if (this.#source !== null) return
    const source = this.#newSource()
    try {
      const dedicated = await this.#reach(source)
      try {
        await migrate(dedicated.client, this.#schema, problemReporter(this.#options.onProblem))
      } finally {
        await dedicated.end()
      }
      this.#source = source
    } catch (error) {
      await source.close()
      throw describeError(error)
    }
  }

  async identity(): Promise<string> {
    const [row] = await this.#query<{ identity: string }>('identity', [])
    return row?.identity ?? ''
  }

  async register(
    owner: string,
    definitions: readonly KnownDefinition[],
    silentMs: number,
  ): Promise<readonly StructureConflict[]> {
    refuseOddDefinitions(owner, definitions)
    return this.#transaction(async (session) => {
      await this.#run(session, 'lock', [lockOf(this.#schema, ' register')])
      const known = (await this.#run<DefinitionRow>(session, 'definitions', [])).map(toDefinition)
      const conflicts: StructureConflict[] = []
      for (const other of differing(definitions, known)) {
        const { definition, version, cancellable } = other
        const [needs = { sagas: 0, processes: 0 }] = await this.#run<{ sagas: number; processes: number }>(
          session,
          'needs',
          [owner, silentMs, definition, version, cancellable],
        )
        const conflict = conflictOf(other, needs)
        if (conflict !== null) conflicts.push(conflict)
      }
      const kept = without(definitions, conflicts)
      await this.#run(session, 'keep', [
        kept.map(({ definition }) => definition),
        kept.map(({ version }) => version),
        kept.map(({ structure }) => structure),
        kept.map(({ cancellable }) => cancellable),
      ])
      await this.#run(session, 'heartbeat', [owner, kept.map(versionKey)])
      return conflicts
    })
  }

  async definitions(): Promise<readonly KnownDefinition[]> {
    return (await this.#query<DefinitionRow>('definitions', [])).map(toDefinition)
  }

  async hand(inputs: readonly HandedInput[]): Promise<void> {
    refuseOddInputs(inputs)
    await this.#query('hand', [
      ...keyArrays(inputs),
      textArray(inputs.map(({ sagaId, input }) => jsonOf(sagaId, input))),
      this.#channel,
      waitingHint(this.#self),
    ])
  }

  async handed(versions: readonly DefinitionVersion[], limit: number): Promise<readonly HandedInput[]> {
    return (await this.#query<HandedRow>('handed', [versions.map(versionKey), limit])).map(toHanded)
  }

  async stillHanded<Key extends Omit<HandedInput, 'input'>>(inputs: readonly Key[]): Promise<readonly Key[]> {
    const sound = inputs.filter(areStorable)
    const rows = await this.#query<{ place: number }>('stillHanded', keyArrays(sound))
    return rows.map(({ place }) => sound[place - 1]).filter((each) => each !== undefined)
  }

  async dropHanded(inputs: readonly Omit<HandedInput, 'input'>[]): Promise<void> {
    await this.#query('dropHanded', keyArrays(inputs.filter(areStorable)))
  }

  async commit(batch: Batch): ReturnType<Store['commit']> {
    refuseOddNames(batch)
    const parts = partsOf(batch)
    const written = await this.#writeAll(parts)
    return {
      starts: await this.#startResults(batch.starts, written),
      moves: batch.moves.map((move) => (written.has(move) ? 'moved' : 'stale')),
    }
  }

  async commitIn(tx: PostgresClient, { saga, ...rest }: Start): Promise<StartResult> {
    const start = { ...rest, saga: { ...saga, owner: '' } }
    refuseOddNames({ starts: [start], moves: [] })
    if (typeof (tx as PostgresClient | null | undefined)?.query !== 'function')
      throw new StoreError('refused', 'The transaction must be a connection of the package pg: it has a query method.')
    const session = new Session(tx, false, this.#timeoutMs)
    try {
      // Else it would be there at once, whatever becomes of what the caller writes with it.
      if (tx.getTransactionStatus?.() !== 'T') await this.#run(session, 'inTransaction', [])
      const values = [...startArrays([start]), this.#channel, waitingHint('')]
      const started = await this.#run(session, 'commitIn', values)
      if (started.length > 0) return { kind: 'started' }
      return existing(saga, holdersOf(await this.#run<Holder>(session, 'holders', idsAndKeys([saga]))))
    } catch (error) {
      throw retryLater(describeError(error))
    }
  }

  async startedUnder(key: string): Promise<KeyHolder | null> {
    if (!isStorable(key)) return null
    const [held] = await this.#query<Holder>('holders', [[], [key]])
    return held === undefined ? null : { id: held.id, fingerprint: held.fingerprint }
  }

  async load(ids: readonly string[]): Promise<Found> {
    return readRows(reading, await this.#query<SagaRow>('load', [ids.filter(isStorable)]))
  }

  async list(filter: SagaFilter, page: PageRequest = {}): Promise<SagaPage> {
    const limit = pageLimit(page.limit)
    const { where, values } = condition(filter, argument)
    const after = page.after === undefined ? null : parseKey(page.after)
    const from = after === null ? '' : ` and (created_at, id) < ($${values.length + 1}, $${values.length + 2})`
    const keyed = after === null ? values : [...values, after.createdAt, after.id]
    const text = `${list(where + from)} order by created_at desc, id desc limit $${keyed.length + 1}`
    return pageOf(reading, await this.#look<SagaRow>(text, [...keyed, limit + 1]), limit)
  }

  async count(filter: SagaFilter): Promise<number> {
    const { where, values } = condition(filter, argument)
    return (await this.#look<{ n: number }>(count(where), values))[0]?.n ?? 0
  }

  async history(sagaId: string, afterSeq = 0, limit = 1000): Promise<readonly HistoryEntry[]> {
    if (!isStorable(sagaId)) return []
    const rows = await this.#query<HistoryRow>('history', [sagaId, afterSeq, limit])
    return readHistoryRows(rows, (upTo) => this.#earlier(upTo))
  }

  async moves(after: string | null, limit?: number): Promise<MovePage> {
    const from = after === null ? beforeAll : placeOf(after)
    const rows = await this.#query<FeedRow>('moves', [from.xact, from.saga_id, from.seq, pageLimit(limit)])
    const [{ identity, ends } = { identity: '', ends: 0 }] = rows
    if (after !== null && (from.identity !== identity || from.xact >= ends)) throw noPosition(after)
    const found = rows.filter((row) => row.saga_id !== null)
    const { entries, damaged } = await readMoveRows(found, (upTo) => this.#earlier(upTo))
    return { moves: entries, damaged, next: placeText(identity, found.at(-1) ?? from) }
  }

  async heartbeat(owner: string, runs: readonly DefinitionVersion[]): Promise<void> {
    const [row] = await this.#query<{ others: boolean }>('heartbeat', [owner, runs.map(versionKey)])
    this.#others = row?.others === true
  }

  async retire(owner: string): Promise<void> {
    await this.#query('retire', [owner, this.#channel, waitingHint(this.#self)])
  }

  async claim(owner: string, silentMs: number, limit: number, versions: readonly DefinitionVersion[]): Promise<Found> {
    const pairs = [versions.map(({ definition }) => definition), versions.map(({ version }) => version)]
    const rows = await this.#transaction(async (session) => {
      const ids = (await this.#run<{ id: string }>(session, 'claim', [owner, silentMs, limit, ...pairs])).map(
        ({ id }) => id,
      )
      return ids.length === 0 ? [] : this.#run<SagaRow>(session, 'load', [ids])
    })
    return readRows(reading, rows)
  }

  liveVersions(): ReturnType<Store['liveVersions']> {
    return this.#query('liveVersions', [])
  }

  async prune(retainMs: number, limit: number): Promise<number> {
    return this.#transaction(async (session) => {
      const old = await this.#run<{ id: string }>(session, 'old', [retainMs, limit])
      if (old.length > 0) await this.#run(session, 'remove', [old.map(({ id }) => id)])
      return old.length
    })
  }

  watch(watcher: StoreWatcher): Promise<{ close(): Promise<void> }> {
    return listen({
      connect: async () => this.#opened().dedicated(),
      channel: this.#channel,
      timeoutMs: this.#timeoutMs,
      onListening: (client) =>
        client.query({ text: 'select pg_notify($1, $2)', values: [this.#channel, movedHints(this.#self, [])[0]] }),
      onPayload: (payload) => {
        const hint = readHint(payload)
        if (hint === null || hint.from === this.#self) return
        if (hint.from !== '') this.#others = true
        pass(hint, this.#self, watcher)
      },
    })
  }

  async ready(): Promise<boolean> {
    const tried = this.#transaction(async (session) => {
      await session.query(littleMemory)
      await session.query(room)
      await this.#run(session, 'write', [])
    })
    return tried.then(
      () => true,
      () => false,
    )
  }

  async close(): Promise<void> {
    const source = this.#source
    this.#source = null
    await source?.close()
  }

  #newSource(): Source {
    const { connectionString = '', pool, maxConnections = 4 } = this.#options
    return pool === undefined
      ? ownSource({ connectionString, maxConnections, timeoutMs: this.#timeoutMs })
      : callersSource(pool, this.#timeoutMs)
  }

  /** A connection to the database, which is made where that is asked for. */
  async #reach(source: Source): Promise<Dedicated> {
    try {
      return await source.dedicated()
    } catch (error) {
      const { connectionString, createDatabase: mayCreate = false } = this.#options
      if (!isMissingDatabase(error) || connectionString === undefined) throw error
      if (!mayCreate)
        throw new StoreError(
          'unusable',
          `Database ${nameOfDatabase(connectionString)} does not exist. Check its name in the URL, create it, or have it made with createDatabase: true.`,
          error,
        )
      await createDatabase(connectionString)
      return source.dedicated()
    }
  }

  #earlier(upTo: ReadonlyMap<string, number>): Promise<readonly EarlierRow[]> {
    return this.#query('earlier', [[...upTo.keys()], [...upTo.values()]])
  }

  /** The items of the batch that were written. */
  async #writeAll(parts: readonly Batch[]): Promise<ReadonlySet<Start | Move>> {
    const [only] = parts
    if (only === undefined) return new Set()
    if (parts.length === 1)
      return new Set(await this.#retried(({ work }) => work.session((session) => this.#write(session, only))))
    return this.#transaction(async (session) => {
      const written: (Start | Move)[] = []
      for (const part of parts) written.push(...(await this.#write(session, part)))
      return new Set(written)
    })
  }

  async #write(session: Session, { starts, moves }: Batch): Promise<readonly (Start | Move)[]> {
    const ids = moves.map(({ id }) => id)
    const hints = this.#others && moves.length > 0 ? movedHints(this.#self, ids) : []
    const [row] = await this.#run<Written>(session, 'commit', [
      ...moveArrays(moves),
      ...earlierArrays(moves),
      ...startArrays(starts),
      this.#channel,
      textArray(hints),
    ])
    const moved = new Set(row?.moved)
    const started = new Set(row?.started)
    return [...starts.filter(({ saga }) => started.has(saga.id)), ...moves.filter(({ id }) => moved.has(id))]
  }

  async #startResults(starts: readonly Start[], written: ReadonlySet<Start | Move>): Promise<readonly StartResult[]> {
    const refused = starts.filter((start) => !written.has(start)).map(({ saga }) => saga)
    const holders = refused.length === 0 ? [] : await this.#query<Holder>('holders', idsAndKeys(refused))
    const held = holdersOf(holders)
    return starts.map((start) => (written.has(start) ? { kind: 'started' } : existing(start.saga, held)))
  }

  /** Runs a statement that is prepared under its name. */
  #query<Row>(name: Named, values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#retried(({ work }) => work.session((session) => this.#run<Row>(session, name, values)))
  }

  #run<Row>(session: Session, name: Named, values: readonly unknown[]): Promise<readonly Row[]> {
    return session.query<Row>(this.#placed(prepared[name]), values, name)
  }

  /** Runs a statement that is planned for these very values. */
  #look<Row>(text: string, values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#retried(({ lists }) => lists.session((session) => session.query<Row>(this.#placed(text), values)))
  }

  #transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#retried((source) => source.work.transaction(work))
  }

  /** The statement with its schema's name in it. */
  #placed(text: string): string {
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    const placed = text.replaceAll('S.', `${quoted(this.#schema)}.`)
    this.#texts.set(text, placed)
    return placed
  }

  #opened(): Source {
    if (this.#source === null) throw new StoreError('unavailable', 'The PostgreSQL store is closed.')
    return this.#source
  }

  /** Runs again what lost a race with another process and has therefore changed nothing. */
  async #retried<T>(work: (source: Source) => Promise<T>): Promise<T> {
    for (let races = 1; ; races++) {
      const source = this.#opened()
      try {
        return await work(source)
      } catch (error) {
        if (!isRace(error) || races === mostRaces) throw retryLater(describeError(error))
      }
    }
  }
}

type Named = keyof typeof prepared

interface Holder extends KeyHolder {
  readonly key: string | null
}

const idsAndKeys = (sagas: readonly StoredSaga[]): unknown[] => [
  sagas.map(({ id }) => id),
  sagas.map(({ key }) => key).filter((key) => key !== null),
]

interface Holders {
  readonly byId: ReadonlyMap<string, Holder>
  readonly byKey: ReadonlyMap<string | null, Holder>
}

const holdersOf = (holders: readonly Holder[]): Holders => ({
  byId: new Map(holders.map((holder) => [holder.id, holder])),
  byKey: new Map(holders.map((holder) => [holder.key, holder])),
})

/** The saga that holds the key of one that was not started, or its id. */
function existing({ id, key }: StoredSaga, { byId, byKey }: Holders): StartResult {
  const holder = (key === null ? undefined : byKey.get(key)) ?? byId.get(id)
  if (holder === undefined)
    throw new StoreError(
      'unavailable',
      `Saga ${id} was neither stored nor found; the one that held its key is just being removed. Try again.`,
    )
  return { kind: 'exists', id: holder.id, fingerprint: holder.fingerprint }
}

const keyArrays = (inputs: readonly Omit<HandedInput, 'input'>[]): Buffer[] => [
  textArray(inputs.map(({ sagaId }) => sagaId)),
  textArray(inputs.map(({ inputId }) => inputId)),
]

/** Of a move among those of all sagas (`moves` in `statements.ts`). */
interface Place {
  readonly xact: number
  readonly saga_id: string
  readonly seq: number
}

const beforeAll = { identity: '', xact: 0, saga_id: '', seq: 0 }

const placeText = (identity: string, { xact, saga_id, seq }: Place): string =>
  positionText(identity, `${xact}:${seq}:${saga_id}`)

/** @throws RangeError */
function placeOf(position: string): Place & { readonly identity: string } {
  const [, identity, xact, seq, saga_id = ''] = /^([a-z0-9]+):(\d{1,16}):(\d{1,16}):(.*)$/s.exec(position) ?? []
  if (identity === undefined || !isStorable(saga_id)) throw noPosition(position)
  return { identity, xact: Number(xact), saga_id, seq: Number(seq) }
}

/** A move, or none where there is none; with the store's identity, and the transaction from which on moves are not read yet. */
type FeedRow = { readonly identity: string; readonly ends: number } & MoveRow & Place
