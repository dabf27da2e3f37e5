/**
 * Connections to PostgreSQL, the store's own or the caller's, and how the store asks over them.
 *
 * Each question has a time limit, and so has the wait for a connection: one that is silent is given up, and the pool makes
 * another. What is asked over the caller's connections changes nothing for what he asks over them: no setting is left
 * behind, no statement is prepared.
 */
import { within } from '../within.ts'
import { pg } from './driver.ts'

/** Reads values of PostgreSQL, as pg takes it. */
export interface TypeParsers {
  getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown
}

export interface PostgresQuery {
  readonly text: string
  readonly values?: unknown[]
  readonly name?: string
  readonly types?: TypeParsers
}

/** What is used of a connection of the package `pg`, a Client or one of a Pool, where a transaction of the caller's is open. */
export interface PostgresClient {
  query(query: PostgresQuery): Promise<{ readonly rows: readonly unknown[] }>
  /** `T` within a transaction; later versions of the package have it. */
  getTransactionStatus?(): string | null
}

/** What is used of a connection of a pool. */
export interface PostgresPoolClient extends PostgresClient {
  release(destroy?: boolean): void
  on(event: 'notification', listener: (message: { readonly payload?: string | undefined }) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  removeListener(event: 'error' | 'end', listener: () => void): unknown
}

/** What is used of a Pool of the package `pg`. */
export interface PostgresPool {
  connect(): Promise<PostgresPoolClient>
  readonly options?: { readonly max?: number | undefined }
}

const int8 = 20

/** Counts and Unix milliseconds fit a number. */
export const types: TypeParsers = {
  getTypeParser: (oid: number, format?: 'text' | 'binary'): ((value: string) => unknown) =>
    oid === int8 ? Number : (pg.types.getTypeParser(oid, format) as (value: string) => unknown),
}

export const silentFor = (ms: number) => (): Error => new Error(`no answer within ${ms} ms`)

const ignore = (): void => undefined

/** Asks over one connection. */
export class Session {
  readonly #client: PostgresClient
  readonly #isPrepared: boolean
  readonly #timeoutMs: number

  constructor(client: PostgresClient, isPrepared: boolean, timeoutMs: number) {
    this.#client = client
    this.#isPrepared = isPrepared
    this.#timeoutMs = timeoutMs
  }

  /** @param name prepares the statement under it, where the connection is the store's own */
  async query<Row>(text: string, values: readonly unknown[] = [], name?: string): Promise<readonly Row[]> {
    const named = name !== undefined && this.#isPrepared ? { name } : {}
    const answer = this.#client.query({ text, values: [...values], types, ...named })
    return (await within(this.#timeoutMs, answer, silentFor(this.#timeoutMs))).rows as readonly Row[]
  }
}

export interface ConnectionsOptions {
  readonly pool: PostgresPool
  /** The pool is the store's own: statements are prepared. */
  readonly isOwn: boolean
  readonly timeoutMs: number
}

export class Connections {
  readonly #options: ConnectionsOptions

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  /** Runs work on one connection, which is ended where the work fails: nobody knows what is left on it. */
  async session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { pool, isOwn, timeoutMs } = this.#options
    const client = await within(timeoutMs, pool.connect(), silentFor(timeoutMs), (late) => late.release())
    // A connection that breaks outside of a query says so by an event; unheard, that would end the process.
    client.on('error', ignore)
    let isSound = false
    try {
      const result = await work(new Session(client, isOwn, timeoutMs))
      isSound = true
      return result
    } finally {
      client.release(!isSound)
      client.removeListener('error', ignore)
    }
  }

  query<Row>(text: string, values: readonly unknown[], name?: string): Promise<readonly Row[]> {
    return this.session((session) => session.query<Row>(text, values, name))
  }

  transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.session(async (session) => {
      await session.query('begin isolation level read committed')
      const result = await work(session)
      await session.query('commit')
      return result
    })
  }
}
