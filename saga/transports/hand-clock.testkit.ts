/** A clock for tests: its alarms ring when the test says so. */
import { systemClock, type Clock } from '../clock.ts'

export interface HandClock {
  readonly clock: Clock
  /** The delays of the alarms that are set, in the order of setting. */
  delays(): readonly number[]
  /** Lets all ring that are set now. */
  ring(): void
}

/** @param others what becomes of an alarm that is not held: it has the system's clock where none is given */
export function handClock(
  holds: (ms: number) => boolean = () => true,
  others: Clock['after'] = (ms, callback) => systemClock.after(ms, callback),
): HandClock {
  const alarms = new Set<{ readonly ms: number; readonly callback: () => void }>()
  return {
    clock: {
      ...systemClock,
      after(ms, callback) {
        if (!holds(ms)) return others(ms, callback)
        const alarm = { ms, callback }
        alarms.add(alarm)
        return { cancel: () => void alarms.delete(alarm) }
      },
    },
    delays: () => [...alarms].map(({ ms }) => ms),
    ring() {
      const due = [...alarms]
      alarms.clear()
      for (const { callback } of due) callback()
    },
  }
}
