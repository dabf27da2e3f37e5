/**
 * A worker that looks again and again for what is due, and does it: tells of what is kept to be told, of timers that have
 * expired, ends what is overdue, removes what is old.
 *
 * Invariants:
 * - one look at a time. Whoever asks during one gets another after it, because the first may have looked too early;
 * - nothing is done before the worker is begun, and no look begins once it is stopped;
 * - after a look that failed it pauses, each time for twice as long, and asks by `nudge` do not shorten that;
 * - what is done within `bounded` never holds up the worker, nor the end of its service, for ever.
 */

/** Wakes once after so many milliseconds; what it gives back calls that off. */
export type Sleep = (ms: number, wake: () => void) => () => void

/** Does a piece of the work, and rejects where that takes too long or the service comes to its end. */
export type Bounded = <T>(what: string, work: () => Promise<T>) => Promise<T>

export interface WorkerOptions {
  /**
   * Does what is due, and says in how many milliseconds to look again.
   *
   * @throws where something could not be done: reported, and looked for again
   */
  readonly look: (bounded: Bounded) => Promise<number>
  /** Whatever a look says, and however often it has failed, the next one is no later, in milliseconds. */
  readonly longestPauseMs: number
  /** The pause after the first failure, in milliseconds; 100 where none is given. */
  readonly firstRetryMs?: number
  readonly sleep?: Sleep
  readonly onProblem: (error: unknown) => void
}

export interface Worker {
  /** Looks, and keeps on. */
  begin(): void
  /** Looks now. Resolves when the look is over; at once where the worker is not begun. */
  look(): Promise<void>
  /** Something may be due: looks now, unless the last look failed. */
  nudge(): void
  /** Ends after the look in hand. */
  stop(): Promise<void>
}

const systemSleep: Sleep = (ms, wake) => {
  const timeout = setTimeout(wake, ms)
  return () => clearTimeout(timeout)
}

/** Work that hangs must not hold up everything behind it for ever. */
const limitMs = 60_000
/** Nor the end of the service. */
const stopGraceMs = 5_000

/**
 * @example
 * const worker = openWorker({
 *   look: async (bounded) => {
 *     for (const row of await dueRows(db)) await bounded('telling', () => tell(row))
 *     return 5_000
 *   },
 *   longestPauseMs: 5_000,
 *   onProblem: (error) => log.warn({ err: error }, 'not told; tried again'),
 * })
 * worker.begin()
 */
export function openWorker(options: WorkerOptions): Worker {
  const { longestPauseMs, firstRetryMs = 100, sleep = systemSleep, onProblem } = options
  const { bounded, giveUpAll } = limits(sleep)
  let state: 'open' | 'begun' | 'stopped' = 'open'
  let looking: Promise<void> | null = null
  let again = false
  let failures = 0
  let callOff = (): void => undefined

  async function run(): Promise<void> {
    let pauseMs = longestPauseMs
    do {
      again = false
      try {
        pauseMs = await options.look(bounded)
        failures = 0
      } catch (error) {
        failures += 1
        pauseMs = firstRetryMs * 2 ** (failures - 1)
        onProblem(error)
      }
    } while (again && failures === 0)
    // At once with the last reading of `again`: who asks from here on starts a look of his own.
    looking = null
    if (state === 'begun') callOff = sleep(Math.min(Math.max(pauseMs, 1), longestPauseMs), () => void look())
  }

  function look(): Promise<void> {
    if (state !== 'begun') return looking ?? Promise.resolve()
    again = looking !== null
    if (looking === null) {
      callOff()
      looking = run()
    }
    return looking
  }

  return {
    begin() {
      if (state === 'open') state = 'begun'
      void look()
    },
    look,
    nudge() {
      if (failures === 0) void look()
    },
    async stop() {
      state = 'stopped'
      callOff()
      const inTime = sleep(stopGraceMs, () => giveUpAll('the service is stopping'))
      await looking
      inTime()
    },
  }
}

function limits(sleep: Sleep): { readonly bounded: Bounded; readonly giveUpAll: (why: string) => void } {
  /** Each makes a piece of the work in hand reject. */
  const giveUps = new Set<(why: string) => void>()
  /** Why nothing is begun any more. */
  let over: string | null = null

  return {
    async bounded(what, work) {
      const givenUp = (why: string): Error => new Error(`${what} is given up for now: ${why}`)
      if (over !== null) throw givenUp(over)
      let giveUp = (_why: string): void => undefined
      const late = new Promise<never>((_resolve, reject) => (giveUp = (why) => reject(givenUp(why))))
      giveUps.add(giveUp)
      const inTime = sleep(limitMs, () => giveUp(`it took longer than ${limitMs} ms`))
      try {
        return await Promise.race([work(), late])
      } finally {
        inTime()
        giveUps.delete(giveUp)
      }
    },
    giveUpAll(why) {
      over = why
      for (const giveUp of giveUps) giveUp(why)
    },
  }
}
