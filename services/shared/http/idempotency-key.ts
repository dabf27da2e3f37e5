/** The header Idempotency-Key: a key is among those of who asks alone, and tells nobody what another asked for. */
import { createHash } from 'node:crypto'
import { z } from 'zod'

export const IdempotencyKey = z.string().min(1).max(200).optional().meta({ example: 'order-42' })

/** One key of several parts, such as who asks and his key; of whatever length and alphabet, every store keeps it. */
export const keyOf = (...parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex')
