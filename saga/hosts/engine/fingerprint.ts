import { createHash } from 'node:crypto'

/** The same text for the same value, whatever the order of its keys: what a used idempotency key is compared by. */
export const fingerprintOf = (value: unknown): string =>
  createHash('sha256').update(textOf(value, [])).digest('base64url')

/** Of a start, by its input as it was handed in: what a schema makes of it may be another thing tomorrow (a default of now). */
export const startFingerprint = (definition: string, input: unknown): string => fingerprintOf([definition, input])

/** JSON with sorted keys; what JSON does not know, or would make another thing of, is told by its kind, which no JSON looks like. */
function textOf(value: unknown, within: readonly object[]): string {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value)
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value)
  if (typeof value !== 'object') return `${typeof value}(${said(value)})`
  const circle = within.indexOf(value)
  if (circle >= 0) return `circle(${within.length - circle})`
  const inside = [...within, value]
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, inside)).join(',')}]`
  const prototype = Object.getPrototypeOf(value) as object | null
  // That of an object from another realm is not ours, but has none either.
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null
  return plain ? membersOf(value, inside) : `${prototype.constructor.name}(${contentOf(value, inside)})`
}

const membersOf = (value: object, inside: readonly object[]): string =>
  `{${Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${textOf(member, inside)}`)
    .join(',')}}`

/** What is in an object of a class. */
function contentOf(value: object, inside: readonly object[]): string {
  const texts = (items: Iterable<unknown>): string =>
    Array.from(items, (item) => textOf(item, inside))
      .toSorted()
      .join(',')
  if (value instanceof Date) return String(value.getTime())
  if (value instanceof Map) return texts(value.entries())
  if (value instanceof Set) return texts(value)
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString('base64')
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
  // What it shows of itself: numbers of any precision, times and addresses keep their value where nobody sees it.
  const { toJSON } = value as { readonly toJSON?: unknown }
  if (typeof toJSON === 'function') return textOf((toJSON as () => unknown).call(value), inside)
  const own = value.toString === Object.prototype.toString ? '' : JSON.stringify(said(value))
  return own + membersOf(value, inside)
}

const said = (value: unknown): string => (value as { toString(): string } | undefined)?.toString() ?? ''
