/** The one source of ids and chance for engine, transports and kit; from a seed, a whole system does the same again. */
import { v7 as uuidv7 } from 'uuid'
import type { Clock } from './clock.ts'

export interface Chance {
  /** A UUID version 7 (RFC 9562): later ones sort after earlier ones, which databases need to be fast. */
  newId(): string
  /** A number from 0 to below 1. */
  random(): number
}

export const systemChance: Chance = { newId: () => uuidv7(), random: () => Math.random() }

/**
 * Ids and numbers that follow from a seed, and from the times at which they are asked for: for tests and simulations.
 *
 * @param seed any whole number
 */
export function seededChance(seed: number, clock: Pick<Clock, 'now'>): Chance {
  const random = mulberry32(seed)
  let sequence = 0
  return {
    newId() {
      const bytes = Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256))
      sequence += 1 // within a millisecond, the order of asking
      return uuidv7({ msecs: clock.now(), seq: sequence, random: bytes })
    },
    random,
  }
}

/** A small generator with 32 bits of state (T. Ettinger's mulberry32); spread matters here, secrecy does not. */
function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
