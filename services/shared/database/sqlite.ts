/**
 * SQLite for Kysely: libsql's synchronous interface behind Kysely's own SQLite dialect.
 *
 * Invariants:
 * - a transaction takes the write lock when it begins, so it never fails halfway because another process wrote first;
 * - a commit is on disk when it returns (WAL, synchronous=FULL);
 * - a value that libsql cannot bind is an error here: the library itself would end the process on a boolean;
 * - a statement that found the file busy leaves nothing behind: libsql keeps it in progress, and on that connection no
 *   transaction could ever commit again, so the connection is replaced;
 * - nothing is written into a file that was removed: whoever asks for it by its name would never find it;
 * - closed in order, the file alone holds all that was committed.
 */
import { mkdirSync, statSync } from 'node:fs'
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
import { turn } from '../turns.ts'

/** Long enough for another process's transaction, short enough that a stuck one is reported and not waited for. */
const busyTimeoutMs = 2_000

class ImmediateDriver extends SqliteDriver {
  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection()
    // By then it is this one's turn at the database: whoever waited for that in the queue has had his.
    await turn()
    return connection
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  /** Where the disk is full or fails, SQLite rolls back by itself; to say so once more must not hide why. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await super.rollbackTransaction(connection)
    } catch (error) {
      if (!(error instanceof Error && error.message.includes('no transaction is active'))) throw error
    }
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
  return new ImmediateDialect({
    database: checked(open(file), () => connect(file), isThere(file)),
  })
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
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
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

/** @throws DatabaseError where it is gone, or another file has taken its name */
function isThere(file: string): () => void {
  if (file === ':memory:') return () => undefined
  const { ino } = statSync(file)
  return () => {
    if (statSync(file, { throwIfNoEntry: false })?.ino === ino) return
    throw new DatabaseError(
      'removed',
      `${file} was removed while it was in use: stop this process, put the file back or move its folder away, start again`,
    )
  }
}

function checked(first: Libsql.Database, reconnect: () => Libsql.Database, checkThere: () => void): SqliteDatabase {
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
    close() {
      try {
        database.exec('pragma wal_checkpoint(truncate)')
      } catch {
        // The disk is full, or fails: what was committed stays in the log beside the file, and is read from there.
      }
      database.close()
    },
    prepare(sql) {
      // Before a transaction, or a statement that is one, and before its end.
      if (!database.inTransaction || sql === 'commit') checkThere()
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
