import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoff, defaultRetry } from './retry.ts'

test('without jitter pauses double to their cap', () => {
  const policy = { ...defaultRetry, jitter: 0, firstMs: 100, maxMs: 500 }
  expect([1, 2, 3, 4, 200].map((attempt) => backoff(policy, attempt, 1, 1))).toEqual([100, 200, 400, 500, 500])
})

test('jitter takes away at most its share, and the same seed gives the same pause', () =>
  fc.assert(
    fc.property(
      fc.integer(),
      fc.nat(300),
      fc.integer({ min: 1, max: 500 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (seed, salt, attempt, jitter) => {
        const policy = { ...defaultRetry, jitter }
        const full = backoff({ ...policy, jitter: 0 }, attempt, seed, salt)
        const pause = backoff(policy, attempt, seed, salt)
        expect(pause).toBe(backoff(policy, attempt, seed, salt))
        expect(pause).toBeLessThanOrEqual(full)
        expect(pause).toBeGreaterThanOrEqual(Math.floor(full * (1 - jitter)))
      },
    ),
  ))

test('sagas that fail together do not come back together', () => {
  const pauses = Array.from({ length: 1000 }, (_none, seed) => backoff(defaultRetry, 5, seed, 0))
  const buckets = new Set(pauses.map((pause) => Math.floor(pause / 100)))
  expect(buckets.size).toBeGreaterThan(14) // of 16 hundreds between 1600 and 3200
})
