/**
 * SQLite for Kysely: libsql's synchronous interface behind Kysely's own SQLite dialect.
 *
 * Invariants:
 * - a transaction takes the write lock when it begins, so it never fails halfway because another process wrote first;
 * - a commit is on disk when it returns (WAL, synchronous=FULL);
 * - a value that libsql cannot bind is an error here: the library itself would end the process on a boolean;
 * - a statement that found the file busy leaves nothing behind: libsql keeps it in progress, and on that connection no
 *   transaction could ever commit again, so the connection is replaced.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import Libsql from 'libsql'
import {
  CompiledQuery,
  SqliteDialect,
  SqliteDriver,
  type DatabaseConnection,
  type Driver,
  type SqliteDatabase,
  type SqliteDialectConfig,
} from 'kysely'
import { DatabaseError, driverCode } from './errors.ts'

/** Long enough for another process's transaction, short enough that a stuck one is reported and not waited for. */
const busyTimeoutMs = 2_000

class ImmediateDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }
}

class ImmediateDialect extends SqliteDialect {
  readonly #config: SqliteDialectConfig

  constructor(config: SqliteDialectConfig) {
    super(config)
    this.#config = config
  }

  override createDriver(): Driver {
    return new ImmediateDriver(this.#config)
  }
}

/**
 * @throws DatabaseError where the folder cannot be made, or the file cannot be opened and written
 */
export function sqliteDialect(file: string): SqliteDialect {
  return new ImmediateDialect({ database: checked(open(file), () => connect(file)) })
}

function connect(file: string): Libsql.Database {
  const database = new Libsql(file)
  try {
    database.exec(`pragma busy_timeout = ${busyTimeoutMs}`)
    database.exec('pragma journal_mode = wal')
    database.exec('pragma synchronous = full')
    database.exec('pragma foreign_keys = on')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function open(file: string): Libsql.Database {
  let database: Libsql.Database | undefined
  try {
    mkdirSync(dirname(file), { recursive: true })
    database = connect(file)
    // Takes the write lock once, so that a folder without write permission is found now and not at the first order.
    database.exec('begin immediate')
    database.exec('commit')
    return database
  } catch (error) {
    database?.close()
    throw cannotOpen(file, error)
  }
}

function cannotOpen(file: string, error: unknown): DatabaseError {
  const code = driverCode(error)
  const why = error instanceof Error ? error.message : String(error)
  if (code.startsWith('SQLITE_BUSY')) {
    return new DatabaseError('locked', `${file} is in use by another process: stop it, or choose another folder`, error)
  }
  if (code === 'SQLITE_NOTADB' || code === 'SQLITE_CORRUPT') {
    return new DatabaseError('unusable', `${file} is no SQLite database (${why}): move it away or restore it`, error)
  }
  return new DatabaseError(
    'unwritable',
    `${file} cannot be opened for writing (${why}): check the folder's permissions and free space, or choose another`,
    error,
  )
}

function checked(first: Libsql.Database, reconnect: () => Libsql.Database): SqliteDatabase {
  let database = first
  function run<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (driverCode(error).startsWith('SQLITE_BUSY') && !database.inTransaction) {
        const busy = database
        database = reconnect()
        busy.close()
      }
      throw error
    }
  }
  return {
    close: () => void database.close(),
    prepare(sql) {
      const statement = database.prepare(sql)
      return {
        reader: statement.reader,
        all: (parameters) => run(() => statement.all(bindable(parameters))),
        run: (parameters) => run(() => statement.run(bindable(parameters))),
        iterate: (parameters) => statement.iterate(bindable(parameters)),
      }
    },
  }
}

function bindable(parameters: readonly unknown[]): unknown[] {
  return parameters.map((value) => {
    if (typeof value === 'boolean') return value ? 1 : 0
    if (value === null || ['string', 'bigint'].includes(typeof value) || Number.isFinite(value)) return value
    if (value instanceof Uint8Array) return value
    throw new TypeError(`SQLite cannot store a value of type ${typeof value}, nor NaN or an infinity`)
  })
}
