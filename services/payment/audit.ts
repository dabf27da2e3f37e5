/**
 * Checks that payments, books and sandbox gateway tell the same story. Reads only: some payments at a time, each lot in a
 * snapshot of its own, so that orders go on between them. What is checked is true of each payment by itself.
 *
 * A payment whose outcome is being found out (`INITIATING`, `RELEASING`, `REVERTING`) is allowed what it may be in the
 * middle of, and no more: money moved twice is a problem at any moment.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { Database } from '../shared/database/database.ts'
import { balancesByPayment, nothing, within, type Account, type Balances, type PaymentRange } from './ledger.ts'
import type { PaymentRow, PaymentStatus, PaymentTables } from './schema.ts'

const cents = z.int().meta({ example: 1299 })

export const AuditView = z.object({
  ok: z.boolean(),
  problems: z.array(z.string()).readonly().meta({ description: 'A sentence for each', example: [] }),
  totals: z.object({
    payments: z.int().meta({ example: 1 }),
    cents: z
      .object({ customer: z.int().meta({ example: -1299 }), held: cents, escrow: cents, runner: cents })
      .readonly(),
  }),
})

export type Audit = z.infer<typeof AuditView>

/** Where a payment's money may be, by its status; `none` means that it never left the customer. */
const places: Readonly<Record<PaymentStatus, readonly (Account | 'none')[]>> = {
  INITIATING: ['none'],
  AUTHORIZED: ['held'],
  RELEASING: ['held', 'escrow'],
  CAPTURED: ['escrow'],
  SUCCEEDED: ['runner'],
  REVERTING: ['none', 'held', 'escrow', 'runner'],
  REVERTED: ['none'],
  FAILED: ['none'],
}

/** Where the gateway may have the money; one place more than the books while a change is not written down yet. */
const gatewayPlaces: typeof places = {
  ...places,
  INITIATING: ['none', 'held'],
  RELEASING: ['held', 'escrow', 'runner'],
}

/** Some milliseconds of work, for which nobody waits long. */
const lot = 200

export async function auditPayments(database: Database<PaymentTables>): Promise<Audit> {
  const problems: string[] = []
  let [payments, cents] = [0, nothing]
  for (let after: string | null = null, last = false; !last;) {
    const range: PaymentRange = { after, upTo: await lastOfLot(database, after) }
    const found = await snapshot(database, (db) => auditRange(db, range))
    problems.push(...found.problems)
    payments += found.payments
    cents = add(cents, found.cents)
    after = range.upTo
    last = after === null
    await turn() // SQLite answers at once: without it no other work would get in between
  }
  problems.push(...(await strayTransfers(database.db)))
  return { ok: problems.length === 0, problems, totals: { payments, cents } }
}

/** Null where there are no more than a lot. */
async function lastOfLot({ db }: Database<PaymentTables>, after: string | null): Promise<string | null> {
  const row = await db
    .selectFrom('payments')
    .select('payment_id')
    .where(within({ after, upTo: null }))
    .orderBy('payment_id')
    .offset(lot - 1)
    .limit(1)
    .executeTakeFirst()
  return row?.payment_id ?? null
}

/** Whatever is known of payments with these ids, by whomever. */
async function auditRange(db: Kysely<PaymentTables>, range: PaymentRange) {
  const payments = await db.selectFrom('payments').selectAll().where(within(range)).orderBy('payment_id').execute()
  const balances = await balancesByPayment(db, range)
  return {
    problems: [
      ...(await unbalanced(db, range)),
      ...strangers(payments, balances),
      ...payments.flatMap((row) => disagreement('the books have', row, balances.get(row.payment_id), places)),
      ...(await againstSandbox(db, payments, range)),
    ],
    payments: payments.length,
    cents: [...balances.values()].reduce(add, nothing),
  }
}

function snapshot<T>({ db, dialect }: Database<PaymentTables>, read: (db: Kysely<PaymentTables>) => Promise<T>) {
  const transaction = db.transaction()
  // SQLite has one writer at a time: every transaction sees one state.
  return (dialect === 'postgres' ? transaction.setIsolationLevel('repeatable read') : transaction).execute(read)
}

async function unbalanced(db: Kysely<PaymentTables>, range: PaymentRange): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('ledger_transactions')
    .leftJoin('ledger_entries', 'ledger_entries.business_key', 'ledger_transactions.business_key')
    .select('ledger_transactions.business_key')
    .select((select) => [
      select.fn.count<number>('ledger_entries.account').as('entries'),
      select.cast<number>(select.fn.sum('ledger_entries.cents'), 'bigint').as('cents'),
    ])
    .where(within(range))
    .groupBy('ledger_transactions.business_key')
    .execute()
  return rows
    .filter(({ entries, cents }) => entries < 2 || cents !== 0)
    .map(({ business_key, cents }) => `transaction ${business_key} does not balance: it is off by ${cents ?? 0} cents`)
}

function strangers(payments: readonly PaymentRow[], balances: ReadonlyMap<string, Balances>): readonly string[] {
  const known = new Set(payments.map(({ payment_id }) => payment_id))
  return [...balances.keys()]
    .filter((id) => !known.has(id))
    .map((id) => `the books have money of payment ${id}, which there is not`)
}

function disagreement(
  who: string,
  row: PaymentRow,
  balances: Balances | undefined,
  allowed: typeof places,
): readonly string[] {
  const found = balances ?? nothing
  if (allowed[row.status].some((place) => isAllAt(place, row.cents, found))) return []
  return [`payment ${row.payment_id} is ${row.status} over ${row.cents} cents, but ${who} ${describe(found)}`]
}

function isAllAt(place: Account | 'none', cents: number, found: Balances): boolean {
  const expected = place === 'none' ? nothing : { ...nothing, customer: -cents, [place]: cents }
  return accounts.every((account) => found[account] === expected[account])
}

const accounts: readonly Account[] = ['customer', 'held', 'escrow', 'runner']

const describe = (balances: Balances): string =>
  accounts.every((account) => balances[account] === 0)
    ? 'nothing'
    : accounts
        .filter((account) => balances[account] !== 0)
        .map((account) => `${account} ${balances[account]}`)
        .join(', ')

const add = (one: Balances, other: Balances): Balances => ({
  customer: one.customer + other.customer,
  held: one.held + other.held,
  escrow: one.escrow + other.escrow,
  runner: one.runner + other.runner,
})

/** The sandbox's own rows, as balances of the same shape: what is held, taken and transferred there, however often. */
async function againstSandbox(
  db: Kysely<PaymentTables>,
  payments: readonly PaymentRow[],
  range: PaymentRange,
): Promise<readonly string[]> {
  const intents = await db.selectFrom('sandbox_intents').selectAll().where(within(range)).execute()
  const transfers = await db
    .selectFrom('sandbox_transfers')
    .innerJoin('sandbox_intents', 'sandbox_intents.intent_id', 'sandbox_transfers.intent_id')
    .select(['sandbox_intents.payment_id', 'sandbox_transfers.cents'])
    .where('reversed', '=', 0)
    .where(within(range))
    .execute()
  const moves: [paymentId: string, balances: Balances][] = []
  for (const { payment_id, status, cents } of intents) {
    if (status === 'requires_capture') moves.push([payment_id, { ...nothing, customer: -cents, held: cents }])
    if (status === 'succeeded') moves.push([payment_id, { ...nothing, customer: -cents, escrow: cents }])
  }
  for (const { payment_id, cents } of transfers) moves.push([payment_id, { ...nothing, escrow: -cents, runner: cents }])
  const balances = new Map<string, Balances>()
  for (const [id, move] of moves) balances.set(id, add(balances.get(id) ?? nothing, move))

  const ours = payments.filter(({ gateway }) => gateway === 'sandbox')
  const known = new Set(ours.map(({ payment_id }) => payment_id))
  return [
    ...[...balances.keys()]
      .filter((id) => !known.has(id))
      .map((id) => `the gateway has money of payment ${id}, which there is not`),
    ...ours.flatMap((row) => disagreement('the gateway has', row, balances.get(row.payment_id), gatewayPlaces)),
  ]
}

async function strayTransfers(db: Kysely<PaymentTables>): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('sandbox_transfers')
    .leftJoin('sandbox_intents', 'sandbox_intents.intent_id', 'sandbox_transfers.intent_id')
    .select('sandbox_transfers.transfer_id')
    .where('sandbox_intents.intent_id', 'is', null)
    .where('reversed', '=', 0)
    .execute()
  return rows.map(({ transfer_id }) => `the gateway has transferred ${transfer_id} of a hold that there is not`)
}
