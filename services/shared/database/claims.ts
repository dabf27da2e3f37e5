/**
 * Who has a transaction: what was made in it, or its undo, which came first. One row under the transaction's id decides, so
 * that of a command and its undo, whichever processes have them, the second sees what the first has done.
 */
import type { Migration, Transaction } from 'kysely'

export interface ClaimTables {
  claims: {
    transaction_id: string
    /** The id of what was made; null where it was undone before it came. */
    made_id: string | null
  }
}

export const claimMigration: Migration = {
  async up(db) {
    await db.schema
      .createTable('claims')
      .addColumn('transaction_id', 'text', (column) => column.primaryKey())
      .addColumn('made_id', 'text')
      .execute()
  },
}

export interface Claim {
  readonly transactionId: string
  readonly madeId: string | null
}

/** Databases take so many values in one statement, and one that is longer is no faster. */
const mostRows = 500

/** Claims each transaction that nobody has claimed. @returns by transaction, who has it now */
export async function claim<S extends ClaimTables>(
  transaction: Transaction<S>,
  claims: readonly Claim[],
): Promise<ReadonlyMap<string, string | null>> {
  const tx = transaction as unknown as Transaction<ClaimTables>
  const held = new Map<string, string | null>()
  // In one order, so that two who claim the same never wait for each other.
  const sorted = claims.toSorted((one, other) => (one.transactionId < other.transactionId ? -1 : 1))
  for (let at = 0; at < sorted.length; at += mostRows) {
    const some = sorted.slice(at, at + mostRows)
    const rows = some.map(({ transactionId, madeId }) => ({ transaction_id: transactionId, made_id: madeId }))
    await tx
      .insertInto('claims')
      .values(rows)
      .onConflict((conflict) => conflict.column('transaction_id').doNothing())
      .execute()
    const ids = rows.map(({ transaction_id }) => transaction_id)
    const found = await tx.selectFrom('claims').selectAll().where('transaction_id', 'in', ids).execute()
    for (const { transaction_id, made_id } of found) held.set(transaction_id, made_id)
  }
  return held
}
