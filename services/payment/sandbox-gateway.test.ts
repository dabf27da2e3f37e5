import { afterEach, expect, test } from 'vitest'
import { openDatabase, type Database } from '../shared/database/database.ts'
import { newFile } from '../shared/testing/ask.ts'
import type { HoldRequest } from './gateway.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { paymentMigrations, type PaymentTables } from './schema.ts'

const open: Database<PaymentTables>[] = []

async function openSandbox(file = newFile('payment')) {
  const database = await openDatabase<PaymentTables>({ kind: 'sqlite', file }, paymentMigrations('sqlite'))
  open.push(database)
  return { file, db: database.db, gateway: sandboxGateway(database.db, { slow: async () => undefined }) }
}

afterEach(async () => {
  for (const database of open.splice(0)) await database.close()
})

const hold = (paymentMethodId: string | null, cents = 1999): HoldRequest => ({
  paymentId: 'p1',
  begunAt: 0,
  orderId: 'o1',
  customerId: 'c1',
  sagaId: 's1',
  cents,
  description: null,
  stripeCustomerId: null,
  paymentMethodId,
  returnUrl: null,
})

test('a repeat under the same key gives the first answer and holds nothing again, also after a restart', async () => {
  const { file, gateway } = await openSandbox()
  const first = await gateway.authorise(hold('pm_sandbox_ok'), 'k1')
  expect(first).toMatchObject({ ok: true })
  const again = await openSandbox(file)
  expect(await again.gateway.authorise(hold('pm_sandbox_ok'), 'k1')).toEqual(first)
  expect(await again.db.selectFrom('sandbox_intents').select('cents').execute()).toEqual([{ cents: 1999 }])
})

test('a key that was used with another request is refused loudly', async () => {
  const { gateway } = await openSandbox()
  await gateway.authorise(hold('pm_sandbox_ok'), 'k1')
  await expect(gateway.authorise(hold('pm_sandbox_ok', 2000), 'k1')).rejects.toThrow('another request')
})

test('the declined card holds nothing', async () => {
  const { gateway, db } = await openSandbox()
  expect(await gateway.authorise(hold('pm_sandbox_declined'), 'k1')).toMatchObject({ code: 'STRIPE_CARD_ERROR' })
  expect(await db.selectFrom('sandbox_intents').selectAll().execute()).toEqual([])
})

test('the card that loses its answer has held the money, and a repeat says so', async () => {
  const { gateway, db } = await openSandbox()
  await expect(gateway.authorise(hold('pm_sandbox_lost_answer'), 'k1')).rejects.toThrow('lost its answer')
  const repeat = await gateway.authorise(hold('pm_sandbox_lost_answer'), 'k1')
  const intents = await db.selectFrom('sandbox_intents').selectAll().execute()
  expect(intents).toMatchObject([{ status: 'requires_capture' }])
  expect(repeat).toEqual({ ok: true, intentId: intents[0]?.intent_id })
})

test.each(['pm_sandbox_ok', 'pm_sandbox_lost_answer'])(
  'a hold of the card %s is found and not made again under a key that is forgotten, and said to be let go once it is',
  async (card) => {
    const { gateway, db } = await openSandbox()
    const authorise = () => gateway.authorise(hold(card), 'k1')
    await authorise().catch(() => undefined)
    const held = await authorise()
    if (!held.ok) throw new Error('refused')
    const forget = () => db.deleteFrom('sandbox_calls').execute()
    await forget()
    expect(await authorise()).toEqual(held)
    expect(await authorise()).toEqual(held)
    await forget()
    await gateway.cancel(held.intentId, 'abandoned', 'k2')
    const gone = { ok: false, code: 'STRIPE_UNEXPECTED_STATUS', stripeStatus: 'canceled' }
    expect(await authorise()).toMatchObject(gone)
    expect(await authorise()).toMatchObject(gone)
    expect(await db.selectFrom('sandbox_intents').select('status').execute()).toEqual([{ status: 'canceled' }])
  },
)

test('a runner who was paid is not paid again under a key that is forgotten', async () => {
  const { gateway, db } = await openSandbox()
  const held = await gateway.authorise(hold('pm_sandbox_ok'), 'k1')
  if (!held.ok) throw new Error('refused')
  const request = { intentId: held.intentId, paymentId: 'p1', orderId: 'o1', cents: 1999, account: 'acct_1' }
  await gateway.capture(held.intentId, 'k2')
  const paid = await gateway.transfer(request, 'k3')
  await db.deleteFrom('sandbox_calls').execute()
  expect(await gateway.transfer(request, 'k3')).toEqual(paid)
  expect(await db.selectFrom('sandbox_transfers').select('cents').execute()).toEqual([{ cents: 1999 }])
})

test.each([null, 'pm_unknown'])('a card with the token %s behaves like the good one', async (token) => {
  const { gateway } = await openSandbox()
  expect(await gateway.authorise(hold(token), 'k1')).toMatchObject({ ok: true })
})

test('money goes the whole way and back, each step once', async () => {
  const { gateway, db } = await openSandbox()
  const authorised = await gateway.authorise(hold('pm_sandbox_ok'), 'k1')
  if (!authorised.ok) throw new Error('refused')
  const { intentId } = authorised
  const request = { intentId, paymentId: 'p1', orderId: 'o1', cents: 1999, account: 'acct_1' }

  expect(await gateway.transfer(request, 'early')).toMatchObject({ ok: false, stripeStatus: 'requires_capture' })
  expect(await gateway.capture(intentId, 'k2')).toEqual({ ok: true })
  expect(await gateway.cancel(intentId, 'abandoned', 'late')).toMatchObject({ ok: false, stripeStatus: 'succeeded' })
  const paid = await gateway.transfer(request, 'k3')
  expect(await gateway.transfer(request, 'k3')).toEqual(paid)
  if (!paid.ok) throw new Error('refused')
  expect(await db.selectFrom('sandbox_transfers').select(['cents', 'reversed']).execute()).toEqual([
    { cents: 1999, reversed: 0 },
  ])
  expect(await gateway.reverse(paid.transferId, 'k4')).toEqual({ ok: true })
  expect(await gateway.refund(intentId, 'duplicate', 'k5')).toEqual({ ok: true })
  expect(await db.selectFrom('sandbox_intents').select('status').execute()).toEqual([{ status: 'refunded' }])
})

test('the card that fails at release is held and captured, but the runner gets nothing', async () => {
  const { gateway, db } = await openSandbox()
  const authorised = await gateway.authorise(hold('pm_sandbox_release_fails'), 'k1')
  if (!authorised.ok) throw new Error('refused')
  const { intentId } = authorised
  expect(await gateway.capture(intentId, 'k2')).toEqual({ ok: true })
  const request = { intentId, paymentId: 'p1', orderId: 'o1', cents: 1999, account: 'acct_1' }
  expect(await gateway.transfer(request, 'k3')).toMatchObject({ ok: false, code: 'stripe_error' })
  expect(await db.selectFrom('sandbox_transfers').selectAll().execute()).toEqual([])
})
