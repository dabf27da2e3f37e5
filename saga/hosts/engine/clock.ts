/** The engine's one door to time; tests drive it by hand. */
export interface Clock {
  /** Unix milliseconds. */
  now(): number
  /** Calls back once after `ms` milliseconds, unless cancelled. */
  after(ms: number, callback: () => void): { cancel(): void }
}

/** The longest delay that setTimeout keeps; longer waits are taken in pieces. */
const longest = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), longest))
    return { cancel: () => clearTimeout(timer) }
  },
}
