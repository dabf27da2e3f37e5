/** The inbox's table, as PostgreSQL and SQLite have it alike. */
import { isUnavailable, UnavailableError } from '../transports/transport.ts'
import type { StoredReply } from './inbox.ts'

export interface InboxTableOptions {
  /** `ordersaga_inbox` where none is given. */
  readonly table?: string
}

/** What the statements run on, for those whose transactions are made by something else than the plain driver. */
export interface InboxQueries<Tx> {
  /** As `Inbox.transaction`. An UnavailableError says that the database can do nothing now. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Runs one statement, with parameters as the database's own driver takes them; gives back its rows. */
  query(tx: Tx, text: string, values: readonly unknown[]): Promise<readonly unknown[]>
}

/** A row, but for its age. */
interface Row {
  readonly command_id: string
  readonly kind: StoredReply['kind']
  readonly type: string
  /** JSON. */
  readonly payload: string
}

export const removedAtOnce = 1_000

export const columns = 'command_id, kind, type, payload, stored_at'

export const createTable = (table: string): string => `create table if not exists ${table} (
  command_id text primary key,
  kind text not null,
  type text not null,
  payload text not null,
  stored_at bigint not null
)`

/** @throws TypeError where it is no plain name: it becomes a part of the statements */
export function tableName(table = 'ordersaga_inbox'): string {
  if (typeof table === 'string' && /^[a-z_][a-z0-9_]{0,49}$/.test(table)) return table
  throw new TypeError(
    `the table of an inbox must be named with up to 50 small letters, digits and underscores; it is ${JSON.stringify(table)}`,
  )
}

export const textOf = (payload: unknown): string => JSON.stringify(payload ?? null)

export function fromRows(rows: readonly unknown[]): readonly StoredReply[] {
  return (rows as readonly Row[]).map(({ command_id, kind, type, payload }) => ({
    commandId: command_id,
    kind,
    type,
    payload: JSON.parse(payload) as unknown,
  }))
}

/** An error of the database in the kit's words: where that is away, no command is to blame. */
export function asKitError(error: unknown, isAway: (error: unknown) => boolean): unknown {
  if (isUnavailable(error) || !isAway(error)) return error
  const why = error instanceof Error ? error.message : String(error)
  return new UnavailableError(`the database cannot be used now (${why})`, { cause: error })
}
