/**
 * How often and how fast a command is sent again: capped exponential backoff with jitter.
 *
 * The jitter comes from the saga's seed, which is part of its start, so the same inputs give the same history on every
 * host. (Capped exponential with jitter: M. Brooker, "Exponential Backoff And Jitter", 2015.)
 */

export interface RetryPolicy {
  /** How many attempts in all, the first included; `Infinity` never gives up. */
  readonly tries: number
  /** Pause before the second attempt, in milliseconds. */
  readonly firstMs: number
  /** Each further pause is this many times the one before. */
  readonly factor: number
  /** No pause is longer, in milliseconds. */
  readonly maxMs: number
  /** Share of each pause that is random, from 0 (none) to 1 (all of it). */
  readonly jitter: number
}

export const defaultRetry: RetryPolicy = { tries: 8, firstMs: 200, factor: 2, maxMs: 30_000, jitter: 0.5 }

/** For what must happen in the end: steps after the pivot that only repeat. */
export const forever: RetryPolicy = { ...defaultRetry, tries: Infinity }

/**
 * The pause before the next attempt, in whole milliseconds.
 *
 * @param attempt how many attempts were made so far, 1 or more
 * @param seed the saga's seed; @param salt tells its steps apart
 */
export function backoff(policy: RetryPolicy, attempt: number, seed: number, salt: number): number {
  const full = Math.min(policy.maxMs, policy.firstMs * policy.factor ** Math.min(attempt - 1, 64))
  return Math.round(full * (1 - policy.jitter * fraction(seed, salt, attempt)))
}

/** A number in [0, 1) from three integers (the finalizer of MurmurHash3; spread matters here, secrecy does not). */
function fraction(seed: number, salt: number, attempt: number): number {
  let h = (seed ^ Math.imul(salt + 1, 0x9e3779b1) ^ Math.imul(attempt, 0x85ebca6b)) >>> 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 0x1_0000_0000
}
