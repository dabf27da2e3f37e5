/** Says in the store's words what PostgreSQL or the connection to it refused. */
import { StoreError } from '../store.ts'

/** SQLSTATE classes for data that will be refused again: data exception, constraint, program limit. */
const refusing = new Set(['22', '23', '54'])

/** Classes for what no retry mends: wrong login, missing database or table, no rights. */
const unusable = new Set(['28', '3D', '3F', '42'])

const diskFull = '53100'

const noTransaction = '25P01'

/**
 * A deadlock that was broken, a snapshot that was overtaken, or a saga that another process made in this very moment: the
 * statement has changed nothing, and finds out more when it is run again.
 */
export function isRace(error: unknown): boolean {
  const { code, table } = error as { readonly code?: string; readonly table?: string }
  return code === '40P01' || code === '40001' || (code === '23505' && (table === 'saga' || table === 'saga_history'))
}

export function describeError(error: unknown): Error {
  if (error instanceof StoreError || error instanceof RangeError) return error
  const { code = '', message = String(error) } = error as { readonly code?: string; readonly message?: string }
  const kind = /^[0-9A-Z]{5}$/.test(code) ? code.slice(0, 2) : ''
  if (code === noTransaction)
    return new StoreError(
      'refused',
      'The connection that was given has no transaction open. Take a client (of a pool: pool.connect()), have it begin one, and hand it in before it commits.',
      error,
    )
  if (code === diskFull)
    return new StoreError(
      'unwritable',
      `The disk of PostgreSQL is full, and nothing of this was stored: ${message}. Make room there.`,
      error,
    )
  if (refusing.has(kind)) return new StoreError('refused', `PostgreSQL refused the data: ${message}`, error)
  if (unusable.has(kind))
    return new StoreError(
      'unusable',
      `PostgreSQL cannot be used: ${message}. Check the URL and the role's rights.`,
      error,
    )
  const what = kind === '' ? 'PostgreSQL does not answer' : 'PostgreSQL cannot do it now'
  return new StoreError(
    'unavailable',
    `${what}: ${message === '' ? code : message}. What was under way may or may not be stored.`,
    error,
  )
}
