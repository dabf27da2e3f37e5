import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { openDatabase } from '../shared/database/database.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { balancesByPayment, post } from './ledger.ts'
import { paymentMigrations, type PaymentTables } from './schema.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the ledger on a real server', () => {
  test('what is in the books cannot be changed, removed or emptied', async () => {
    const place = await postgresPlace()
    const { db, close } = await openDatabase<PaymentTables>(place.target, paymentMigrations('postgres'))
    try {
      const move = { posting: 'hold', paymentId: 'p1', from: 'customer', to: 'held', cents: 1999, at: 0 } as const
      await db.transaction().execute((tx) => post(tx, [move]))
      for (const statement of [
        'update ledger_entries set cents = 1',
        'delete from ledger_entries',
        'update ledger_transactions set created_at = 1',
        'delete from ledger_transactions',
        'truncate ledger_transactions, ledger_entries',
      ]) {
        await expect(sql.raw(statement).execute(db)).rejects.toThrow('append-only')
      }
      expect((await balancesByPayment(db)).get('p1')).toMatchObject({ customer: -1999, held: 1999 })
    } finally {
      await close()
      await place.remove?.()
    }
  })
})
