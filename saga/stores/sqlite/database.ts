/**
 * One SQLite file in this process: locked for all others, its statements prepared once, its errors in the store's words.
 * Nothing is done in a file that is gone from its place.
 *
 * The driver is synchronous, so what runs here is alone by itself. Only a transaction of the caller's lasts: while one is
 * open, whatever else is asked of the file waits, since it would become a part of it. So it may last for a while only.
 */
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type Libsql from 'libsql'
import { driver } from '../../driver.ts'
import { StoreError } from '../store.ts'
import { within } from '../within.ts'
import { migrations } from './migrations.ts'

const LibsqlDatabase = driver('libsql', 'ordersaga/stores/sqlite') as typeof Libsql

type Raw = InstanceType<typeof Libsql>
/** Values are bound by position; as one array where it counts, since the driver flattens a list of them. */
type Statement = Libsql.Statement

/** What a caller uses within a transaction of his own, in the manner of the usual drivers; it is of no use afterwards. */
export interface SqliteTransaction {
  exec(sql: string): void
  prepare(sql: string): {
    run(...values: readonly unknown[]): { readonly changes: number }
    get(...values: readonly unknown[]): unknown
    all(...values: readonly unknown[]): unknown[]
  }
}

export class Database {
  readonly #file: string
  readonly #statements = new Map<string, Statement>()
  #raw: Raw | null = null
  /** Of the file that was opened; null where there is none. */
  #ino: number | null = null
  /** The caller's transaction that is open, and when it will have ended. */
  #open: { readonly tx: Transaction; readonly ended: Promise<void> } | null = null

  constructor(file: string) {
    this.#file = file
  }

  async open(): Promise<void> {
    if (this.#raw !== null) return
    return this.alone(() => {
      if (this.#file !== ':memory:') mkdirSync(dirname(this.#file), { recursive: true })
      const raw = new LibsqlDatabase(this.#file, { timeout: 0 })
      try {
        prepareFile(raw, this.#file)
      } catch (error) {
        raw.close()
        throw error
      }
      this.#ino = this.#file === ':memory:' ? null : statSync(this.#file).ino
      this.#raw = raw
    })
  }

  async close(): Promise<void> {
    while (this.#open !== null) await this.#open.ended
    return this.#described(() => {
      const raw = this.#raw
      this.#statements.clear()
      this.#raw = null
      if (raw === null) return
      // The driver keeps a closed file, and so its lock, until the last statement is garbage: the lock is given up first,
      // which takes leaving the write-ahead log.
      try {
        raw.exec('pragma journal_mode = delete; pragma locking_mode = normal; select 1 from sqlite_master')
      } catch {
        // The disk is full, or the file is gone: what was committed stays in the log beside it, and is read from there.
      }
      raw.close()
    })
  }

  /** Runs synchronous work once no transaction of a caller's is open, and says in our words what SQLite refused. */
  async alone<T>(work: () => T): Promise<T> {
    while (this.#open !== null) await this.#open.ended
    return this.#described(() => {
      this.#checkThere()
      return work()
    })
  }

  /** The same as one transaction. */
  atomically<T>(work: () => T): Promise<T> {
    return this.alone(() => {
      this.sql('begin immediate').run()
      try {
        const result = work()
        this.#checkThere()
        this.sql('commit').run()
        return result
      } catch (error) {
        this.#rollBack()
        throw error
      }
    })
  }

  /** @throws StoreError `unavailable` and rolls back where it is not done within `mostMs`; else whatever `work` throws */
  async transaction<T>(work: (tx: SqliteTransaction) => T | Promise<T>, mostMs: number): Promise<T> {
    while (this.#open !== null) await this.#open.ended
    const raw = this.#described(() => {
      this.#checkThere()
      this.sql('begin immediate').run()
      return this.#raw as Raw
    })
    const tx = new Transaction(raw)
    let end: () => void = () => undefined
    this.#open = { tx, ended: new Promise((resolve) => (end = resolve)) }
    try {
      const result = await within(mostMs, work(tx), tookTooLong(mostMs))
      tx.end()
      if (!raw.inTransaction)
        throw new StoreError(
          'refused',
          'The transaction was ended by a statement of its own. Leave commit and rollback out.',
        )
      this.#described(() => {
        this.#checkThere()
        this.sql('commit').run()
      })
      return result
    } catch (error) {
      tx.end()
      this.#rollBack()
      throw error
    } finally {
      this.#open = null
      end()
    }
  }

  /** Runs synchronous work within the caller's transaction. */
  joined<T>(tx: unknown, work: () => T): T {
    if (this.#open === null || this.#open.tx !== tx || !this.#open.tx.isOpen)
      throw new StoreError(
        'refused',
        'This is no open transaction of this store. Hand over what `store.transaction` gives, while it is open.',
      )
    return this.#described(work)
  }

  sql(text: string): Statement {
    const known = this.#statements.get(text)
    if (known !== undefined) return known
    if (this.#raw === null) throw new StoreError('unavailable', `The store ${this.#file} is closed.`)
    const statement = this.#raw.prepare(text)
    this.#statements.set(text, statement)
    return statement
  }

  /** SQLite may have done so itself. */
  #rollBack(): void {
    if (this.#raw?.inTransaction === true) this.sql('rollback').run()
  }

  /** What is written into a file that is gone from its place, nobody would find again. */
  #checkThere(): void {
    if (this.#raw === null || this.#ino === null) return
    if (statSync(this.#file, { throwIfNoEntry: false })?.ino === this.#ino) return
    throw new StoreError(
      'unwritable',
      `${this.#file} was removed while it was in use. Stop this process, put the file back or move its folder away, and start again.`,
      Object.assign(new Error('there is another file at its place, or none'), { code: 'removed' }),
    )
  }

  #described<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw describe(error, this.#file, this.#raw !== null)
    }
  }
}

class Transaction implements SqliteTransaction {
  readonly #raw: Raw
  isOpen = true

  constructor(raw: Raw) {
    this.#raw = raw
  }

  exec(sql: string): void {
    this.#checked().exec(sql)
  }

  prepare(sql: string): ReturnType<SqliteTransaction['prepare']> {
    const statement: Libsql.Statement = this.#checked().prepare(sql)
    return {
      run: (...values) => (this.#checked(), statement.run(...values)),
      get: (...values) => (this.#checked(), statement.get(...values)),
      all: (...values) => (this.#checked(), statement.all(...values)),
    }
  }

  end(): void {
    this.isOpen = false
  }

  #checked(): Raw {
    if (!this.isOpen)
      throw new StoreError(
        'refused',
        'The transaction has ended: nothing more can be done in it. Wait for all of its work.',
      )
    return this.#raw
  }
}

const tookTooLong = (ms: number) => (): StoreError =>
  new StoreError(
    'unavailable',
    `A transaction was not done within ${ms} ms and was rolled back. While it is open the store does nothing else, so do not wait in it for anything but its own statements.`,
  )

function prepareFile(database: Raw, file: string): void {
  // Two pages of a state in the usual 4,096 bytes leave half of them empty; a file that exists keeps its size.
  database.exec('pragma page_size = 8192')
  database.exec('pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full;')
  database.exec('begin immediate')
  const { user_version: at } = database.prepare<[]>('pragma user_version').get() as { user_version: number }
  if (at > migrations.length)
    throw new StoreError(
      'unusable',
      `${file} was made by a newer version (schema ${at}, known ${migrations.length}). Use that version.`,
    )
  for (const migration of migrations.slice(at)) database.exec(migration)
  database.exec(`pragma user_version = ${migrations.length}`)
  database.exec('commit')
}

function describe(error: unknown, file: string, isOpen: boolean): unknown {
  if (error instanceof StoreError || error instanceof RangeError) return error
  const { code = '', message = String(error) } = error as { code?: string; message?: string }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED') || /is locked/.test(message))
    return new StoreError('locked', `${file} is in use by another process. Stop it, or choose another folder.`, error)
  if (code.startsWith('SQLITE_CONSTRAINT') || code === 'SQLITE_TOOBIG' || code === 'SQLITE_MISMATCH')
    return new StoreError('refused', `SQLite refused the row: ${message}`, error)
  if (code === 'SQLITE_FULL' || (isOpen && code.startsWith('SQLITE_READONLY')))
    return new StoreError('unwritable', `Nothing can be stored in ${file}, and nothing of this was: ${message}`, error)
  if (
    /^(SQLITE_CANTOPEN|SQLITE_READONLY|SQLITE_NOTADB|SQLITE_CORRUPT|EACCES|EROFS|ENOTDIR|EEXIST|EPERM)/.test(code) ||
    /unable to open/i.test(message)
  )
    return new StoreError(
      'unusable',
      `${file} cannot be used: ${message}. Check the path and that this user may write there.`,
      error,
    )
  return new StoreError('unavailable', `SQLite failed on ${file}: ${message}`, error)
}
