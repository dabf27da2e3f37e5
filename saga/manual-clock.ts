/** A clock that stands still until it is told to go on: a test of three days takes milliseconds. */
import type { Clock } from './clock.ts'

export interface ManualClock extends Clock {
  /**
   * Goes on by so many milliseconds. What is due on the way is called back in its order, and has some turns of the event loop
   * for what it does, enough for a memory store and transport, before the clock goes on.
   */
  advance(ms: number): Promise<void>
}

interface Alarm {
  readonly at: number
  readonly callback: () => void
}

/** Turns of the event loop that a callback has: an engine takes a few between a wake-up and the answer to its command. */
const turns = 10

/** @param start what it shows at first, Unix milliseconds; the year 2000 where none is given */
export function manualClock(start = Date.UTC(2000, 0, 1)): ManualClock {
  const alarms = new Set<Alarm>()
  let now = start

  function nextBy(end: number): Alarm | undefined {
    let next: Alarm | undefined
    for (const alarm of alarms) if (alarm.at <= end && (next === undefined || alarm.at < next.at)) next = alarm
    return next
  }

  return {
    now: () => now,
    elapsed: () => now - start,
    after(ms, callback) {
      const alarm = { at: now + Math.max(ms, 0), callback }
      alarms.add(alarm)
      return { cancel: () => void alarms.delete(alarm) }
    },
    async advance(ms) {
      const end = now + ms
      await settle()
      for (let due = nextBy(end); due !== undefined; due = nextBy(end)) {
        alarms.delete(due)
        now = due.at
        due.callback()
        await settle()
      }
      now = end
    },
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
}
