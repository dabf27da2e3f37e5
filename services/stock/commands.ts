/**
 * How the Stock Service obeys its commands.
 *
 * Invariants:
 * - of an order all products are taken, or none; what is taken is there, whoever takes at the same moment;
 * - a transaction takes once, also where its command comes again under another id, and what it took goes back once;
 * - an undo that comes first keeps the command of its transaction out.
 *
 * What an order takes does not expire: no command of the contract says that the order is complete, so time alone could never
 * tell a hold that was forgotten from products that were sold. Nor need it: a saga that does not complete undoes what it
 * did, or waits for a person, and `GET /stock/holds/<transaction>` shows what it has. Holds of a limited time are for pages
 * (`routes/holds.ts`).
 */
import type { Transaction } from 'kysely'
import { done, handleAll, rejected, type Answer, type Handled } from 'ordersaga/participant'
import { linesOf, sameLines } from './domain.ts'
import { reduceStock, rollbackStock } from './messages.ts'
import { findReservations, giveBack, linesTaken, reserve, type Wanted } from './rows.ts'
import type { StockTables } from './schema.ts'

type Tx = Transaction<StockTables>

export function stockCommands(now: () => number): readonly Handled<Tx>[] {
  return [
    handleAll(reduceStock, async (tx: Tx, commands) => {
      const known = await findReservations(
        tx,
        commands.map(({ sagaId }) => sagaId),
      )
      const wanted = commands.flatMap(({ sagaId, payload }): Wanted[] =>
        known.has(sagaId)
          ? []
          : [
              {
                transactionId: sagaId,
                lines: linesOf(payload.products),
                state: 'TAKEN',
                expiresAt: null,
                heldBy: null,
              },
            ],
      )
      const refusals = await reserve(tx, wanted, now())
      const why = new Map(wanted.map(({ transactionId }, index) => [transactionId, refusals[index] ?? null]))
      const answers: Answer<null>[] = []
      for (const { sagaId, payload } of commands) {
        const before = known.get(sagaId)
        const refusal =
          before === undefined
            ? why.get(sagaId)
            : before.state === 'RETURNED'
              ? 'it was undone before it arrived'
              : sameLines(await linesTaken(tx, sagaId), linesOf(payload.products))
                ? null
                : 'its transaction has taken something else already'
        answers.push(refusal == null ? done(null) : rejected(refusal))
      }
      return answers
    }),

    handleAll(rollbackStock, async (tx: Tx, commands) => {
      await giveBack(
        tx,
        commands.map(({ sagaId }) => sagaId),
        now(),
      )
      return commands.map(() => done(null))
    }),
  ]
}
