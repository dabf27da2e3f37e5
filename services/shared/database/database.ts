/**
 * A service's own database: SQLite in a file, or PostgreSQL, behind one typed query builder.
 *
 * Tables use what both know alike: `text`, and `bigint` for cents and for Unix milliseconds; JSON is kept as text.
 *
 * Invariants:
 * - a service that has its database open has the schema it was written for: migrations run before `openDatabase` resolves;
 * - two processes that start at once migrate one after the other, and each migration happens once.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Kysely, Migrator, sql, type Migration } from 'kysely'
import { DatabaseError, isContention } from './errors.ts'
import { postgresDialect, takeRoom } from './postgres.ts'
import { sqliteDialect } from './sqlite.ts'

export type DatabaseTarget =
  | { readonly kind: 'sqlite'; readonly file: string }
  | {
      readonly kind: 'postgres'
      readonly url: string
      /** How long the server may work on one statement, in milliseconds; 20,000 where none is given. */
      readonly limitMs?: number
    }

export interface Database<S> {
  readonly db: Kysely<S>
  readonly dialect: 'sqlite' | 'postgres'
  /** True where a row can be written now, as all work here needs it; for readiness checks. */
  ready(): Promise<boolean>
  close(): Promise<void>
}

/**
 * Opens the database and brings its tables up to date. Makes the folder (SQLite) or the database (PostgreSQL) where it
 * is missing.
 *
 * @example
 * const database = await openDatabase<OrderTables>({ kind: 'sqlite', file: '.data/order.db' }, { '001_inbox': inboxMigration })
 * @throws DatabaseError where it cannot be opened, written, reached or migrated
 */
export async function openDatabase<S>(
  target: DatabaseTarget,
  migrations: Record<string, Migration>,
): Promise<Database<S>> {
  const db = await (target.kind === 'sqlite'
    ? openFile<S>(target.file, migrations)
    : openServer<S>(target.url, target.limitMs ?? statementMs, migrations))
  return { db, dialect: target.kind, ready: () => isWritable(db, target.kind), close: () => db.destroy() }
}

const statementMs = 20_000
/** A migration may have a large table to go through. */
const migrationMs = 600_000

async function openFile<S>(file: string, migrations: Record<string, Migration>): Promise<Kysely<S>> {
  const db = new Kysely<S>({ dialect: sqliteDialect(file) })
  try {
    await migrated(() => migrateLocked(db, migrations))
    return db
  } catch (error) {
    await db.destroy()
    throw error
  }
}

async function openServer<S>(url: string, limitMs: number, migrations: Record<string, Migration>): Promise<Kysely<S>> {
  const patient = new Kysely<S>({ dialect: await postgresDialect(url, migrationMs) })
  try {
    await migrated(() => migrate(patient, migrations))
    // Of replicas that start at once one makes the table, and PostgreSQL refuses the others instead of looking again.
    await makeReadiness(patient).catch(() => migrated(() => makeReadiness(patient)))
  } finally {
    await patient.destroy()
  }
  return new Kysely<S>({ dialect: await postgresDialect(url, limitMs) })
}

async function migrated(work: () => Promise<void>): Promise<void> {
  try {
    await retryContention(work)
  } catch (error) {
    throw error instanceof DatabaseError ? error : cannotMigrate(error)
  }
}

/** A database that can be read tells nothing: it may have become a replica, or its disk may be full. */
async function isWritable<S>(db: Kysely<S>, dialect: DatabaseTarget['kind']): Promise<boolean> {
  try {
    await db.transaction().execute(async (tx) => {
      if (dialect === 'postgres') await takeRoom(tx)
      await sql`insert into readiness (id, checks) values (1, 1) on conflict (id) do update set checks = readiness.checks + 1`.execute(
        tx,
      )
    })
    return true
  } catch {
    return false
  }
}

/** No migration: Kysely's are in order, and this one belongs to every service. A server that takes no writes has it already. */
async function makeReadiness<S>(db: Kysely<S>): Promise<void> {
  const tables = await db.introspection.getTables()
  if (tables.some(({ name }) => name === 'readiness')) return
  await sql`create table if not exists readiness (id integer primary key, checks bigint not null)`.execute(db)
}

/** Runs work again that lost a race against another transaction; it wrote nothing then. Gives up after a few seconds. */
export async function retryContention<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!isContention(error) || attempt === contentionTries) throw error
      await delay(attempt * 10 + Math.random() * 20)
    }
  }
}

const contentionTries = 10

/** PostgreSQL: the migrator holds an advisory lock, and all migrations are one transaction. */
async function migrate<S>(db: Kysely<S>, migrations: Record<string, Migration>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error instanceof Error ? error : new Error('a migration failed', { cause: error })
}

/** SQLite: Kysely's migrator knows no lock there and no transaction, so it gets both from around it. */
async function migrateLocked<S>(db: Kysely<S>, migrations: Record<string, Migration>): Promise<void> {
  await db.connection().execute(async (connection) => {
    await sql`begin immediate`.execute(connection)
    try {
      await migrate(connection, migrations)
      await makeReadiness(connection)
      await sql`commit`.execute(connection)
    } catch (error) {
      await sql`rollback`.execute(connection)
      throw error
    }
  })
}

function cannotMigrate(error: unknown): unknown {
  if (isContention(error)) {
    return new DatabaseError(
      'locked',
      'the database is locked by another process: stop it, or start again later',
      error,
    )
  }
  const why = error instanceof Error ? error.message : String(error)
  return new DatabaseError('migration', `the tables could not be brought up to date (${why})`, error)
}
