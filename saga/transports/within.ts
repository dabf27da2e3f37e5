/** Waits on a clock: bounded ones, and pauses that can be called off. */
import type { Clock } from '../clock.ts'

/** What the promise gives. @throws Error where it takes longer; the work itself goes on */
export function within<T>(clock: Clock, ms: number, promise: Promise<T>, what = 'the answer'): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = clock.after(ms, () => reject(new Error(`${what} took longer than ${ms} ms`)))
    promise.finally(() => late.cancel()).then(resolve, reject)
  })
}

/** Resolves when the promise is settled, in whatever way, and after the time in any case. */
export const settledWithin = (clock: Clock, ms: number, promise: Promise<unknown>): Promise<void> =>
  within(clock, ms, promise).then(
    () => undefined,
    () => undefined,
  )

/** Resolves after the time, or as soon as the signal aborts. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const end = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = clock.after(ms, end)
    signal?.addEventListener('abort', end)
  })
}
