/** Times on the wire are ISO 8601 in UTC without an offset; inside they are Unix milliseconds. */
import { z } from 'zod'

/** What `utcText` gives, as API pages show it. */
export const UtcText = z
  .string()
  .meta({ description: 'ISO 8601 in UTC, without an offset', example: '2026-01-31T12:00:00.000' })

/** @example utcText(0) // '1970-01-01T00:00:00.000' */
export function utcText(ms: number): string {
  return new Date(ms).toISOString().slice(0, -1)
}

const shape = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/i

/**
 * Reads a time; one without an offset is UTC, whatever this machine's zone. Null for anything else.
 *
 * @example utcMs('2025-04-08T03:09:11.123456') // 1744081751123
 */
export function utcMs(iso: string): number | null {
  const found = shape.exec(iso)
  if (found === null) return null
  const ms = Date.parse(found[3] === undefined ? `${iso}Z` : iso)
  return Number.isNaN(ms) ? null : ms
}
