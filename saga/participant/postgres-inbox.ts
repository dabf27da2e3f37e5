/**
 * A participant's inbox in PostgreSQL, on the user's own pool: his handlers get one of his clients, in a transaction that
 * also stores the replies.
 *
 * Invariants:
 * - the primary key is what makes a command take effect once; whoever stores a reply second rolls back;
 * - every statement of the inbox has a time limit, and so have the handlers of a transaction: a connection that is silent
 *   or stuck is given up, and with it the transaction;
 * - a database that is away, whenever in a transaction it goes, is no command's fault.
 */
import { systemClock, type Clock } from '../clock.ts'
import { UnavailableError } from '../transports/transport.ts'
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

/** What is used of a `PoolClient` of pg. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly unknown[] }>
  /** `true` closes the connection. */
  release(destroy?: boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

/** What is used of a `Pool` of pg. */
export interface PostgresPool<Client extends PostgresClient> {
  connect(): Promise<Client>
}

export interface PostgresInboxOptions extends InboxTableOptions {
  /** How long a connection and each statement may take, and twice as long the handlers of one transaction; 30,000 where none is given. */
  readonly limitMs?: number
  readonly clock?: Clock
}

/**
 * @throws TypeError where an option is wrong
 * @example
 * const inbox = postgresInbox<pg.PoolClient>(new pg.Pool({ connectionString }))
 * await inbox.migrate()
 * participant({ name: 'order', source: 'order-service', inbox, handlers })
 */
export function postgresInbox<Client extends PostgresClient>(
  pool: PostgresPool<Client>,
  options: PostgresInboxOptions = {},
): DurableInbox<Client> {
  const { clock = systemClock, limitMs = 30_000 } = options
  if (typeof (pool as Partial<typeof pool> | undefined)?.connect !== 'function') {
    throw new TypeError('postgresInbox takes a Pool of pg first: new pg.Pool({ connectionString })')
  }
  if (!(limitMs > 0 && Number.isFinite(limitMs))) {
    throw new TypeError(`the limitMs of postgresInbox must be a number of milliseconds above 0; it is ${limitMs}`)
  }
  const limit = new Limit(clock, limitMs)
  return postgresInboxOver(
    {
      async transaction(work) {
        try {
          return await transaction(pool, limit, work)
        } catch (error) {
          throw asKitError(error, isAway)
        }
      },
      query: async (client, text, values) => (await limit.statement(client.query(text, [...values]))).rows,
    },
    options,
  )
}

/**
 * The same where transactions are made by something else, such as a query builder.
 *
 * @example
 * postgresInboxOver({
 *   transaction: (work) => db.transaction().execute(work),
 *   query: async (tx, text, values) => (await tx.executeQuery(CompiledQuery.raw(text, [...values]))).rows,
 * })
 */
export function postgresInboxOver<Tx>(queries: InboxQueries<Tx>, options: InboxTableOptions = {}): DurableInbox<Tx> {
  const table = tableName(options.table)
  const statements = statementsOf(table)
  return {
    transaction: (work) => queries.transaction(work),
    async find(tx, commandIds) {
      if (commandIds.length === 0) return []
      return fromRows(await queries.query(tx, statements.find, [commandIds]))
    },
    async save(tx, replies) {
      await queries.query(tx, statements.save, [
        replies.map(({ commandId }) => commandId),
        replies.map(({ kind }) => kind),
        replies.map(({ type }) => type),
        replies.map(({ payload }) => textOf(payload)),
      ])
    },
    migrate: () =>
      queries.transaction(async (tx) => {
        // Of two that start at once, "if not exists" alone lets both create it.
        await queries.query(tx, 'select pg_advisory_xact_lock(hashtext($1))', [table])
        for (const statement of tableStatements(table)) await queries.query(tx, statement, [])
      }),
    async removeOld(retainMs) {
      const removed = await queries.transaction((tx) => queries.query(tx, statements.removeOld, [retainMs]))
      return removed.length
    },
  }
}

/** What `migrate` runs, for those who keep their migrations elsewhere. */
export const postgresInboxSql = (table?: string): string => `${tableStatements(tableName(table)).join(';\n')};\n`

/** Rows come by age: an index of a few bytes is enough for that, and storing a reply costs no more. */
const tableStatements = (table: string): readonly string[] => [
  createTable(table),
  `create index if not exists ${table}_by_age on ${table} using brin (stored_at)`,
]

/** Unix milliseconds, by the server's clock: those of the processes may differ, and jump. */
const serverTime = '(extract(epoch from now()) * 1000)::bigint'

const statementsOf = (table: string) => ({
  find: `select ${columns} from ${table} where command_id = any($1::text[])`,
  save: `insert into ${table} (${columns})
    select *, ${serverTime} from unnest($1::text[], $2::text[], $3::text[], $4::text[])`,
  removeOld: `delete from ${table} where command_id in
    (select command_id from ${table} where stored_at <= ${serverTime} - $1::bigint limit ${removedAtOnce}) returning 1`,
})

/** @throws whatever is wrong; the connection is then closed, since nobody knows what is left on it */
async function transaction<Client extends PostgresClient, T>(
  pool: PostgresPool<Client>,
  limit: Limit,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await limit.statement(pool.connect(), (late) => late.release())
  // One that breaks between two statements says so by an event; unheard, that would end the process.
  client.on('error', ignore)
  let isSound = false
  try {
    await limit.statement(client.query('begin'))
    const result = await limit.handlers(work(client))
    await limit.statement(client.query('commit'))
    isSound = true
    return result
  } finally {
    client.release(!isSound)
    client.removeListener('error', ignore)
  }
}

const ignore = (): void => undefined

/** How long things may take. */
class Limit {
  readonly #clock: Clock
  readonly #ms: number

  constructor(clock: Clock, ms: number) {
    this.#clock = clock
    this.#ms = ms
  }

  statement<T>(statement: Promise<T>, late?: (result: T) => void): Promise<T> {
    const error = new UnavailableError(`PostgreSQL gave no answer within ${this.#ms} ms`)
    return this.#within(this.#ms, statement, error, late)
  }

  /** What handlers do besides is theirs, so that they are to blame. */
  handlers<T>(work: Promise<T>): Promise<T> {
    const ms = this.#ms * 2
    return this.#within(ms, work, new Error(`the handlers of one transaction took longer than ${ms} ms`))
  }

  #within<T>(ms: number, work: Promise<T>, error: Error, late: (result: T) => void = ignore): Promise<T> {
    return new Promise((resolve, reject) => {
      let isLate = false
      const timer = this.#clock.after(ms, () => {
        isLate = true
        reject(error)
      })
      work.finally(() => timer.cancel()).then((result) => (isLate ? late(result) : resolve(result)), reject)
    })
  }
}

/** Codes of the network, and of a server that writes no more since a failover. */
const awayCodes =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|25006|40001|40P01|55P03)$/

/**
 * PostgreSQL's classes for what passes: connection exception, insufficient resources, operator intervention, system
 * error. Not among them is a statement that was cancelled (57014): it may take too long whenever it is tried.
 */
const awayClasses = /^(08|53|57(?!014)|58)[0-9A-Z]{3}$/

/** What pg says without a code. */
const awayMessages = /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client )/

function isAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? awayCodes.test(code) || awayClasses.test(code) : awayMessages.test(error.message)
}
