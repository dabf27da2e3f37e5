/**
 * How often somebody has tried, counted in the database: replicas count together, and a restart forgets nothing.
 *
 * Invariants:
 * - a try is counted before it is made, so that a thousand at once are no more than a thousand one after the other;
 * - one that is refused is not counted, and makes nobody wait longer than he was told;
 * - whoever counts several takes them in one order: nobody waits for who waits for him.
 */
import type { Kysely, Transaction } from 'kysely'
import { retryContention } from '../shared/database/database.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { keyOf } from '../shared/http/idempotency-key.ts'
import { windowMs } from './domain.ts'
import type { AuthTables } from './schema.ts'

export interface Counted {
  /** What is counted, and of whom; of the first part there must be few at once who count in another order. */
  readonly of: readonly [what: string, ...whom: string[]]
  readonly most: number
}

const keysOf = (counted: readonly Counted[]): readonly string[] => counted.map(({ of }) => keyOf(...of))

/** @throws HttpError 429 where one of them has been reached; nothing is counted then */
export async function countAttempt(
  db: Kysely<AuthTables>,
  counted: readonly Counted[],
  now: number,
  what: string,
): Promise<void> {
  await retryContention(() =>
    db.transaction().execute(async (tx) => {
      for (const { of, most } of counted) {
        const { count, since } = await countOne(tx, keyOf(...of), now)
        if (count <= most) continue
        const seconds = Math.max(1, Math.ceil((since + windowMs - now) / 1_000))
        throw new HttpError(429, `${what}: try again in ${inWords(seconds)}`, seconds)
      }
    }),
  )
}

const inWords = (seconds: number): string =>
  seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} seconds`

async function countOne(tx: Transaction<AuthTables>, key: string, now: number) {
  return tx
    .insertInto('attempts')
    .values({ key, count: 1, since: now })
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
          since: row.case().when(isOver).then(now).else(row.ref('attempts.since')).end(),
        }
      }),
    )
    .returning(['count', 'since'])
    .executeTakeFirstOrThrow()
}

/** It was no wrong password after all. */
export async function uncountAttempt(db: Kysely<AuthTables>, counted: readonly Counted[]): Promise<void> {
  await retryContention(() =>
    db.transaction().execute(async (tx) => {
      for (const key of keysOf(counted))
        await tx
          .updateTable('attempts')
          .set((row) => ({ count: row('count', '-', 1) }))
          .where('key', '=', key)
          .where('count', '>', 0)
          .execute()
    }),
  )
}

/** The earlier ones count no more, either. */
export async function forgetAttempts(db: Kysely<AuthTables>, counted: readonly Counted[]): Promise<void> {
  await db.deleteFrom('attempts').where('key', 'in', keysOf(counted)).execute()
}

/** Removes the counts of windows that are over. */
export async function removeOldAttempts(db: Kysely<AuthTables>, now: number): Promise<void> {
  await db
    .deleteFrom('attempts')
    .where('since', '<=', now - windowMs)
    .execute()
}
