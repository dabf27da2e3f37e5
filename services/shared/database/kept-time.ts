/**
 * The time by which old rows are removed: what the database remembers of it, and how long this process has run since.
 *
 * A machine whose clock jumps ahead must not make yesterday's answers old: their commands could come again and would be done
 * twice. Whatever the clock says, this time goes on no faster than the hours of the running processes, and by one day at
 * each start for the time when none ran. Where that is too little, rows are kept longer, which harms nobody.
 */
import { sql, type Kysely } from 'kysely'
import type { Database } from './database.ts'
import type { InboxTables } from './inbox.ts'

/** At a start, for the time when no process ran. */
const leapMs = 86_400_000

/**
 * Gives the time, and remembers it.
 *
 * @param now the clock of this machine, Unix milliseconds
 * @param elapsed milliseconds that never jump
 */
export function keptTime<S extends InboxTables>(
  { db }: Database<S>,
  now: () => number,
  elapsed: () => number = () => performance.now(),
): () => Promise<number> {
  const rows = db as unknown as Kysely<InboxTables & { kept_time: { id: number; at: number } }>
  let looked: number | null = null
  return async () => {
    if (looked === null)
      await sql`create table if not exists kept_time (id integer primary key, at bigint not null)`.execute(db)
    const [mostMs, lookedAt] = [looked === null ? leapMs : elapsed() - looked, elapsed()]
    const remembered = await rows.selectFrom('kept_time').select('at').executeTakeFirst()
    const { newest } = await rows
      .selectFrom('inbox')
      .select((select) => select.fn.max('stored_at').as('newest'))
      .executeTakeFirstOrThrow()
    const before = remembered?.at ?? newest ?? now()
    const at = Math.min(now(), before + mostMs)
    await rows
      .insertInto('kept_time')
      .values({ id: 1, at })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ at }))
      .execute()
    looked = lookedAt
    return at
  }
}
