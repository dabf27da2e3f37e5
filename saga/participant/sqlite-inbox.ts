/**
 * A participant's inbox in an SQLite file, on the user's own connection: his handlers get it, in a transaction that also
 * stores the replies.
 *
 * Invariants:
 * - the primary key is what makes a command take effect once; whoever stores a reply second rolls back;
 * - a connection has one transaction at a time, so they run one after the other. Whatever else is written on the same
 *   connection meanwhile becomes a part of it: write by `inbox.transaction`, or over a connection of your own;
 * - a file that is locked or full is no command's fault. How long a lock is waited for says the connection's busy timeout;
 *   a statement runs to its end within the call, so that there is nothing else to wait for.
 */
import { KeptTime, type KeptTimeOptions } from '../kept-time.ts'
import {
  asKitError,
  columns,
  createTable,
  fromRows,
  removedAtOnce,
  tableName,
  textOf,
  type InboxQueries,
  type InboxTableOptions,
} from './inbox-table.ts'
import type { DurableInbox } from './inbox.ts'

export type { InboxQueries, InboxTableOptions } from './inbox-table.ts'
export type { KeptTimeOptions } from '../kept-time.ts'

/** `now` is the clock by which replies grow old, too. */
export type SqliteInboxOptions = InboxTableOptions & KeptTimeOptions

/** What is used of a `Database` of libsql or better-sqlite3. */
export interface SqliteDatabase {
  prepare(sql: string): SqliteStatement
}

export interface SqliteStatement {
  /** Whether it gives rows. */
  readonly reader: boolean
  all(...values: unknown[]): unknown[]
  run(...values: unknown[]): unknown
}

/**
 * @throws TypeError where an option is wrong
 * @example
 * const database = new Database('orders.db') // of libsql or better-sqlite3
 * const inbox = sqliteInbox(database)
 * await inbox.migrate()
 * participant({ name: 'order', source: 'order-service', inbox, handlers })
 */
export function sqliteInbox<Database extends SqliteDatabase>(
  database: Database,
  options: SqliteInboxOptions = {},
): DurableInbox<Database> {
  if (typeof (database as Partial<Database> | undefined)?.prepare !== 'function') {
    throw new TypeError("sqliteInbox takes a Database of libsql or better-sqlite3 first: new Database('orders.db')")
  }
  const run = runner(database)
  let last: Promise<unknown> = Promise.resolve()

  async function attempt<T>(work: (database: Database) => Promise<T>): Promise<T> {
    try {
      run('begin immediate')
      try {
        const result = await work(database)
        run('commit')
        return result
      } catch (error) {
        rollBack(run)
        throw error
      }
    } catch (error) {
      throw asKitError(error, isAway)
    }
  }

  return sqliteInboxOver(
    {
      transaction(work) {
        const result = last.then(() => attempt(work))
        last = result.catch(() => undefined)
        return result
      },
      query: async (_database, text, values) => run(text, values),
    },
    options,
  )
}

/**
 * The same where transactions are made by something else, such as a query builder.
 *
 * @example
 * sqliteInboxOver({
 *   transaction: (work) => db.transaction().execute(work),
 *   query: async (tx, text, values) => (await tx.executeQuery(CompiledQuery.raw(text, [...values]))).rows,
 * })
 */
export function sqliteInboxOver<Tx>(queries: InboxQueries<Tx>, options: SqliteInboxOptions = {}): DurableInbox<Tx> {
  const { now = Date.now } = options
  const table = tableName(options.table)
  const statements = statementsOf(table)
  const time = new KeptTime(options)

  /** The time by which replies are old; remembered for the next process. */
  async function oldBy(tx: Tx): Promise<number> {
    await queries.query(tx, statements.createClock, [])
    const [row] = (await queries.query(tx, statements.clock, [])) as readonly { readonly at: number | null }[]
    const at = time.next(row?.at ?? null)
    await queries.query(tx, statements.setClock, [at])
    return at
  }

  return {
    transaction: (work) => queries.transaction(work),
    async find(tx, commandIds) {
      if (commandIds.length === 0) return []
      return fromRows(await queries.query(tx, statements.find, [JSON.stringify(commandIds)]))
    },
    async save(tx, replies) {
      const rows = replies.map(({ commandId, kind, type, payload }) => [commandId, kind, type, textOf(payload)])
      await queries.query(tx, statements.save, [now(), JSON.stringify(rows)])
    },
    migrate: () =>
      queries.transaction(async (tx) => {
        for (const statement of tableStatements(table)) await queries.query(tx, statement, [])
      }),
    async removeOld(retainMs) {
      const removed = await queries.transaction(async (tx) =>
        queries.query(tx, statements.removeOld, [(await oldBy(tx)) - retainMs]),
      )
      return removed.length
    },
  }
}

/** What `migrate` runs, for those who keep their migrations elsewhere. */
export const sqliteInboxSql = (table?: string): string => `${tableStatements(tableName(table)).join(';\n')};\n`

const tableStatements = (table: string): readonly string[] => [
  createTable(table),
  `create index if not exists ${table}_by_age on ${table} (stored_at)`,
]

/** Many rows are one parameter, as JSON: the number of parameters is limited. */
const statementsOf = (table: string) => ({
  find: `select ${columns} from ${table} where command_id in (select value from json_each(?))`,
  save: `insert into ${table} (stored_at, command_id, kind, type, payload)
    select ?, value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each(?)`,
  // With the table where that is kept by others' migrations.
  createClock: `create table if not exists ${table}_clock (id integer primary key, at bigint not null)`,
  clock: `select coalesce((select at from ${table}_clock), (select max(stored_at) from ${table})) as at`,
  setClock: `insert or replace into ${table}_clock values (1, ?)`,
  removeOld: `delete from ${table} where command_id in
    (select command_id from ${table} where stored_at <= ? limit ${removedAtOnce}) returning 1`,
})

type Run = (text: string, values?: readonly unknown[]) => readonly unknown[]

/** Each statement is prepared once: one that found the file busy hinders the commits of others unless it is run again. */
function runner(database: SqliteDatabase): Run {
  const prepared = new Map<string, SqliteStatement>()
  return (text, values = []) => {
    const statement = prepared.get(text) ?? database.prepare(text)
    prepared.set(text, statement)
    if (statement.reader) return statement.all(...values)
    statement.run(...values)
    return []
  }
}

function rollBack(run: Run): void {
  try {
    run('rollback')
  } catch {
    // SQLite has rolled back by itself, as it does where the disk is full.
  }
}

/** Locked, full, or not to be read or written now; more detailed codes begin alike. */
const away = /^SQLITE_(BUSY|LOCKED|FULL|CANTOPEN|IOERR|READONLY)/

const isAway = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && away.test(error.code)
