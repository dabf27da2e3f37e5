import { createHash } from 'node:crypto'

/** The same text for the same JSON value, whatever the order of its keys: what a used idempotency key is compared by. */
export function fingerprintOf(value: unknown): string {
  const sorted = (_key: string, item: unknown): unknown =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item
  return createHash('sha256').update(JSON.stringify(value, sorted)).digest('base64url')
}
