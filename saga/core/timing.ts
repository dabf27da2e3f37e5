/** Checks of times and retry policies as they are declared: what cannot be kept as JSON would mean another after a restart. */
import type { RetryPolicy } from './retry.ts'

/** A hundred years: later times are mistakes, and leave the range of dates when they add up. */
const longestMs = 100 * 366 * 86_400_000

/** Null for a number of milliseconds that can be waited for; else what is wrong with it. */
export function whyNoTime(ms: unknown): string | null {
  if (typeof ms === 'number' && ms >= 0 && ms <= longestMs) return null
  return `must be a number of milliseconds from 0 to a hundred years; it is ${String(ms)}`
}

/** Null for a policy that can be followed. */
export function whyNoRetry({ tries, firstMs, factor, maxMs, jitter }: RetryPolicy): string | null {
  if (!(typeof tries === 'number' && tries >= 1 && (Number.isInteger(tries) || tries === Infinity)))
    return `tries must be a whole number from 1, or Infinity; it is ${String(tries)}`
  for (const [name, ms] of Object.entries({ firstMs, maxMs })) {
    const why = whyNoTime(ms)
    if (why !== null) return `${name} ${why}`
  }
  if (!(typeof factor === 'number' && factor >= 1 && factor <= 1000))
    return `factor must be 1 to 1000; it is ${String(factor)}`
  if (!(typeof jitter === 'number' && jitter >= 0 && jitter <= 1))
    return `jitter must be 0 to 1; it is ${String(jitter)}`
  return null
}
