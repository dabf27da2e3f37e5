/** What a payment's row names decides who is asked about its money, whatever is configured by then; on either database. */
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase, type Database } from '../shared/database/database.ts'
import { running, type NewPlace, type Place } from '../shared/testing/running.ts'
import { auditPayments } from './audit.ts'
import { paymentCommands, type PaymentContext } from './commands.ts'
import type { Gateway } from './gateway.ts'
import { gatewayOfNew, type Gateways } from './gateways.ts'
import { moneyMover, settle } from './money-mover.ts'
import { beginPayment, changePayment } from './rows.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { paymentMigrations, type PaymentRow, type PaymentStatus, type PaymentTables } from './schema.ts'
import { openPaymentService } from './service.ts'
import { endOverdue } from './upkeep.ts'

const minute = 60_000
const holdMs = 6 * 24 * 60 * minute
/** Everything that upkeep ends is overdue by then. */
const later = 30 * 24 * 60 * minute

export function gatewaysContract(name: string, newPlace: NewPlace): void {
  describe(`payments of two gateways on ${name}`, () => {
    let place: Place
    let database: Database<PaymentTables>
    let sandbox: Gateway
    let now: number
    /** What Stripe was asked. */
    let asked: string[]
    let stripe: Gateway

    beforeEach(async () => {
      place = await newPlace()
      database = await openDatabase<PaymentTables>(place.target, paymentMigrations(place.target.kind))
      sandbox = sandboxGateway(database.db)
      now = 0
      asked = []
      stripe = stripeThat((what) => asked.push(what))
    })
    afterEach(async () => {
      await database.close()
      await place.remove?.()
    })

    const contextOf = (gateways: Gateways): PaymentContext => {
      const { db } = database
      return { db, gateways, mover: moneyMover(db, gateways), now: () => now, holdMs }
    }

    /** A payment at the configured gateway, as far on its way as `status` says. */
    async function paymentAt(gateways: Gateways, status: PaymentStatus, order = 'o1'): Promise<PaymentRow> {
      const { db, mover } = contextOf(gateways)
      const card = { stripeCustomerId: null, paymentMethodId: null, returnUrl: null }
      const row = await beginPayment(
        db,
        { orderId: order, customerId: 'cust_1', cents: 1999, description: null, ...card },
        {
          commandId: `c-${order}`,
          sagaId: `s-${order}`,
          gateway: gatewayOfNew(gateways).name,
          expiresAt: now + holdMs,
        },
        now,
      )
      if (status === 'INITIATING') return row
      const settlement = await mover.hold(row)
      if (settlement === null) throw new Error('undone')
      const held = await db.transaction().execute((tx) => settle(tx, [settlement], now))
      const authorized = held.get(row.payment_id) ?? row
      if (status === 'AUTHORIZED') return authorized
      const claim = { status, runner_id: 'runner_1', runner_account: 'acct_1' }
      return (await changePayment(db, authorized, claim, now)) ?? authorized
    }

    /** Serves a command as the participant kit does. */
    async function obey(gateways: Gateways, type: string, { order_id, payment_id }: PaymentRow): Promise<unknown> {
      const payloads: Readonly<Record<string, object>> = {
        authorize_payment: { order_id, customer: { clerkUserId: 'cust_1' }, order: { amount: 1999 } },
        release_payment: { payment_id, runner_id: 'runner_1', runner_connect_account_id: 'acct_1' },
        revert_payment: { payment_id },
      }
      const id = type === 'authorize_payment' ? `c-${order_id}` : `${type}-${order_id}`
      const command = { id, sagaId: `s-${order_id}`, payload: payloads[type], undoes: null, original: null }
      const handled = paymentCommands(contextOf(gateways)).find(({ contract }) => contract.type === type)
      if (handled === undefined) throw new Error(`nobody obeys ${type}`)
      const prepared = await handled.prepare?.(command)
      return database.db.transaction().execute((tx) => handled.applyAll(tx, [command], [prepared]))
    }

    const rows = () => database.db.selectFrom('payments').selectAll().execute()
    const playMoney = () => database.db.selectFrom('sandbox_intents').selectAll().execute()
    const upkeep = async (gateways: Gateways): Promise<unknown[]> => {
      const problems: unknown[] = []
      now += later
      await endOverdue(contextOf(gateways), (error) => problems.push(error))
      return problems
    }

    test.each([
      ['INITIATING', 'authorize_payment'],
      ['INITIATING', 'revert_payment'],
      ['AUTHORIZED', 'release_payment'],
      ['AUTHORIZED', 'revert_payment'],
      ['RELEASING', 'release_payment'],
      ['REVERTING', 'revert_payment'],
    ] as const)('a payment of Stripe that is %s stays so without Stripe, whatever %s wants', async (status, type) => {
      const row = await paymentAt({ sandbox, stripe }, status)
      asked = []
      await expect(obey({ sandbox }, type, row)).rejects.toThrow(
        new RegExp(`^payment ${row.payment_id} was begun at stripe, .* set STRIPE_SECRET_KEY; .* stays ${status}$`),
      )
      expect(await upkeep({ sandbox })).toEqual([])
      expect(await rows()).toEqual([row])
      expect(await playMoney()).toEqual([])
      expect((await auditPayments(database)).problems).toEqual([])

      expect(await obey({ sandbox, stripe }, type, row)).toMatchObject([{ kind: 'done' }])
      expect(asked).not.toEqual([])
      expect(await playMoney()).toEqual([])
    })

    test.each([
      ['INITIATING', 'REVERTED', ['authorise', 'cancel']],
      ['AUTHORIZED', 'REVERTED', ['cancel']],
      ['RELEASING', 'SUCCEEDED', ['capture', 'transfer']],
      ['REVERTING', 'REVERTED', ['cancel']],
    ] as const)(
      'one that was left %s is ended by the upkeep, as %s, once Stripe is there again',
      async (status, end, calls) => {
        await paymentAt({ sandbox, stripe }, status)
        await upkeep({ sandbox })
        asked = []
        expect(await upkeep({ sandbox, stripe })).toEqual([])
        expect(await rows()).toMatchObject([{ status: end, gateway: 'stripe' }])
        expect(asked).toEqual(calls)
      },
    )

    test.each([
      ['INITIATING', 'authorize_payment', 'AUTHORIZED'],
      ['AUTHORIZED', 'revert_payment', 'REVERTED'],
      ['AUTHORIZED', 'release_payment', 'SUCCEEDED'],
      ['REVERTING', 'revert_payment', 'REVERTED'],
    ] as const)(
      'play money that is %s ends as play money also where Stripe is there: %s',
      async (status, type, end) => {
        const row = await paymentAt({ sandbox }, status)
        expect(await obey({ sandbox, stripe }, type, row)).toMatchObject([{ kind: 'done' }])
        expect(await rows()).toMatchObject([{ status: end, gateway: 'sandbox' }])
        expect(asked).toEqual([])
        expect((await auditPayments(database)).problems).toEqual([])
      },
    )

    test('a new payment takes Stripe where it is configured, and the sandbox where it is not', async () => {
      const { payment_id } = await paymentAt({ sandbox, stripe }, 'AUTHORIZED', 'real')
      await paymentAt({ sandbox }, 'AUTHORIZED', 'play')
      expect((await rows()).map(({ order_id, gateway }) => [order_id, gateway]).toSorted()).toEqual([
        ['play', 'sandbox'],
        ['real', 'stripe'],
      ])
      expect((await playMoney()).filter((intent) => intent.payment_id === payment_id)).toEqual([])
    })

    test('a hundred payments that wait for Stripe keep the upkeep from no other', async () => {
      for (let count = 0; count < 100; count++) await paymentAt({ sandbox, stripe }, 'AUTHORIZED', `real-${count}`)
      now += minute
      const { payment_id } = await paymentAt({ sandbox }, 'AUTHORIZED', 'play')
      expect(await upkeep({ sandbox })).toEqual([])
      const ended = (await rows()).filter(({ status }) => status === 'REVERTED')
      expect(ended.map((row) => row.payment_id)).toEqual([payment_id])
    })

    test('a service without Stripe says at its start how many payments wait for it, and says nothing where none do', async () => {
      await paymentAt({ sandbox, stripe }, 'INITIATING', 'o1')
      await paymentAt({ sandbox, stripe }, 'AUTHORIZED', 'o2')
      await paymentAt({ sandbox, stripe }, 'REVERTED', 'o3')
      const told = async (configured: boolean): Promise<unknown[]> => {
        const lines: { readonly level: number; readonly msg: string; readonly payments?: number }[] = []
        const log = pino(
          { level: 'warn' },
          { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) },
        )
        const service = await running(
          place,
          'payment',
          (options) =>
            openPaymentService({
              ...options,
              log,
              // Nobody is there, but nothing of it is due either.
              ...(configured ? { stripe: { secretKey: 'sk_test_secret', url: 'http://127.0.0.1:9' } } : {}),
            }),
          () => now,
        )
        if (!configured) await expect.poll(() => lines).not.toEqual([])
        await service.close()
        return lines
      }
      expect(await told(false)).toEqual([
        expect.objectContaining({
          payments: 2,
          msg: expect.stringMatching(/wait for .* not configured .* STRIPE_SECRET_KEY/),
        }),
      ])
      expect(await told(true)).toEqual([])
    })
  })
}

/** A Stripe where all goes well. */
function stripeThat(hears: (what: string) => void): Gateway {
  const well =
    <Told extends object>(what: string, told: Told) =>
    async () => {
      hears(what)
      return { ok: true, ...told } as const
    }
  return {
    name: 'stripe',
    async authorise({ paymentId }) {
      hears('authorise')
      return { ok: true, intentId: `pi_${paymentId}` }
    },
    cancel: well('cancel', {}),
    capture: well('capture', {}),
    refund: well('refund', {}),
    transfer: well('transfer', { transferId: 'tr_1' }),
    reverse: well('reverse', {}),
  }
}
