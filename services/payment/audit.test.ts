import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterEach, expect, test } from 'vitest'
import { openDatabase, type Database } from '../shared/database/database.ts'
import { newFile } from '../shared/testing/ask.ts'
import { auditPayments } from './audit.ts'
import { post } from './ledger.ts'
import { moneyMover, settle } from './money-mover.ts'
import { beginPayment } from './rows.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { paymentMigrations, type PaymentTables } from './schema.ts'

const open: Database<PaymentTables>[] = []

afterEach(async () => {
  for (const database of open.splice(0)) await database.close()
})

/** A payment of 1999 cents that is held, with books and sandbox in order. */
async function heldPayment() {
  const target = { kind: 'sqlite', file: newFile('payment') } as const
  const database = await openDatabase<PaymentTables>(target, paymentMigrations('sqlite'))
  open.push(database)
  const { db } = database
  const request = {
    orderId: 'o1',
    customerId: 'c1',
    cents: 1999,
    description: null,
    stripeCustomerId: null,
    paymentMethodId: null,
    returnUrl: null,
  }
  const begun = { commandId: 'c1', sagaId: 's1', gateway: 'sandbox', expiresAt: 1 } as const
  const row = await beginPayment(db, request, begun, 0)
  const settlement = await moneyMover(db, { sandbox: sandboxGateway(db) }).hold(row)
  if (settlement === null) throw new Error('undone')
  await db.transaction().execute((tx) => settle(tx, [settlement], 0))
  return { database, db, paymentId: row.payment_id }
}

test('a payment in order is no problem, and the totals say where the money is', async () => {
  const { database } = await heldPayment()
  expect(await auditPayments(database)).toEqual({
    ok: true,
    problems: [],
    totals: { payments: 1, cents: { customer: -1999, held: 1999, escrow: 0, runner: 0 } },
  })
})

test.each([
  [
    'a hold of a payment that is undone, in books and gateway',
    `update payments set status = 'REVERTED'`,
    ['is REVERTED over 1999 cents, but the books have customer -1999, held 1999', 'but the gateway has'],
  ],
  [
    'a payment that says it paid',
    `update payments set status = 'SUCCEEDED'`,
    ['but the books have', 'but the gateway'],
  ],
  [
    'another amount',
    `update payments set cents = 2000`,
    ['over 2000 cents, but the books', 'over 2000 cents, but the g'],
  ],
  ['a hold that the gateway lost', `delete from sandbox_intents`, ['but the gateway has nothing']],
  [
    'a second hold at the gateway',
    `insert into sandbox_intents select 'pi_2', payment_id, cents, card, status from sandbox_intents`,
    ['but the gateway has customer -3998, held 3998'],
  ],
  [
    'a transfer of money that is only held',
    `insert into sandbox_transfers select 'tr_2', intent_id, 'acct', cents, 0 from sandbox_intents`,
    ['but the gateway has customer -1999, held 1999, escrow -1999, runner 1999'],
  ],
  [
    'money of a payment that is not there',
    `delete from payments`,
    ['the books have money of payment', 'the gateway has money of payment'],
  ],
  [
    'an entry without its other side',
    `insert into ledger_entries select business_key, 'runner', 5 from ledger_transactions`,
    ['does not balance: it is off by 5 cents', 'but the books have'],
  ],
  [
    'a transaction without entries',
    `insert into ledger_transactions values ('capture:x', 'x', 0)`,
    ['transaction capture:x does not balance'],
  ],
])('%s is found, and nothing else', async (_what, tamper, expected) => {
  const { database, db } = await heldPayment()
  await sql.raw(tamper).execute(db)
  const { ok, problems } = await auditPayments(database)
  expect(ok).toBe(false)
  expect(problems).toEqual(expected.map((text) => expect.stringContaining(text)))
})

test('money moved twice in the books is found while the payment is still being released', async () => {
  const { database, db, paymentId } = await heldPayment()
  await sql`update payments set status = 'RELEASING'`.execute(db)
  expect((await auditPayments(database)).problems).toEqual([])
  const move = { paymentId, from: 'customer', to: 'runner', cents: 1999, at: 0 } as const
  await db.transaction().execute((tx) => post(tx, [{ ...move, posting: 'release' }]))
  expect((await auditPayments(database)).problems).toEqual([
    expect.stringContaining('the books have customer -3998, held 1999, runner 1999'),
  ])
})

test('a transfer of a hold that the gateway does not have is found', async () => {
  const { database, db } = await heldPayment()
  await sql`insert into sandbox_transfers values ('tr_stray', 'pi_nobody', 'acct', 5, 0)`.execute(db)
  const { problems } = await auditPayments(database)
  expect(problems).toEqual(['the gateway has transferred tr_stray of a hold that there is not'])
})

test('of thousands of payments each is looked at, and others get their turn in between', async () => {
  const { database, db } = await heldPayment()
  const count = 2_999
  await sql`with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
    insert into payments (payment_id, command_id, order_id, customer_id, saga_id, cents, status, gateway, attempt, version,
      created_at, updated_at, expires_at)
    select printf('many-%06d', i), printf('c-%d', i), printf('o-%d', i), 'c', 's', 100, iif(i = 2500, 'AUTHORIZED', 'FAILED'),
      'stripe', 0, 0, 0, 0, 0 from n`.execute(db)
  const auditing = auditPayments(database)
  let [turns, done] = [0, false]
  void auditing.then(() => (done = true))
  while (!done) {
    await turn()
    await db.selectFrom('payments').select('payment_id').limit(1).execute()
    turns += 1
  }
  const { problems, totals } = await auditing
  expect(totals).toEqual({ payments: 3_000, cents: { customer: -1999, held: 1999, escrow: 0, runner: 0 } })
  expect(problems).toEqual(['payment many-002500 is AUTHORIZED over 100 cents, but the books have nothing'])
  expect(turns).toBeGreaterThan(10)
})
