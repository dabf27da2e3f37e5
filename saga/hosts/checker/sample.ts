/**
 * Finds a value that a schema takes, by nothing but trying: the schema says where it is not content (the paths of its issues),
 * and other values are tried there. Bounded, and the same each time.
 */
import type { Schema } from '../../core/contract.ts'
import { check } from '../../core/contract.ts'

export interface Search {
  /** Values that are likely at a path, such as what the command asked for there. */
  readonly like?: unknown
  /** What else the value must be; the schema takes it. */
  readonly fits?: (value: unknown) => boolean
}

/** The value as it is given, not as the schema reads it. Null where none was found. */
export function sampleOf(
  schema: Schema<unknown>,
  { like, fits = () => true }: Search = {},
): { readonly value: unknown } | null {
  const tried = new Set<string>()
  const queue: unknown[] = [{}, { error: 'no' }, ...(like === undefined ? [] : [like]), ...usual]
  for (let at = 0; at < queue.length && tried.size < mostTried; at++) {
    const value = queue[at]
    const text = JSON.stringify(value) ?? 'undefined'
    if (tried.has(text)) continue
    tried.add(text)
    const issues = issuesOf(schema, value)
    if (issues === null) {
      if (check(schema, value).ok && fits(value)) return { value }
      queue.push(...withLikely(value, like))
    }
    const [issue] = issues ?? []
    // Depth first: what mends the first issue comes before other beginnings.
    if (issue !== undefined) queue.splice(at + 1, 0, ...mended(value, issue, like))
  }
  return null
}

const mostTried = 3000
const deepest = 12

const usual = ['text', 1, true, null, [], '2030-01-01T00:00:00.000Z', '2030-01-01', 0, -1, 0.5, false]
const special = [
  'f47ac10b-58cc-4372-a567-0e02b2c3d479',
  'someone@example.com',
  'https://example.com/',
  '10:00:00',
  'EUR',
  '1.00',
]

interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** Null where it has none. */
function issuesOf(schema: Schema<unknown>, value: unknown): readonly Issue[] | null {
  try {
    const result = schema['~standard'].validate(value)
    if ('then' in result || result.issues === undefined) return null
    return result.issues.map(({ message, path = [] }) => ({
      message,
      path: path.map((part) => (typeof part === 'object' ? part.key : part)),
    }))
  } catch {
    return []
  }
}

/** The value with others at the issue's path, the likely ones first; those that leave it unmended lead nowhere. */
function mended(value: unknown, { path, message }: Issue, like: unknown): readonly unknown[] {
  if (path.length === 0 || path.length > deepest) return []
  const last = path.at(-1)
  const liked = [at(like, path), at(like, last === undefined ? [] : [last])].filter((each) => each !== undefined)
  // Many schemas say what they expect: `expected "a"|"b"`.
  const told = [...message.matchAll(/["'`]([^"'`]*)["'`]/g)].map(([, text]) => text)
  return [...liked, ...told, ...usual, {}, [{}], ['text'], ...special, 'a text that is longer than what is short'].map(
    (each) => replaced(value, path, each),
  )
}

/** For what no schema says: fields that the command named have the same value in its answer. */
function withLikely(value: unknown, like: unknown): readonly unknown[] {
  if (typeof like !== 'object' || like === null || typeof value !== 'object' || value === null) return []
  const each = Object.entries(like).map(([name, field]) => ({ ...value, [name]: field as unknown }))
  return [{ ...value, ...like }, ...each]
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (of, key) => (of as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key],
    value,
  )
}

function replaced(value: unknown, [key, ...rest]: readonly PropertyKey[], by: unknown): unknown {
  if (key === undefined) return by
  const inner = (of: unknown): unknown => replaced(of, rest, by)
  if (Array.isArray(value)) {
    const list = [...(value as readonly unknown[])]
    list[Number(key)] = inner(list[Number(key)])
    return list
  }
  const fields = typeof value === 'object' && value !== null ? (value as Readonly<Record<PropertyKey, unknown>>) : {}
  return { ...fields, [key]: inner(fields[key]) }
}
