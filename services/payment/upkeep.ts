/**
 * Ends what nobody else will: lets go of holds past their time, and finishes work that was begun and left.
 *
 * Invariants:
 * - a hold past its time is undone like any other payment, never merely forgotten;
 * - replicas need no leader: a row that two of them take is changed by one, and the gateway hears the same keys;
 * - work whose gateway keeps refusing is tried ever more rarely, at most once a day.
 */
import type { PaymentContext } from './commands.ts'
import { namesOf } from './gateways.ts'
import { settle } from './payments.ts'
import { changePayment, findOverdue } from './rows.ts'
import type { PaymentRow } from './schema.ts'

/** Left alone for so long, work has no command any more that is about to finish it. */
const unfinishedMs = 60_000
const longestPauseMs = 24 * 60 * 60_000
const lookEveryMs = 10_000
const rowsAtOnce = 100

/** One look at what is overdue; a payment that cannot be ended now is reported and left for the next look. */
export async function endOverdue(context: PaymentContext, onProblem: (error: unknown) => void): Promise<void> {
  const { db, gateways, now } = context
  for (const row of await findOverdue(db, now(), unfinishedMs, namesOf(gateways), rowsAtOnce)) {
    try {
      if (isDue(row, now())) await end(context, row)
    } catch (error) {
      onProblem(error)
    }
  }
}

function isDue(row: PaymentRow, now: number): boolean {
  const pause = Math.min(unfinishedMs * 2 ** row.attempt, longestPauseMs)
  return row.attempt === 0 || row.updated_at <= now - pause
}

async function end({ db, mover, now }: PaymentContext, row: PaymentRow): Promise<void> {
  const begun = row.status === 'RELEASING' || row.status === 'REVERTING'
  const claimed = begun ? row : await changePayment(db, row, { status: 'REVERTING', revert_reason: 'abandoned' }, now())
  if (claimed === undefined) return // somebody has just released or reverted it
  const settlement = await (claimed.status === 'RELEASING' ? mover.release(claimed) : mover.revert(claimed))
  await db.transaction().execute((tx) => settle(tx, [settlement], now()))
  const { refused } = settlement
  if (refused !== null) throw new Error(`payment ${row.payment_id} could not be ended: ${refused.message}`)
}

/** Looks again and again until it is stopped; gives back what stops it, after the look in hand. */
export function startUpkeep(context: PaymentContext, onProblem: (error: unknown) => void): () => Promise<void> {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let looking = look()

  async function look(): Promise<void> {
    await endOverdue(context, onProblem).catch(onProblem)
    if (!stopped) timer = setTimeout(() => void (looking = look()), lookEveryMs).unref()
  }

  return async () => {
    stopped = true
    clearTimeout(timer)
    await looking
  }
}
