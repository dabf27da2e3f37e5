/**
 * How often somebody has tried, counted in the database: replicas count together, and a restart forgets nothing.
 *
 * Invariants:
 * - a try is counted before it is made: a thousand at once get no further than a thousand one after the other. While it is
 *   not known how they end, those that would be too many are told to come again in a moment, and not that they were wrong;
 * - one that is refused is not counted, and makes nobody wait longer than he was told;
 * - whoever counts several takes them in the order of what they are: nobody waits for who waits for him.
 */
import type { Kysely, Transaction } from 'kysely'
import { retryContention } from '../shared/database/database.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { keyOf } from '../shared/http/idempotency-key.ts'
import { windowMs } from './domain.ts'
import type { AuthTables } from './schema.ts'

type Db = Kysely<AuthTables>

export interface Counted {
  readonly of: readonly [what: string, ...whom: string[]]
  /** Failures in a window. */
  readonly most: number
}

/** As long as a password takes with some before it. */
const momentSeconds = 2

/**
 * @param what there is too much of, for the sentence
 * @throws HttpError 429 where one of them is reached; nothing is counted then
 */
export async function beginAttempt(db: Db, counted: readonly Counted[], now: number, what: string): Promise<void> {
  await retryContention(() =>
    db.transaction().execute(async (tx) => {
      for (const { of, most } of counted) {
        const { count, failed, since } = await countOne(tx, keyOf(...of), now)
        if (failed >= most) {
          const seconds = Math.max(1, Math.ceil((since + windowMs - now) / 1_000))
          throw new HttpError(429, `Too many ${what}: try again in ${inWords(seconds)}.`, seconds)
        }
        if (count > most)
          throw new HttpError(429, 'Too many log-ins are being looked at now: try again in a moment.', momentSeconds)
      }
    }),
  )
}

const inWords = (seconds: number): string =>
  seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} ${seconds === 1 ? 'second' : 'seconds'}`

async function countOne(tx: Transaction<AuthTables>, key: string, now: number) {
  return tx
    .insertInto('attempts')
    .values({ key, count: 1, failed: 0, since: now })
    .onConflict((conflict) =>
      conflict.column('key').doUpdateSet((row) => {
        const isOver = row('attempts.since', '<=', now - windowMs)
        return {
          count: row
            .case()
            .when(isOver)
            .then(1)
            .else(row('attempts.count', '+', 1))
            .end(),
          failed: row.case().when(isOver).then(0).else(row.ref('attempts.failed')).end(),
          since: row.case().when(isOver).then(now).else(row.ref('attempts.since')).end(),
        }
      }),
    )
    .returning(['count', 'failed', 'since'])
    .executeTakeFirstOrThrow()
}

/** It stays counted, until its window is over. */
export const failAttempt = (db: Db, counted: readonly Counted[]): Promise<void> =>
  eachOf(db, counted, async (tx, key) => {
    await tx
      .updateTable('attempts')
      .set((row) => ({ failed: row('failed', '+', 1) }))
      .where('key', '=', key)
      .whereRef('failed', '<', 'count')
      .execute()
  })

/** It is not counted any more. */
export const withdrawAttempt = (db: Db, counted: readonly Counted[]): Promise<void> =>
  eachOf(db, counted, async (tx, key) => {
    await tx
      .updateTable('attempts')
      .set((row) => ({ count: row('count', '-', 1) }))
      .where('key', '=', key)
      .whereRef('failed', '<', 'count')
      .execute()
  })

/** Nor are those before it. */
export const forgetAttempts = (db: Db, counted: readonly Counted[]): Promise<void> =>
  eachOf(db, counted, async (tx, key) => {
    await tx.deleteFrom('attempts').where('key', '=', key).execute()
  })

const eachOf = (
  db: Db,
  counted: readonly Counted[],
  change: (tx: Transaction<AuthTables>, key: string) => Promise<void>,
): Promise<void> =>
  retryContention(() =>
    db.transaction().execute(async (tx) => {
      for (const { of } of counted) await change(tx, keyOf(...of))
    }),
  )

/** Removes the counts of windows that are over. */
export async function removeOldAttempts(db: Db, now: number): Promise<void> {
  await db
    .deleteFrom('attempts')
    .where('since', '<=', now - windowMs)
    .execute()
}
