/**
 * Keeps sagas in one SQLite file: the embedded default. Durable (WAL, fsync on commit), in process, one process by a lock.
 *
 * The driver is synchronous; a batch is one transaction of prepared statements, so its size bounds how long the event
 * loop is held (256 moves take a few milliseconds).
 */
import { KeptTime } from '../../kept-time.ts'
import type { OnProblem } from '../../problem.ts'
import { conflictOf, differing, without } from '../definitions.ts'
import { jsonOf } from '../json.ts'
import { countIn, positionText } from '../moves.ts'
import { areStorable, isStorable, refuseOddDefinitions, refuseOddInputs, refuseOddNames } from '../names.ts'
import { aFunction, aText, checkOptions, milliseconds } from '../options.ts'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import { Processes } from '../processes.ts'
import { readRows } from '../reading.ts'
import type { Columns, DefinitionRow, EarlierRow, HandedRow, HistoryRow, MoveRow, SagaRow } from '../rows.ts'
import {
  condition,
  endedStatuses,
  entryColumns,
  moveColumns,
  namesOf,
  readColumns,
  readHistoryRows,
  reading,
  readMoveRows,
  sagaColumns,
  toDefinition,
  toHanded,
} from '../rows.ts'
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
import type { SqliteTransaction } from './database.ts'
import { Database } from './database.ts'

export type { SqliteTransaction } from './database.ts'

export interface SqliteStoreOptions {
  /** The file; its folder is made where it is missing. `:memory:` keeps nothing. */
  readonly file: string
  /** Unix milliseconds; heartbeats of the one process are kept by it, and the age of ended sagas. */
  readonly now?: () => number
  /** Told where the clock is so far ahead that ended sagas are kept for longer. */
  readonly onProblem?: OnProblem
  /** How long a transaction of the caller's may be open, during which the store does nothing else; 5,000 where none is given. */
  readonly transactionMs?: number
}

export interface SqliteStore extends Store {
  /**
   * Runs `work` in a transaction on the store's file, where tables of one's own may be, too (their names must not begin with
   * `saga`): what it writes and the sagas that it starts (`commitIn`) are there together or not at all. It is committed when
   * `work` is done, and rolled back where that throws.
   *
   * The store does nothing else meanwhile: wait in it for nothing but what is done with `tx`.
   */
  transaction<T>(work: (tx: SqliteTransaction) => T | Promise<T>): Promise<T>
  /** @param tx what `transaction` hands over, while it is open */
  commitIn(tx: SqliteTransaction, start: Start): Promise<StartResult>
}

/** @throws StoreError `unusable` where an option is wrong */
export function sqliteStore(options: SqliteStoreOptions): SqliteStore {
  checkOptions('sqliteStore', options, {
    file: aText,
    now: aFunction,
    onProblem: aFunction,
    transactionMs: milliseconds,
  })
  if ((options as SqliteStoreOptions | undefined)?.file === undefined)
    throw new StoreError('unusable', `sqliteStore needs the file to keep sagas in: sqliteStore({ file: 'sagas.db' }).`)
  return new FileStore(options)
}

/** So much of the time may be lost with a process: sagas are then kept for as much longer. */
const rememberedMs = 3_600_000

type Value = string | number | null

const columns = readColumns('saga_history')

const marks = (count: number): string => `(${Array.from({ length: count }, () => '?').join()})`

function valuesIn<Item>(table: Columns<Item>): (item: Item) => Value[] {
  const columnsInOrder = Object.values(table)
  return (item) => columnsInOrder.map(({ of }) => of(item))
}

const sagaValues = valuesIn(sagaColumns)
const moveValues = valuesIn(moveColumns)
const entryValues = valuesIn(entryColumns)

// Made once: a text put together for each row would be hashed for each row.
const insertSaga = `insert into saga (${namesOf(sagaColumns)}, stored_at) values ${marks(Object.keys(sagaColumns).length + 1)} on conflict do nothing`
const entryMarks = marks(Object.keys(entryColumns).length + 1)
const insertEntry = `insert into saga_history (${namesOf(entryColumns)}, state) values ${entryMarks}`
/** A call of the driver costs as much as a row: history goes in by several rows a call. */
const rowsAtOnce = 8
const insertEntries = `${insertEntry}${`,${entryMarks}`.repeat(rowsAtOnce - 1)}`
const readMoves = `select place, ${Object.keys(entryColumns)
  .map((name) => `h.${name}`)
  .join(', ')}, definition, version, business_key
  from saga_history h cross join saga s on s.id = h.saga_id where place > ? order by place limit ?`
const argument = (name: keyof typeof moveColumns): string => `?${Object.keys(moveColumns).indexOf(name) + 1}`
const updateSaga = `update saga set
  seq = ${argument('to_seq')}, state_seq = iif(${argument('state')} is null, state_seq, ${argument('to_seq')}),
  status = ${argument('status')}, business_key = ${argument('business_key')}, owner = ${argument('owner')},
  live = ${argument('live')}, updated_at = ${argument('updated_at')}, stored_at = ?${Object.keys(moveColumns).length + 1}
  where id = ${argument('id')} and seq = ${argument('from_seq')}`

class FileStore implements SqliteStore {
  readonly exclusive = true
  readonly #database: Database
  readonly #transactionMs: number
  readonly #processes: Processes
  readonly #now: () => number
  readonly #time: KeptTime
  readonly #watchers = new Set<StoreWatcher>()

  constructor({ file, now = Date.now, transactionMs = 5_000, onProblem }: SqliteStoreOptions) {
    this.#database = new Database(file)
    this.#transactionMs = transactionMs
    this.#processes = new Processes(now)
    this.#now = now
    this.#time = new KeptTime({ now, onProblem })
  }

  open(): Promise<void> {
    return this.#database.open()
  }

  use(owner: string): () => void {
    return this.#processes.use(owner)
  }

  identity(): Promise<string> {
    return this.#database.alone(() => this.#identity())
  }

  async register(
    owner: string,
    definitions: readonly KnownDefinition[],
    silentMs: number,
  ): Promise<readonly StructureConflict[]> {
    refuseOddDefinitions(owner, definitions)
    return this.#database.atomically(() => {
      const conflicts = differing(definitions, this.#definitions())
        .map((kept) =>
          conflictOf(kept, {
            sagas: this.#needing(kept),
            processes: this.#processes.othersRunning(kept, owner, silentMs),
          }),
        )
        .filter((conflict) => conflict !== null)
      const kept = without(definitions, conflicts)
      for (const { definition, version, structure, cancellable } of kept)
        this.#sql('insert or replace into saga_definition values (?, ?, ?, ?)').run([
          definition,
          version,
          structure,
          cancellable ? 1 : 0,
        ])
      this.#processes.beat(owner, kept)
      return conflicts
    })
  }

  definitions(): Promise<readonly KnownDefinition[]> {
    return this.#database.alone(() => this.#definitions())
  }

  async hand(inputs: readonly HandedInput[]): Promise<void> {
    refuseOddInputs(inputs)
    const rows = inputs.map(({ sagaId, inputId, input }) => [inputId, jsonOf(sagaId, input), sagaId])
    return this.#database.atomically(() => {
      const insert = this.#sql(
        `insert into saga_handed (saga_id, input_id, input) select id, ?, ? from saga where id = ? on conflict do nothing`,
      )
      for (const row of rows) insert.run(row)
    })
  }

  handed(versions: readonly DefinitionVersion[], limit: number): Promise<readonly HandedInput[]> {
    return this.#database.alone(() =>
      this.#all<HandedRow>(
        `select saga_id, input_id, input from saga_handed cross join saga on saga.id = saga_id
         where (definition, version) in (select value ->> 0, value ->> 1 from json_each(?)) order by place limit ?`,
        [pairsOf(versions), limit],
      ).map(toHanded),
    )
  }

  stillHanded<Key extends Omit<HandedInput, 'input'>>(inputs: readonly Key[]): Promise<readonly Key[]> {
    return this.#database.alone(() => {
      const one = this.#sql('select 1 from saga_handed where saga_id = ? and input_id = ?')
      return inputs.filter((each) => areStorable(each) && one.get([each.sagaId, each.inputId]) !== undefined)
    })
  }

  dropHanded(inputs: readonly Omit<HandedInput, 'input'>[]): Promise<void> {
    return this.#database.atomically(() => {
      const drop = this.#sql('delete from saga_handed where saga_id = ? and input_id = ?')
      for (const each of inputs.filter(areStorable)) drop.run([each.sagaId, each.inputId])
    })
  }

  async commit(batch: {
    readonly starts: readonly Start[]
    readonly moves: readonly Move[]
  }): ReturnType<Store['commit']> {
    refuseOddNames(batch)
    return this.#database.atomically(() => {
      const written: Value[][] = []
      const starts = batch.starts.map((start) => this.#start(start, written))
      const moves = batch.moves.map((move) => this.#move(move, written))
      this.#append(written)
      return { starts, moves }
    })
  }

  async transaction<T>(work: (tx: SqliteTransaction) => T | Promise<T>): Promise<T> {
    const result = await this.#database.transaction(work, this.#transactionMs)
    for (const watcher of this.#watchers) watcher.waiting()
    return result
  }

  async commitIn(tx: SqliteTransaction, { saga, ...rest }: Start): Promise<StartResult> {
    const start = { ...rest, saga: { ...saga, owner: '' } }
    refuseOddNames({ starts: [start], moves: [] })
    return this.#database.joined(tx, () => {
      const written: Value[][] = []
      const result = this.#start(start, written)
      this.#append(written)
      return result
    })
  }

  async startedUnder(key: string): Promise<KeyHolder | null> {
    if (!isStorable(key)) return null
    const held = (await this.#database.alone(() =>
      this.#one('select id, fingerprint from saga where key = ?', [key]),
    )) as KeyHolder | undefined
    return held === undefined ? null : { id: held.id, fingerprint: held.fingerprint } // its row has more besides
  }

  load(ids: readonly string[]): Promise<Found> {
    return this.#database.alone(() => this.#read(ids.filter(isStorable)))
  }

  async list(filter: SagaFilter, page: PageRequest = {}): Promise<SagaPage> {
    const limit = pageLimit(page.limit)
    const { where, values } = condition(filter, () => '?')
    const after = page.after === undefined ? null : parseKey(page.after)
    const from = after === null ? '' : 'and (created_at, id) < (?, ?)'
    return this.#database.alone(() => {
      const rows = this.#all<SagaRow>(
        // Which they are comes from an index alone; only the rows of the page are read.
        `select ${columns} from saga where rowid in (
           select rowid from saga where ${where} ${from} order by created_at desc, id desc limit ?
         ) order by created_at desc, id desc`,
        [...values, ...(after === null ? [] : [after.createdAt, after.id]), limit + 1],
      )
      return pageOf(reading, rows, limit)
    })
  }

  async count(filter: SagaFilter): Promise<number> {
    const { where, values } = condition(filter, () => '?')
    return this.#database.alone(() => this.#counted(`select count(*) as n from saga where ${where}`, values))
  }

  async history(sagaId: string, afterSeq = 0, limit = 1000): Promise<readonly HistoryEntry[]> {
    const rows = await this.#database.alone(() =>
      this.#all<HistoryRow>(
        `select ${namesOf(entryColumns)} from saga_history where saga_id = ? and seq > ? order by seq limit ?`,
        [sagaId, afterSeq, limit],
      ),
    )
    return readHistoryRows(rows, (upTo) => this.#earlier(upTo))
  }

  /** One transaction is written after the other: the order of places is that of becoming visible. */
  async moves(after: string | null, limit?: number): Promise<MovePage> {
    const { rows, identity, from } = await this.#database.alone(() => {
      const identity = this.#identity()
      const last = this.#one(`select seq from sqlite_sequence where name = 'saga_history'`) as
        { seq: number } | undefined
      const from = countIn(after, identity, last?.seq ?? 0)
      const rows = this.#all<MoveRow & { readonly place: number }>(readMoves, [from, pageLimit(limit)])
      return { rows, identity, from }
    })
    const { entries, damaged } = await readMoveRows(rows, (upTo) => this.#earlier(upTo))
    return { moves: entries, damaged, next: positionText(identity, rows.at(-1)?.place ?? from) }
  }

  async heartbeat(owner: string, runs: readonly DefinitionVersion[]): Promise<void> {
    this.#processes.beat(owner, runs)
  }

  async retire(owner: string): Promise<void> {
    this.#processes.retire(owner)
  }

  claim(owner: string, silentMs: number, limit: number, versions: readonly DefinitionVersion[]): Promise<Found> {
    return this.#database.atomically(() => {
      const rows = this.#all<{ id: string }>(
        // Others' sagas lie on both sides of one's own in the index; those are not looked at, however many they are.
        `update saga set owner = ?1 where rowid in (
           select rowid from (
             select rowid, owner, definition, version from saga where live = 1 and owner < ?1
             union all select rowid, owner, definition, version from saga where live = 1 and owner > ?1
           ) where owner not in (select value from json_each(?2))
             and (definition, version) in (select value ->> 0, value ->> 1 from json_each(?4)) limit ?3
         ) returning id`,
        [owner, JSON.stringify(this.#processes.alive(silentMs)), limit, pairsOf(versions)],
      )
      return this.#read(rows.map(({ id }) => id))
    })
  }

  liveVersions(): ReturnType<Store['liveVersions']> {
    return this.#database.alone(() =>
      this.#all<DefinitionVersion & { readonly count: number }>(
        `select definition, version, count(*) as count from (
           select definition, version from saga where live = 1
           union all select definition, version from saga where status = 'PARKED' and live = 0
         ) group by definition, version order by definition, version`,
      ),
    )
  }

  prune(retainMs: number, limit: number): Promise<number> {
    return this.#database.atomically(() => {
      const latest = this.#oldBy() - retainMs
      const ids = this.#all<{ id: string }>(
        // A saga is never moved before it was made: its age in the index says where to look.
        `select id from saga
         where status in ${endedStatuses} and created_at <= ?1 and live = 0 and updated_at <= ?1 and stored_at <= ?1
         limit ?2`,
        [latest, limit],
      )
      for (const { id } of ids) {
        this.#sql('delete from saga_history where saga_id = ?').run(id)
        this.#sql('delete from saga_handed where saga_id = ?').run(id)
        this.#sql('delete from saga where id = ?').run(id)
      }
      return ids.length
    })
  }

  /** Nobody else moves sagas here, but a transaction of the caller's may have started some. */
  async watch(watcher: StoreWatcher): Promise<{ close(): Promise<void> }> {
    this.#watchers.add(watcher)
    return { close: async () => void this.#watchers.delete(watcher) }
  }

  ready(): Promise<boolean> {
    return this.#database
      .atomically(() => this.#sql('update saga_readiness set checks = checks + 1').run().changes === 1)
      .catch(() => false)
  }

  async close(): Promise<void> {
    await this.#database.close()
    this.#processes.free()
  }

  /** The time by which sagas are old; remembered for the next process. */
  #oldBy(): number {
    const { known, newest } = this.#one(
      `select (select at from saga_clock) as known, (select max(stored_at, updated_at) from saga order by created_at desc limit 1) as newest`,
    ) as { readonly known: number | null; readonly newest: number | null }
    const at = this.#time.next(known ?? newest)
    if (known === null || Math.abs(at - known) > rememberedMs)
      this.#sql('insert or replace into saga_clock values (1, ?)').run(at)
    return at
  }

  #identity(): string {
    return (this.#one('select identity from saga_store') as { readonly identity: string }).identity
  }

  #earlier(upTo: ReadonlyMap<string, number>): Promise<readonly EarlierRow[]> {
    return this.#database.alone(() =>
      [...upTo].flatMap(([id, seq]) =>
        this.#all<EarlierRow>(
          `select saga_id, string_agg(events, ',' order by seq) as events from saga_history where saga_id = ? and seq <= ? group by saga_id`,
          [id, seq],
        ),
      ),
    )
  }

  #definitions(): readonly KnownDefinition[] {
    return this.#all<DefinitionRow>('select * from saga_definition order by definition, version').map(toDefinition)
  }

  /** How many sagas need the structure that is kept. */
  #needing({ definition, version, cancellable }: KnownDefinition): number {
    return this.#counted(
      `select count(*) as n from saga where definition = ? and version = ?
       and (live = 1 or status = 'PARKED' or (status = 'COMPLETED' and ?))`,
      [definition, version, cancellable ? 1 : 0],
    )
  }

  #read(ids: readonly string[]): Found {
    const one = this.#sql(`select ${columns} from saga where id = ?`)
    const rows = ids.map((id) => one.get(id) as SagaRow | undefined)
    return readRows(
      reading,
      rows.filter((row) => row !== undefined),
    )
  }

  #start(start: Start, written: Value[][]): StartResult {
    const entry = [...entryValues(start.entry), null] // throws before anything is written, which the caller may keep
    const { changes } = this.#sql(insertSaga).run([...sagaValues(start), this.#now()])
    if (changes === 0) return this.#holder(start.saga)
    written.push(entry)
    return { kind: 'started' }
  }

  /** The saga that holds the id or the key of a start that was refused. */
  #holder({ id, key }: StoredSaga): StartResult {
    const held = this.#one('select id, fingerprint from saga where id = ? or key = ? order by key = ? desc limit 1', [
      id,
      key,
      key,
    ]) as { readonly id: string; readonly fingerprint: string }
    return { kind: 'exists', id: held.id, fingerprint: held.fingerprint }
  }

  #move(move: Move, written: Value[][]): 'moved' | 'stale' {
    const values = moveValues(move)
    const { changes } = this.#sql(updateSaga).run([...values, this.#now()])
    if (changes === 0) return 'stale'
    const state = values.at(-1) ?? null
    for (const entry of move.entries) written.push([...entryValues(entry), entry.seq === move.toSeq ? state : null])
    return 'moved'
  }

  #append(entries: readonly Value[][]): void {
    const whole = entries.length - (entries.length % rowsAtOnce)
    for (let from = 0; from < whole; from += rowsAtOnce)
      this.#sql(insertEntries).run(entries.slice(from, from + rowsAtOnce).flat())
    for (const entry of entries.slice(whole)) this.#sql(insertEntry).run(entry)
  }

  #sql(text: string): ReturnType<Database['sql']> {
    return this.#database.sql(text)
  }

  #all<Row>(text: string, values: readonly Value[] = []): Row[] {
    return this.#sql(text).all(...values) as Row[]
  }

  #counted(text: string, values: readonly Value[]): number {
    return (this.#one(text, values) as { readonly n: number }).n
  }

  #one(text: string, values: readonly Value[] = []): unknown {
    return this.#sql(text).get(...values)
  }
}

const pairsOf = (versions: readonly DefinitionVersion[]): string =>
  JSON.stringify(versions.map(({ definition, version }) => [definition, version]))
