/**
 * PostgreSQL for Kysely: a pool that survives cut connections, and the database itself where it is missing.
 *
 * Invariants:
 * - whole numbers (int8, counts) arrive as numbers, as they do from SQLite; one that would lose digits throws;
 * - no statement is waited for without end: a server that works on it too long cancels it, and a connection that is silent
 *   beyond that is given up, with what was under way on it.
 */
import pg from 'pg'
import { PostgresDialect, sql, type PostgresPool, type QueryExecutorProvider } from 'kysely'
import { DatabaseError, driverCode } from './errors.ts'

const int8 = 20
const connectTimeoutMs = 5_000

/** A process that is frozen inside a transaction loses it then, and its rows are free for the others. */
const stalledTransactionMs = 10_000

/** How much longer than the server may work a statement is waited for: a server that is there says by then that it took too long. */
const patience = 1.25

/**
 * @param limitMs how long the server may work on one statement
 * @throws DatabaseError where the server cannot be reached, refuses the role, or the database is missing and the role
 * may not create it
 */
export async function postgresDialect(url: string, limitMs: number): Promise<PostgresDialect> {
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: connectTimeoutMs,
    idle_in_transaction_session_timeout: stalledTransactionMs,
    statement_timeout: limitMs,
    query_timeout: limitMs * patience,
    keepAlive: true,
    types: parsers(),
  })
  // A connection that is cut while idle, or between two statements of a transaction, says so by an event; unheard, that
  // ends the process. The next statement on it fails by itself, and the pool opens another.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => void client.on('error', () => undefined))
  try {
    await connectOrCreate(pool, url)
    return new PostgresDialect({ pool: withoutSilent(pool) })
  } catch (error) {
    await pool.end()
    throw error
  }
}

/**
 * Gives up connections that are silent. The driver gives up only the statement: whoever had the connection next would wait
 * as long. And where one is silent, those that have not answered since then most likely are, too.
 */
function withoutSilent(pool: pg.Pool): PostgresPool {
  const answeredAt = new WeakMap<pg.PoolClient, number>()
  let silenceAt = -Infinity

  async function connect(): Promise<pg.PoolClient> {
    for (;;) {
      const client = await pool.connect()
      if ((answeredAt.get(client) ?? Infinity) > silenceAt) return client
      client.release(true)
    }
  }

  async function query(client: pg.PoolClient, text: string, values: readonly unknown[]): Promise<unknown> {
    try {
      const result = await client.query(text, [...values])
      answeredAt.set(client, performance.now())
      return result
    } catch (error) {
      if (error instanceof Error && error.message === 'Query read timeout') {
        silenceAt = performance.now()
        void client.end()
      }
      throw error
    }
  }

  return {
    end: () => pool.end(),
    async connect() {
      const client = await connect()
      const own = (text: string, values: readonly unknown[]): Promise<unknown> => query(client, text, values)
      return { query: own as Connected['query'], release: () => client.release() }
    },
  }
}

/**
 * Some 100 kB beside the tables, gone at once: a full disk refuses that, while it may still take an update that fits into
 * its page.
 */
export async function takeRoom(tx: QueryExecutorProvider): Promise<void> {
  await sql`set local work_mem = '64kB'`.execute(tx)
  await sql`select count(*) from generate_series(1, 5000)`.execute(tx)
}

type Connected = Awaited<ReturnType<PostgresPool['connect']>>

function parsers(): pg.CustomTypesConfig {
  const types = new pg.TypeOverrides()
  types.setTypeParser(int8, (text: string) => {
    const value = Number(text)
    if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is too large for a number`)
    return value
  })
  return types
}

async function connectOrCreate(pool: pg.Pool, url: string): Promise<void> {
  try {
    await probe(pool)
  } catch (error) {
    if (driverCode(error) !== '3D000') throw cannotConnect(url, error)
    await createDatabase(url)
    await probe(pool).catch((again: unknown) => {
      throw cannotConnect(url, again)
    })
  }
}

async function probe(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  client.release()
}

/** Through the server's own database `postgres`, as `createdb` does. */
async function createDatabase(url: string): Promise<void> {
  const { database } = new pg.Client({ connectionString: url })
  const maintenance = new URL(url)
  maintenance.pathname = '/postgres'
  const client = new pg.Client({ connectionString: maintenance.href, connectionTimeoutMillis: connectTimeoutMs })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query(`create database ${client.escapeIdentifier(database ?? '')}`)
  } catch (error) {
    // Two processes started at once: the other one has created it (42P04 after the fact, 23505 in the very moment).
    if (['42P04', '23505'].includes(driverCode(error))) return
    throw new DatabaseError(
      'refused',
      `database ${database} on ${place(url)} does not exist and could not be created (${reasonOf(error)}): create it, ` +
        `or let the role create databases`,
      error,
    )
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Refusals of the server itself (bad password, unknown role, no right to connect, too many connections). */
const refusals = /^(28|42|53)/

function cannotConnect(url: string, error: unknown): DatabaseError {
  if (refusals.test(driverCode(error))) {
    const what = `PostgreSQL at ${place(url)} refuses the connection (${reasonOf(error)})`
    return new DatabaseError('refused', `${what}: check user, password and database in the URL`, error)
  }
  const what = `PostgreSQL at ${place(url)} cannot be reached (${reasonOf(error)})`
  return new DatabaseError('unreachable', `${what}: check that it runs there and that the URL is right`, error)
}

/** Host and port only: the URL holds a password. */
function place(url: string): string {
  const { host, port } = new pg.Client({ connectionString: url })
  return `${host}:${port}`
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
