/**
 * Ends what nobody else will: lets go of holds past their time and of authorisations that nobody came back for, and finishes
 * work that was begun and left. `due.ts` says when that is.
 *
 * Invariants:
 * - a hold past its time is undone like any other payment, never merely forgotten;
 * - replicas need no leader: a row that two of them take is changed by one, and the gateway hears the same keys;
 * - a payment that cannot be ended makes way for the next: what a gateway refuses or does not answer is tried ever more
 *   rarely, and a page has only what is due.
 */
import { openWorker, type Worker } from '../shared/worker.ts'
import type { PaymentContext } from './commands.ts'
import { namesOf } from './gateways.ts'
import { settle } from './money-mover.ts'
import { changePayment, findDue, putOff } from './rows.ts'
import { fillDueTimes, type PaymentRow } from './schema.ts'

const lookEveryMs = 10_000
const rowsAtOnce = 100

/** One look at what is due; a payment that cannot be ended now is reported and put off. */
export async function endOverdue(context: PaymentContext, onProblem: (error: unknown) => void): Promise<void> {
  const { db, gateways, now } = context
  for (const row of await findDue(db, now(), namesOf(gateways), rowsAtOnce)) {
    try {
      const claimed = await claim(context, row)
      if (claimed === undefined) continue // somebody has just released or reverted it
      await end(context, claimed).catch((error: unknown) => {
        onProblem(error)
        return putOff(db, claimed, now())
      })
    } catch (error) {
      onProblem(error)
    }
  }
}

async function claim({ db, now }: PaymentContext, row: PaymentRow): Promise<PaymentRow | undefined> {
  if (row.status === 'RELEASING' || row.status === 'REVERTING') return row
  return changePayment(db, row, { status: 'REVERTING', revert_reason: 'abandoned' }, now())
}

async function end({ db, mover, now }: PaymentContext, claimed: PaymentRow): Promise<void> {
  const settlement = await (claimed.status === 'RELEASING' ? mover.release(claimed) : mover.revert(claimed))
  await db.transaction().execute((tx) => settle(tx, [settlement], now()))
  const { refused } = settlement
  if (refused !== null) throw new Error(`payment ${claimed.payment_id} could not be ended: ${refused.message}`)
}

export function openUpkeep(context: PaymentContext, onProblem: (error: unknown) => void): Worker {
  let filled = false
  return openWorker({
    async look() {
      if (!filled) await fillDueTimes.execute(context.db).catch(onProblem)
      filled = true
      await endOverdue(context, onProblem)
      return lookEveryMs
    },
    longestPauseMs: lookEveryMs,
    firstRetryMs: lookEveryMs,
    onProblem,
  })
}
