/**
 * Loads the package that a store or a transport stands on: an optional peer, so it may be missing.
 *
 * An import of it would fail while modules are linked, before a word of ours could be said. A dynamic import could be
 * caught, but one at the top of a module keeps all above it from being loaded by `require`. So it is loaded by `require`
 * itself, at once and for good; its types are imported as types.
 */
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/**
 * @param neededBy the entry of this package that cannot do without it
 * @throws Error saying what to install
 *
 * @example
 * export const pg = driver('pg', 'ordersaga/stores/postgres') as typeof Pg // import type Pg from 'pg'
 */
export function driver(name: string, neededBy: string): unknown {
  try {
    return require(name)
  } catch (cause) {
    if (!isMissing(cause, name)) throw cause
    throw new Error(`${neededBy} needs the package ${name}, which is not installed: npm install ${name}`, { cause })
  }
}

/** What it needs itself may be missing, too; then its own words are better than ours. */
const isMissing = (error: unknown, name: string): boolean =>
  error instanceof Error &&
  'code' in error &&
  error.code === 'MODULE_NOT_FOUND' &&
  error.message.startsWith(`Cannot find module '${name}'`)
