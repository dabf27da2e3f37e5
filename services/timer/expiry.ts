/**
 * Tells of timers that have expired: asks the table for the next one, sleeps until then, publishes, marks.
 *
 * Invariants:
 * - never early: a timer is told of only where the clock says that it has expired;
 * - at least once: the mark is written only after the event is the transport's to deliver; whoever dies in between is
 *   followed by one who says it again;
 * - replicas need no leader: each looks at the table at least every `longestSleepMs`, so timers of a dead one are found.
 */
import type { Kysely } from 'kysely'
import { eventChannel, type Message, type Transport } from 'ordersaga/transport'
import { utcText } from '../shared/time/utc.ts'
import { orderTimeout } from './messages.ts'
import type { TimerRow, TimerTables } from './schema.ts'
import { expiredTimers, markFired, nextExpiry } from './rows.ts'

/** Wakes once after so many milliseconds; what it gives back calls that off. */
export type Sleep = (ms: number, wake: () => void) => () => void

export interface ExpiryOptions {
  readonly db: Kysely<TimerTables>
  readonly transport: Transport
  readonly source: string
  readonly now: () => number
  readonly sleep?: Sleep
  readonly onProblem: (error: unknown) => void
}

export interface Expiry {
  /** Looks at the table, and keeps on. Until then nobody is told of anything. */
  begin(): void
  /** Looks at the table now: after a start of a timer, or because somebody asks. Resolves when the look is over. */
  check(): Promise<void>
  /** Ends after the look in hand, which is given up where it hangs: what was not told of is told of after the next start. */
  stop(): Promise<void>
}

const longestSleepMs = 10_000
const firstRetryMs = 100
const timersAtOnce = 200
/** Where the transport keeps a publish waiting for an absent reader, the service must still come to its end. */
const stopGraceMs = 5_000

const systemSleep: Sleep = (ms, wake) => {
  const timeout = setTimeout(wake, ms)
  return () => clearTimeout(timeout)
}

export function openExpiry(options: ExpiryOptions): Expiry {
  const { db, transport, source, now, sleep = systemSleep, onProblem } = options
  let looking: Promise<void> | null = null
  let again = false
  let state: 'open' | 'begun' | 'stopped' = 'open'
  let failures = 0
  let overdue = false
  let callOff = (): void => undefined
  /** Each makes a publish in hand reject. */
  const giveUps = new Set<(error: Error) => void>()

  /** One look at a time; whoever asks during one gets another after it, because the first may have looked too early. */
  function check(): Promise<void> {
    if (state !== 'begun') return looking ?? Promise.resolve()
    if (looking !== null) {
      again = true
      return looking
    }
    callOff()
    looking = look()
    return looking
  }

  async function look(): Promise<void> {
    let next: number | null = null
    do {
      again = false
      try {
        await fire()
        next = await nextExpiry(db)
        failures = 0
      } catch (error) {
        failures += 1
        onProblem(error)
      }
    } while (again && state === 'begun')
    // At once with the last reading of `again`: who asks from here on starts a look of his own.
    looking = null
    if (state === 'begun') callOff = sleep(pause(next), () => void check())
  }

  /** Tells of all that have expired. One that cannot be told of holds up no other, and is tried again with the next look. */
  async function fire(): Promise<void> {
    const untold = new Set<string>()
    const problems: Error[] = []
    for (;;) {
      const expired = await expiredTimers(db, now(), timersAtOnce + untold.size)
      const due = expired.filter(({ timer_id }) => !untold.has(timer_id))
      if (due.length === 0) break
      const told = await tell(due).catch((error: unknown) => {
        problems.push(error instanceof Error ? error : new Error(String(error)))
        return due.length === 1 ? [] : tellEach(due, error)
      })
      if (told.length > 0) await markFired(db, told)
      for (const { timer_id } of due) if (!told.includes(timer_id)) untold.add(timer_id)
    }
    const [problem] = problems
    if (problem !== undefined && untold.size > 0) throw problem
  }

  /** @returns the ids of those that were told of */
  async function tellEach(timers: readonly TimerRow[], error: unknown): Promise<readonly string[]> {
    const told = await Promise.all(timers.map((timer) => tell([timer]).catch(() => [])))
    // None of many: it is the transport that is away.
    if (told.every(({ length }) => length === 0)) throw error
    return told.flat()
  }

  async function tell(timers: readonly TimerRow[]): Promise<readonly string[]> {
    let giveUp = (_error: Error): void => undefined
    const givenUp = new Promise<never>((_resolve, reject) => (giveUp = reject))
    giveUps.add(giveUp)
    if (overdue) giveUp(stopping())
    const events = timers.map((timer) => timeoutEvent(timer, source, now()))
    try {
      await Promise.race([transport.publish(eventChannel('timer'), events), givenUp])
      return timers.map(({ timer_id }) => timer_id)
    } finally {
      giveUps.delete(giveUp)
    }
  }

  function pause(next: number | null): number {
    if (failures > 0) return Math.min(firstRetryMs * 2 ** (failures - 1), longestSleepMs)
    if (next === null) return longestSleepMs
    return Math.min(Math.max(next - now(), 1), longestSleepMs)
  }

  return {
    begin() {
      if (state === 'open') state = 'begun'
      void check()
    },
    check,
    async stop() {
      state = 'stopped'
      callOff()
      const inTime = sleep(stopGraceMs, () => {
        overdue = true
        for (const giveUp of giveUps) giveUp(stopping())
      })
      await looking
      inTime()
    },
  }
}

const stopping = (): Error => new Error('the service is stopping: told of after the next start')

/** The id is derived from the timer, so that whoever keeps ids knows the second telling. */
function timeoutEvent(timer: TimerRow, source: string, now: number): Message {
  return {
    id: `${timer.timer_id}:timeout`,
    type: orderTimeout.type,
    correlationId: timer.saga_id ?? timer.order_id,
    timestamp: new Date(now).toISOString(),
    source,
    payload: {
      timerId: timer.timer_id,
      orderId: timer.order_id,
      customerId: timer.customer_id,
      sagaId: timer.saga_id,
      expiresAt: utcText(timer.expires_at),
    },
  }
}
