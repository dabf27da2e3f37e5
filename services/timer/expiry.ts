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
import { openWorker, type Bounded, type Sleep, type Worker } from '../shared/worker.ts'
import { orderTimeout } from './messages.ts'
import type { TimerRow, TimerTables } from './schema.ts'
import { expiredTimers, markFired, nextExpiry } from './rows.ts'

export interface ExpiryOptions {
  readonly db: Kysely<TimerTables>
  readonly transport: Transport
  readonly source: string
  readonly now: () => number
  readonly sleep?: Sleep
  readonly onProblem: (error: unknown) => void
}

const longestSleepMs = 10_000
const timersAtOnce = 200

/** A look of the worker tells of all timers that have expired by then; the next one is when the next timer expires. */
export function openExpiry(options: ExpiryOptions): Worker {
  const { db, transport, source, now, sleep, onProblem } = options

  async function look(bounded: Bounded): Promise<number> {
    await fire(bounded)
    const next = await nextExpiry(db)
    return next === null ? longestSleepMs : next - now()
  }

  /** Tells of all that have expired. One that cannot be told of holds up no other, and is tried again with the next look. */
  async function fire(bounded: Bounded): Promise<void> {
    const untold = new Set<string>()
    const problems: Error[] = []
    for (;;) {
      const expired = await expiredTimers(db, now(), timersAtOnce + untold.size)
      const due = expired.filter(({ timer_id }) => !untold.has(timer_id))
      if (due.length === 0) break
      const told = await tell(due, bounded).catch((error: unknown) => {
        problems.push(error instanceof Error ? error : new Error(String(error)))
        return due.length === 1 ? [] : tellEach(due, bounded, error)
      })
      if (told.length > 0) await markFired(db, told)
      for (const { timer_id } of due) if (!told.includes(timer_id)) untold.add(timer_id)
    }
    const [problem] = problems
    if (problem !== undefined && untold.size > 0) throw problem
  }

  /** @returns the ids of those that were told of */
  async function tellEach(timers: readonly TimerRow[], bounded: Bounded, error: unknown): Promise<readonly string[]> {
    const told = await Promise.all(timers.map((timer) => tell([timer], bounded).catch(() => [])))
    // None of many: it is the transport that is away.
    if (told.every(({ length }) => length === 0)) throw error
    return told.flat()
  }

  async function tell(timers: readonly TimerRow[], bounded: Bounded): Promise<readonly string[]> {
    const channel = eventChannel('timer')
    const events = timers.map((timer) => timeoutEvent(timer, source, now()))
    await bounded(`publishing to ${channel}`, () => transport.publish(channel, events))
    return timers.map(({ timer_id }) => timer_id)
  }

  return openWorker({ look, longestPauseMs: longestSleepMs, onProblem, ...(sleep === undefined ? {} : { sleep }) })
}

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
