/** Whether a value is plain JSON: a store gives it back as it was, in this process or in the next (guards `SagaState`). */

/** Deeper than any order is, and far from where writing it would exhaust the stack. */
const deepest = 200

/**
 * Null where the value is plain JSON; else what is not, by its path from the given name. A property that is undefined
 * counts as absent.
 */
export function whyNotPlain(value: unknown, path: string, depth = 0): string | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return null
  if (typeof value === 'number') return Number.isFinite(value) ? null : not(path, String(value))
  if (value === undefined) return not(path, 'undefined')
  if (typeof value !== 'object') return not(path, `a ${typeof value}`)
  if (depth === deepest) return not(path, `nested more than ${deepest} levels deep`)
  const list = Array.isArray(value)
  const prototype = Object.getPrototypeOf(value) as object | null
  // That of an object from another realm is not ours, but has none either.
  if (!list && prototype !== null && Object.getPrototypeOf(prototype) !== null)
    return not(path, `a ${prototype.constructor.name}`)
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined && !list) continue
    const why = whyNotPlain(member, list ? `${path}[${key}]` : `${path}.${key}`, depth + 1)
    if (why !== null) return why
  }
  return null
}

/** What was thrown, as text: even that may fail. */
export function said(error: unknown): string {
  try {
    return String(error)
  } catch {
    return 'something was thrown that has no text'
  }
}

const not = (path: string, what: string): string =>
  `${path} is ${what}, which no store gives back as it was; use plain JSON: text, finite numbers, booleans, null, lists and objects`
