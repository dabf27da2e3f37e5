/** The one door to time for engine, transports and kit; tests and simulations drive it by hand. */
export interface Clock {
  /** The wall clock, Unix milliseconds. It may jump, forward and back. */
  now(): number
  /** Milliseconds since any fixed point; never goes back. It may stand still while the machine sleeps. */
  elapsed(): number
  /** Calls back once after `ms` milliseconds, unless cancelled. */
  after(ms: number, callback: () => void): { cancel(): void }
}

/** The longest delay that setTimeout keeps; longer waits are taken in pieces. */
const longest = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), longest))
    return { cancel: () => clearTimeout(timer) }
  },
}
