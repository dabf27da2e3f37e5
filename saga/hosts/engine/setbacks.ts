/**
 * Inputs that could not be carried out lately. Each is tried again after a pause that grows, so that neither the store nor the
 * loop is kept busy by what cannot be helped, and what came later is not kept waiting behind it.
 */
import type { Clock } from '../../clock.ts'

interface Setback {
  readonly tries: number
  /** On the clock that never goes back. */
  readonly until: number
}

/** The pause after the first failure, about a heartbeat, and the longest, in milliseconds. */
const firstMs = 2_000
const longestMs = 600_000

export class Setbacks {
  readonly #clock: Clock
  readonly #byKey = new Map<string, Setback>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#byKey.size
  }

  isDue(key: string): boolean {
    return (this.#byKey.get(key)?.until ?? 0) <= this.#clock.elapsed()
  }

  /** Returns how often it has failed by now. */
  add(key: string): number {
    const tries = (this.#byKey.get(key)?.tries ?? 0) + 1
    const pause = Math.min(firstMs * 2 ** (tries - 1), longestMs)
    this.#byKey.set(key, { tries, until: this.#clock.elapsed() + pause })
    return tries
  }

  /** Forgets all but these: the others are done with, here or by another process. */
  keepOnly(keys: Iterable<string>): void {
    const kept = new Set(keys)
    for (const key of this.#byKey.keys()) if (!kept.has(key)) this.#byKey.delete(key)
  }
}
