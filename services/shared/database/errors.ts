/**
 * What a database refuses, said once for SQLite and PostgreSQL: callers ask what to do, not which driver spoke.
 *
 * Border: no other file of the services knows the codes of a driver.
 */

export type DatabaseErrorCode =
  'locked' | 'unwritable' | 'unreachable' | 'refused' | 'unusable' | 'removed' | 'migration'

/** A database that cannot be used as it is: what failed, and what to do about it. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  readonly code: DatabaseErrorCode
  /** Whether the same try may succeed later without anybody changing something. */
  readonly retryable: boolean

  constructor(code: DatabaseErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
    this.retryable = code === 'locked' || code === 'unreachable'
  }
}

/** The driver's own code: an SQLSTATE, an `SQLITE_...` name or a system code such as `ECONNREFUSED`. */
export function driverCode(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}

/** The row was there already: a primary key or a unique index says so. */
export function isUniqueViolation(error: unknown): boolean {
  return ['23505', 'SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_CONSTRAINT_PRIMARYKEY'].includes(driverCode(error))
}

/** Nothing was written and the same transaction may succeed at once: lost a race against another, or found it busy. */
export function isContention(error: unknown): boolean {
  const code = driverCode(error)
  return ['40001', '40P01', '55P03'].includes(code) || code.startsWith('SQLITE_BUSY') || code === 'SQLITE_LOCKED'
}

const awayCodes = new Set([
  'unavailable', // as a saga store says it
  'unwritable',
  'removed',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  '25006', // read-only: the server that writes is another one now, after a failover
  'SQLITE_FULL',
  'SQLITE_CANTOPEN',
])

/**
 * PostgreSQL's classes for what passes: connection exception, insufficient resources, operator intervention, system
 * error. Not among them is a statement that was cancelled (57014): it may take too long whenever it is tried.
 */
const awayClasses = /^(08|53|57(?!014)|58)[0-9A-Z]{3}$/

/** What SQLite says where the disk fails, or its file may only be read; more detailed codes begin alike. */
const awayFiles = /^SQLITE_(IOERR|READONLY)/

/** The PostgreSQL client says these without a code. */
const awayMessages =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client (has encountered a connection|was closed))/

/** The database cannot be reached, or cannot do it now; what was under way may or may not be stored. */
export function isAway(error: unknown): boolean {
  const code = driverCode(error)
  if (code === '') return error instanceof Error && awayMessages.test(error.message)
  return awayCodes.has(code) || awayClasses.test(code) || awayFiles.test(code) || isContention(error)
}

/**
 * Why, in a client's words, and whether what was under way is known not to be stored.
 *
 * @param isRead where nothing was to be stored
 */
export function whyAway(error: unknown, isRead: boolean): string {
  const code = driverCode(error)
  // A saga store has said so in its own words, for operators.
  if (code === 'unwritable')
    return refusal(causeOf(error)) ?? 'the database can store nothing now, and nothing was changed'
  const silent = 'the database does not answer'
  return refusal(error) ?? (isRead ? silent : `${silent}, and whether this took effect is not known`)
}

function refusal(error: unknown): string | null {
  const code = driverCode(error)
  if (code === 'SQLITE_FULL' || code === '53100') return 'the disk of the database is full, and nothing was changed'
  if (code === 'removed') return 'the file of the database was removed, and nothing was changed'
  if (code === '25006' || code.startsWith('SQLITE_READONLY'))
    return 'the database can only be read now, and nothing was changed'
  return null
}

const causeOf = (error: unknown): unknown => (error instanceof Error ? error.cause : undefined)
