/**
 * Gives back what was held until now.
 *
 * Invariants: never early by the clock of this service; a hold is ended once, whichever process finds it first.
 */
import type { Kysely } from 'kysely'
import { retryContention } from '../shared/database/database.ts'
import { openWorker, type Sleep, type Worker } from '../shared/worker.ts'
import { endExpired, nextExpiry } from './rows.ts'
import type { StockTables } from './schema.ts'

export interface ExpiryOptions {
  readonly db: Kysely<StockTables>
  readonly now: () => number
  readonly sleep?: Sleep
  readonly onProblem: (error: unknown) => void
}

const longestSleepMs = 10_000
const holdsAtOnce = 200

export function openExpiry({ db, now, sleep, onProblem }: ExpiryOptions): Worker {
  const some = (): Promise<number> =>
    retryContention(() => db.transaction().execute((tx) => endExpired(tx, now(), holdsAtOnce)))
  return openWorker({
    async look() {
      while ((await some()) === holdsAtOnce);
      const next = await nextExpiry(db)
      return next === null ? longestSleepMs : next - now()
    },
    longestPauseMs: longestSleepMs,
    onProblem,
    ...(sleep === undefined ? {} : { sleep }),
  })
}
