/**
 * The books: where each cent of each payment is, in double entry.
 *
 * Money is with one of four accounts per payment: the customer, held on the card, in escrow with us, the runner. Each
 * transaction moves an amount from one to another.
 *
 * Invariants:
 * - the entries of a transaction add up to nothing, in whole cents;
 * - nothing is ever changed or deleted (triggers refuse it); what was wrong is put right by a further transaction;
 * - a business key, such as `hold:<payment>`, is used once: a second effect of the same kind cannot be written.
 */
import { sql, type Kysely, type RawBuilder, type Transaction } from 'kysely'

export type Account = 'customer' | 'held' | 'escrow' | 'runner'

/**
 * `hold` and `capture` and `release` lead from the customer to the runner; `reversal` brings the runner's money back into
 * escrow; `revert` gives back to the customer what is held or in escrow.
 */
export type Posting = 'hold' | 'capture' | 'release' | 'reversal' | 'revert'

export interface LedgerTables {
  ledger_transactions: { business_key: string; payment_id: string; created_at: number }
  ledger_entries: { business_key: string; account: Account; cents: number }
}

export class LedgerError extends Error {
  override readonly name = 'LedgerError'
}

export interface Move {
  readonly posting: Posting
  readonly paymentId: string
  readonly from: Account
  readonly to: Account
  readonly cents: number
  readonly at: number
}

/**
 * Writes a transaction for each move.
 *
 * @throws where a business key was used before, whatever the amount
 */
export async function post<S extends LedgerTables>(tx: Transaction<S>, moves: readonly Move[]): Promise<void> {
  if (moves.length === 0) return
  const keyOf = ({ posting, paymentId }: Move): string => `${posting}:${paymentId}`
  const entries = moves.flatMap((move) => {
    const both = [
      { business_key: keyOf(move), account: move.from, cents: -move.cents },
      { business_key: keyOf(move), account: move.to, cents: move.cents },
    ]
    checkBalanced(both)
    return both
  })
  const transactions = moves.map((move) => ({
    business_key: keyOf(move),
    payment_id: move.paymentId,
    created_at: move.at,
  }))
  const ledger = tx as unknown as Transaction<LedgerTables>
  await ledger.insertInto('ledger_transactions').values(transactions).execute()
  await ledger.insertInto('ledger_entries').values(entries).execute()
}

function checkBalanced(entries: readonly LedgerTables['ledger_entries'][]): void {
  const total = entries.reduce((sum, { cents }) => sum + cents, 0)
  const whole = entries.every(({ cents }) => Number.isSafeInteger(cents) && cents !== 0)
  const accounts = new Set(entries.map(({ account }) => account))
  if (total === 0 && whole && accounts.size === entries.length) return
  throw new LedgerError(`a ledger transaction must move whole cents between two accounts: ${JSON.stringify(entries)}`)
}

export type Balances = Readonly<Record<Account, number>>

export const nothing: Balances = { customer: 0, held: 0, escrow: 0, runner: 0 }

/** Payments by their ids, as the database sorts them: those after the one, up to and with the other. */
export interface PaymentRange {
  readonly after: string | null
  readonly upTo: string | null
}

/** A condition on `payment_id`. */
export const within = ({ after, upTo }: PaymentRange): RawBuilder<boolean> =>
  sql<boolean>`(${after === null ? sql`1 = 1` : sql`payment_id > ${after}`} and ${
    upTo === null ? sql`1 = 1` : sql`payment_id <= ${upTo}`
  })`

/** Where the money of each payment is; payments without entries are left out. */
export async function balancesByPayment<S extends LedgerTables>(
  db: Kysely<S>,
  which?: string | PaymentRange,
): Promise<ReadonlyMap<string, Balances>> {
  let query = (db as unknown as Kysely<LedgerTables>)
    .selectFrom('ledger_entries')
    .innerJoin('ledger_transactions', 'ledger_transactions.business_key', 'ledger_entries.business_key')
    .select(['payment_id', 'account'])
    // PostgreSQL adds up to a numeric, which would come as text.
    .select(sql<number>`cast(sum(cents) as bigint)`.as('cents'))
    .groupBy(['payment_id', 'account'])
  if (typeof which === 'string') query = query.where('payment_id', '=', which)
  else if (which !== undefined) query = query.where(within(which))
  const balances = new Map<string, Balances>()
  for (const { payment_id, account, cents } of await query.execute()) {
    balances.set(payment_id, { ...(balances.get(payment_id) ?? nothing), [account]: cents })
  }
  return balances
}
