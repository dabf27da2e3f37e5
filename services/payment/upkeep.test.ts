import { afterEach, expect, test } from 'vitest'
import { openDatabase, type Database } from '../database/database.ts'
import { newFile } from '../testing/ask.ts'
import { auditPayments } from './audit.ts'
import type { Gateway } from './gateway.ts'
import { moneyMover, settle } from './payments.ts'
import { beginPayment, changePayment, findPayment } from './rows.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { paymentMigrations, type PaymentRow, type PaymentTables } from './schema.ts'
import { endOverdue } from './upkeep.ts'

const open: Database<PaymentTables>[] = []
const holdMs = 1_000_000
const minute = 60_000

afterEach(async () => {
  for (const database of open.splice(0)) await database.close()
})

async function setUp(change: (gateway: Gateway) => Gateway = (gateway) => gateway) {
  const target = { kind: 'sqlite', file: newFile('payment') } as const
  const database = await openDatabase<PaymentTables>(target, paymentMigrations('sqlite'))
  open.push(database)
  const { db } = database
  const gateways = { sandbox: change(sandboxGateway(db)) }
  const clock = { now: 0 }
  const problems: unknown[] = []
  const context = { db, gateways, mover: moneyMover(db, gateways), now: () => clock.now, holdMs }

  const begin = (paymentMethodId: string | null = null): Promise<PaymentRow> =>
    beginPayment(
      db,
      {
        orderId: 'o1',
        customerId: 'c1',
        cents: 1999,
        description: null,
        stripeCustomerId: null,
        paymentMethodId,
        returnUrl: null,
      },
      { commandId: 'c1', sagaId: 's1', gateway: 'sandbox', expiresAt: clock.now + holdMs },
      clock.now,
    )
  const hold = async (): Promise<PaymentRow> => {
    const settlement = await context.mover.hold(await begin())
    if (settlement === null) throw new Error('undone')
    const settled = await db.transaction().execute((tx) => settle(tx, [settlement], clock.now))
    return settled.get(settlement.row.payment_id) ?? settlement.row
  }
  const look = async (at: number): Promise<string | undefined> => {
    clock.now = at
    await endOverdue(context, (error) => problems.push(error))
    const row = await db.selectFrom('payments').selectAll().executeTakeFirstOrThrow()
    expect((await auditPayments(database)).problems).toEqual([])
    return (await findPayment(db, row.payment_id))?.status
  }
  return { db, context, begin, hold, look, problems }
}

test('a hold is let go when its time is over, and not before', async () => {
  const { hold, look, db } = await setUp()
  await hold()
  expect(await look(holdMs - 1)).toBe('AUTHORIZED')
  expect(await look(holdMs)).toBe('REVERTED')
  expect(await db.selectFrom('sandbox_intents').select('status').execute()).toEqual([{ status: 'canceled' }])
})

test('a payment whose authorisation was never settled is found out and undone when its time is over', async () => {
  const { begin, context, look, db } = await setUp()
  await context.mover.hold(await begin()) // and dies before it is written down
  expect(await look(holdMs - 1)).toBe('INITIATING')
  expect(await look(holdMs)).toBe('REVERTED')
  expect(await db.selectFrom('sandbox_intents').select('status').execute()).toEqual([{ status: 'canceled' }])
})

test.each([
  ['release', 'RELEASING', 'SUCCEEDED'],
  ['revert', 'REVERTING', 'REVERTED'],
] as const)('a %s that was left halfway is finished after a minute', async (_what, status, end) => {
  const { db, hold, look } = await setUp()
  await changePayment(db, await hold(), { status, runner_id: 'r1', runner_account: 'acct_1' }, 0)
  expect(await look(minute - 1)).toBe(status)
  expect(await look(minute)).toBe(end)
})

test('a revert that the gateway refuses is told of, tried ever more rarely, and succeeds when it is let', async () => {
  let stubborn = true
  const refused = { ok: false, code: 'stripe_error', message: 'not now' } as const
  const { db, hold, look, problems } = await setUp((gateway) => ({
    ...gateway,
    cancel: async (...call) => (stubborn ? refused : gateway.cancel(...call)),
  }))
  await changePayment(db, await hold(), { status: 'REVERTING' }, 0)
  await look(minute)
  expect(problems).toEqual([expect.objectContaining({ message: expect.stringContaining('not now') })])
  stubborn = false
  expect(await look(minute + 2 * minute - 1)).toBe('REVERTING')
  expect(await look(minute + 2 * minute)).toBe('REVERTED')
})
