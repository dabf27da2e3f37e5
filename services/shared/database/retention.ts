/**
 * Removes the inbox's replies of commands that nobody repeats any more, so that a service's database does not grow for
 * ever by what it has answered. What the answers did (orders, payments) stays.
 */
import type { DurableInbox } from 'ordersaga/inbox'
import { openWorker } from '../worker.ts'

const everyMs = 3_600_000
const pauseMs = 50

export interface RetentionOptions {
  readonly inbox: Pick<DurableInbox<never>, 'removeOld'>
  /** Replies are kept this long, in milliseconds: for as long as their commands may come again. */
  readonly retainMs: number
  readonly onProblem: (error: unknown) => void
}

/** Looks every hour until it is stopped; gives back what stops it, after the statement in hand. */
export function startRetention(options: RetentionOptions): () => Promise<void> {
  const { inbox, retainMs, onProblem } = options
  const worker = openWorker({
    // A statement's worth at a time, with a pause for what the service is there for.
    look: async () => ((await inbox.removeOld(retainMs)) > 0 ? pauseMs : everyMs),
    longestPauseMs: everyMs,
    firstRetryMs: everyMs,
    onProblem,
  })
  worker.begin()
  return () => worker.stop()
}
