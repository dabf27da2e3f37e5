/** Options of the PostgreSQL store, and what they must be. */
import type { OnProblem } from '../../problem.ts'
import { isStorable } from '../names.ts'
import { aCount, aFlag, aFunction, aText, checkOptions, milliseconds } from '../options.ts'
import { StoreError } from '../store.ts'
import type { PostgresPool } from './pool.ts'

export interface PostgresStoreOptions {
  /** Such as `postgresql://user:password@host:5432/database`. */
  readonly connectionString?: string | undefined
  /**
   * A pool of your own, of the package `pg`, instead. It is used and never ended; what else is asked over it is not touched:
   * no setting is changed, no statement is prepared. Let it have three connections at least: `watch` keeps one.
   */
  readonly pool?: PostgresPool | undefined
  /** Where the tables are; made where it is missing. `ordersaga` where none is given. */
  readonly schema?: string | undefined
  /** Makes the database that the URL names where the server does not have it. */
  readonly createDatabase?: boolean | undefined
  /** Connections at once; 4 where none is given, of which commits take one. Lists have two more, and `watch` has one. */
  readonly maxConnections?: number | undefined
  /** How long the server may be silent while something is asked of it; 30,000 where none is given. */
  readonly commandTimeoutMs?: number | undefined
  /** Told now and then while the schema is made or upgraded, here or by another process, which takes as long as it takes. */
  readonly onProblem?: OnProblem | undefined
}

/** `watch` keeps one, and a transaction must not wait for another. */
const leastConnections = 3

/** A longer one would be cut by the server, and might then be another's. */
const isName = (value: unknown): boolean =>
  typeof value === 'string' && value !== '' && isStorable(value) && Buffer.byteLength(value) <= 63

/** @throws StoreError `unusable` */
export function checkPostgresOptions(options: PostgresStoreOptions): void {
  checkOptions('postgresStore', options, {
    connectionString: aText,
    pool: [(value) => typeof (value as PostgresPool | null)?.connect === 'function', 'a Pool of the package pg'],
    schema: [isName, 'the name of a schema: 1 to 63 bytes, no NUL'],
    createDatabase: aFlag,
    maxConnections: aCount,
    commandTimeoutMs: milliseconds,
    onProblem: aFunction,
  })
  const { connectionString, pool } = (options as PostgresStoreOptions | undefined) ?? {}
  if ((connectionString === undefined) === (pool === undefined))
    throw new StoreError(
      'unusable',
      'postgresStore needs either a connectionString, such as postgresql://user:password@host:5432/database, or a pool.',
    )
  if (pool !== undefined && (options.createDatabase !== undefined || options.maxConnections !== undefined))
    throw new StoreError(
      'unusable',
      'createDatabase and maxConnections of postgresStore are for a connectionString only.',
    )
  const most = pool?.options?.max
  if (most !== undefined && most < leastConnections)
    throw new StoreError(
      'unusable',
      `The pool of postgresStore may have ${most} connections at most. Let it have ${leastConnections} or more: one of them listens.`,
    )
}
