/** What the upkeep ends, when, and what it leaves alone, on either database. */
import { sql } from 'kysely'
import { afterEach, describe, expect, test } from 'vitest'
import { openDatabase } from '../shared/database/database.ts'
import type { NewPlace } from '../shared/testing/running.ts'
import { auditPayments } from './audit.ts'
import { unknownMs } from './due.ts'
import type { Gateway } from './gateway.ts'
import { moneyMover, settle } from './money-mover.ts'
import { beginPayment, changePayment, findByOrder } from './rows.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { fillDueTimes, paymentMigrations, type PaymentRow, type PaymentTables } from './schema.ts'
import { endOverdue } from './upkeep.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const holdMs = 6 * day

export function paymentUpkeepContract(name: string, newPlace: NewPlace): void {
  describe(`the upkeep of payments on ${name}`, () => {
    const open: (() => Promise<void>)[] = []

    afterEach(async () => {
      for (const close of open.splice(0).reverse()) await close()
    })

    async function newDatabase() {
      const place = await newPlace()
      open.push(async () => place.remove?.())
      const opened = async (migrations = paymentMigrations(place.target.kind)) => {
        const database = await openDatabase<PaymentTables>(place.target, migrations)
        open.push(() => database.close())
        return database
      }
      return { kind: place.target.kind, opened }
    }

    async function setUp(change: (gateway: Gateway) => Gateway = (gateway) => gateway) {
      const database = await (await newDatabase()).opened()
      const { db } = database
      const gateways = { sandbox: change(sandboxGateway(db)) }
      const clock = { now: 0 }
      const problems: string[] = []
      const context = { db, gateways, mover: moneyMover(db, gateways), now: () => clock.now, holdMs }

      const begin = (order = 'o1', paymentMethodId: string | null = null): Promise<PaymentRow> =>
        beginPayment(
          db,
          {
            orderId: order,
            customerId: 'c1',
            cents: 1999,
            description: null,
            stripeCustomerId: null,
            paymentMethodId,
            returnUrl: null,
          },
          { commandId: `c-${order}`, sagaId: 's1', gateway: 'sandbox', expiresAt: clock.now + holdMs },
          clock.now,
        )
      const hold = async (order?: string): Promise<PaymentRow> => {
        const settlement = await context.mover.hold(await begin(order))
        if (settlement === null) throw new Error('undone')
        const settled = await db.transaction().execute((tx) => settle(tx, [settlement], clock.now))
        return settled.get(settlement.row.payment_id) ?? settlement.row
      }
      const look = async (at: number, order = 'o1'): Promise<string | undefined> => {
        clock.now = at
        await endOverdue(context, (error) => problems.push(String(error)))
        expect((await auditPayments(database)).problems).toEqual([])
        return (await findByOrder(db, order))?.status
      }
      const intents = () => db.selectFrom('sandbox_intents').select('status').execute()
      return { db, context, clock, begin, hold, look, intents, problems }
    }

    test('a hold is let go when its time is over, and not before', async () => {
      const { hold, look, intents } = await setUp()
      await hold()
      expect(await look(holdMs - 1)).toBe('AUTHORIZED')
      expect(await look(holdMs)).toBe('REVERTED')
      expect(await intents()).toEqual([{ status: 'canceled' }])
    })

    test('an authorisation of unknown outcome that nobody comes back for is found out and undone in half an hour', async () => {
      const { begin, context, look, intents } = await setUp()
      await context.mover.hold(await begin()) // and dies before it is written down
      expect(await look(unknownMs - 1)).toBe('INITIATING')
      expect(await look(unknownMs)).toBe('REVERTED')
      expect(await intents()).toEqual([{ status: 'canceled' }])
      expect(unknownMs).toBe(30 * minute)
    })

    test.each([
      ['INITIATING', unknownMs],
      ['REVERTING', minute],
    ] as const)(
      'a hold whose answer was lost is let go under a forgotten key too, and no second one is made: %s',
      async (status, dueMs) => {
        const { db, begin, context, look, intents, problems } = await setUp()
        const row = await begin('o1', 'pm_sandbox_lost_answer')
        await expect(context.mover.hold(row)).rejects.toThrow('lost its answer')
        if (status === 'REVERTING') await changePayment(db, row, { status }, 0)
        await db.deleteFrom('sandbox_calls').execute()
        expect(await look(dueMs)).toBe('REVERTED')
        expect(await intents()).toEqual([{ status: 'canceled' }])
        expect(problems).toEqual([])
      },
    )

    test.each([
      ['release', 'RELEASING', 'SUCCEEDED'],
      ['revert', 'REVERTING', 'REVERTED'],
    ] as const)('a %s that was left halfway is finished after a minute', async (_what, status, end) => {
      const { db, hold, look } = await setUp()
      await changePayment(db, await hold(), { status, runner_id: 'r1', runner_account: 'acct_1' }, 0)
      expect(await look(minute - 1)).toBe(status)
      expect(await look(minute)).toBe(end)
    })

    const refused = { ok: false, code: 'stripe_error', message: 'not now' } as const

    test('a revert that the gateway refuses is told of, tried ever more rarely, and succeeds when it is let', async () => {
      let stubborn = true
      const { db, hold, look, problems } = await setUp((gateway) => ({
        ...gateway,
        cancel: async (...call) => (stubborn ? refused : gateway.cancel(...call)),
      }))
      await changePayment(db, await hold(), { status: 'REVERTING' }, 0)
      await look(minute)
      expect(problems).toEqual([expect.stringContaining('not now')])
      stubborn = false
      expect(await look(minute + 2 * minute - 1)).toBe('REVERTING')
      expect(await look(minute + 2 * minute)).toBe('REVERTED')
    })

    test.each([
      ['refuses', 24 * hour, async () => refused],
      ['does not answer', hour, () => Promise.reject(new Error('not now'))],
    ])(
      'a gateway that %s is asked ever more rarely, at last every %d ms',
      async (_what, longest, cancel) => {
        const asked: number[] = []
        let at = 0
        const { db, hold, look, problems } = await setUp((gateway) => ({
          ...gateway,
          cancel: () => {
            asked.push(at)
            return cancel()
          },
        }))
        await changePayment(db, await hold(), { status: 'REVERTING' }, 0)
        for (; asked.length < 15; at += minute) if (at % (10 * minute) === 0 || at < hour) await look(at)
        const pauses = asked.slice(1).map((time, index) => time - (asked[index] ?? 0))
        expect(asked[0]).toBe(minute)
        expect(pauses).toEqual(pauses.toSorted((one, other) => one - other))
        expect(pauses.at(-1)).toBe(longest)
        expect(problems).toHaveLength(15)
      },
      60_000,
    )

    test.each([
      ['refuses', async () => refused],
      ['does not answer', () => Promise.reject(new Error('not now'))],
    ])('a hundred payments whose gateway %s keep the upkeep from no other', async (_what, cancel) => {
      const { db, clock, hold, look, problems } = await setUp((gateway) => ({ ...gateway, cancel }))
      for (let count = 0; count < 100; count++) {
        await changePayment(db, await hold(`stuck-${count}`), { status: 'REVERTING' }, 0)
      }
      await look(minute)
      expect(problems).toHaveLength(100)
      clock.now += 1
      const release = { status: 'RELEASING', runner_id: 'r1', runner_account: 'acct_1' } as const
      await changePayment(db, await hold('o1'), release, clock.now)
      await look(clock.now + minute) // where they are due again they are first, once
      expect(await look(clock.now + 10_000)).toBe('SUCCEEDED')
    })

    test('a payment that was settled by another while it was looked at is not put off', async () => {
      const { db, hold, look, context } = await setUp((gateway) => ({
        ...gateway,
        async cancel(...call) {
          const answer = await gateway.cancel(...call)
          const row = await findByOrder(db, 'o1')
          if (row?.status === 'REVERTING') {
            const change = { status: 'REVERTED' } as const
            const moves = [{ posting: 'revert', from: 'held', to: 'customer' }] as const
            const settlement = { row, change, moves, refused: null }
            await db.transaction().execute((tx) => settle(tx, [settlement], context.now()))
          }
          return answer
        },
      }))
      await hold()
      expect(await look(holdMs)).toBe('REVERTED')
      expect(await findByOrder(db, 'o1')).toMatchObject({ due_at: null })
    })

    test('payments from before there were due times are looked at when they should be', async () => {
      const { kind, opened } = await newDatabase()
      const { '005_due_times': _, '006_inbox_age': _after, ...before } = paymentMigrations(kind)
      const { db, close } = await opened(before)
      for (const status of [
        'INITIATING',
        'AUTHORIZED',
        'RELEASING',
        'CAPTURED',
        'SUCCEEDED',
        'REVERTING',
        'REVERTED',
      ]) {
        await sql`insert into payments (payment_id, command_id, saga_id, cents, status, gateway, attempt, version, created_at,
          updated_at, expires_at) values (${status}, ${status}, 's1', 1999, ${status}, 'sandbox', 0, 1, 0, 1000, 9000000)`.execute(
          db,
        )
      }
      await close()
      const { db: after } = await opened()
      // As a process of the version before would still write it.
      await sql`update payments set due_at = null where status = 'REVERTING'`.execute(after)
      await fillDueTimes.execute(after)
      const rows = await after.selectFrom('payments').select(['status', 'due_at']).execute()
      expect(Object.fromEntries(rows.map(({ status, due_at }) => [status, due_at]))).toEqual({
        INITIATING: 1_000 + unknownMs,
        AUTHORIZED: 9_000_000,
        RELEASING: 1_000 + minute,
        CAPTURED: null,
        SUCCEEDED: null,
        REVERTING: 1_000 + minute,
        REVERTED: null,
      })
    })
  })
}
