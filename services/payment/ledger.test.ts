import { sql } from 'kysely'
import { afterEach, expect, test } from 'vitest'
import { openDatabase, type Database } from '../shared/database/database.ts'
import { isUniqueViolation } from '../shared/database/errors.ts'
import { newFile } from '../shared/testing/ask.ts'
import { balancesByPayment, LedgerError, post, type Move } from './ledger.ts'
import { paymentMigrations, type PaymentTables } from './schema.ts'

const open: Database<PaymentTables>[] = []

async function openLedger() {
  const database = await openDatabase<PaymentTables>(
    { kind: 'sqlite', file: newFile('payment') },
    paymentMigrations('sqlite'),
  )
  open.push(database)
  const { db } = database
  return { db, post: (move: Partial<Move> = {}) => db.transaction().execute((tx) => post(tx, [{ ...hold, ...move }])) }
}

afterEach(async () => {
  for (const database of open.splice(0)) await database.close()
})

const hold: Move = { posting: 'hold', paymentId: 'p1', from: 'customer', to: 'held', cents: 1999, at: 0 }

test('balances say where the money of a payment is', async () => {
  const { db, post } = await openLedger()
  await post()
  await post({ posting: 'capture', from: 'held', to: 'escrow' })
  await post({ paymentId: 'p2', cents: 50 })
  expect(Object.fromEntries(await balancesByPayment(db))).toEqual({
    p1: { customer: -1999, held: 0, escrow: 1999, runner: 0 },
    p2: { customer: -50, held: 50, escrow: 0, runner: 0 },
  })
  expect([...(await balancesByPayment(db, 'p2')).keys()]).toEqual(['p2'])
})

test('a business key is used once, whatever the amount, and the second transaction leaves nothing', async () => {
  const { db, post } = await openLedger()
  await post()
  await expect(post({ cents: 1 })).rejects.toSatisfy(isUniqueViolation)
  expect((await balancesByPayment(db)).get('p1')).toMatchObject({ held: 1999 })
})

test.each([
  ['part of a cent', { cents: 0.5 }],
  ['nothing', { cents: 0 }],
  ['no number', { cents: Number.NaN }],
  ['money from an account to itself', { to: 'customer' as const }],
])('a transaction that moves %s is not written', async (_what, move) => {
  const { db, post } = await openLedger()
  await expect(post(move)).rejects.toThrow(LedgerError)
  expect(await db.selectFrom('ledger_transactions').selectAll().execute()).toEqual([])
})

test('what is in the books cannot be changed or removed', async () => {
  const { db, post } = await openLedger()
  await post()
  for (const statement of [
    'update ledger_entries set cents = 1',
    'delete from ledger_entries',
    'update ledger_transactions set created_at = 1',
    'delete from ledger_transactions',
  ]) {
    await expect(sql.raw(statement).execute(db)).rejects.toThrow('append-only')
  }
  expect((await balancesByPayment(db)).get('p1')).toMatchObject({ held: 1999 })
})
