/**
 * Whatever order things happen in, and wherever a process dies: once everybody is answered, the money is where it should
 * be, and nowhere twice.
 *
 * Each delivery of a command is served by a process of its own, which stops at every statement and every call of the
 * gateway until the scheduler lets it go on, and which may die there. At the end all commands are delivered again, as a
 * transport would, to processes that live.
 */
import fc from 'fast-check'
import type { Kysely, KyselyPlugin } from 'kysely'
import { participant } from 'ordersaga/participant'
import type { Problem } from 'ordersaga/problem'
import type { BatchHandler, Message, Transport } from 'ordersaga/transport'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase, type Database } from '../shared/database/database.ts'
import { kyselyInbox } from '../shared/database/inbox.ts'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import { auditPayments } from './audit.ts'
import { paymentCommands, type PaymentContext } from './commands.ts'
import { unknownMs } from './due.ts'
import type { Gateway } from './gateway.ts'
import { releaseFunds, releasePayment } from './messages.ts'
import { moneyMover } from './money-mover.ts'
import { findByOrder } from './rows.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { paymentMigrations, type PaymentTables } from './schema.ts'
import { endOverdue } from './upkeep.ts'

type Verb =
  | 'authorise'
  | 'authorise again'
  | 'revert'
  | 'revert again'
  | 'revert by command'
  | 'release'
  | 'release again'
  | 'release by order'

interface Delivery {
  readonly verb: Verb
  /** How many stops it survives; null where it lives on. */
  readonly diesAt: number | null
}

const cards = ['pm_sandbox_ok', 'pm_sandbox_declined', 'pm_sandbox_lost_answer', 'pm_sandbox_release_fails'] as const
const minute = 60_000
const holdMs = 10 * minute

const delivery = (...verbs: readonly Verb[]): fc.Arbitrary<Delivery> =>
  fc.record({ verb: fc.constantFrom(...verbs), diesAt: fc.option(fc.nat(14), { freq: 2 }) })

export function paymentRacesContract(name: string, newPlace: NewPlace, runs: number): void {
  describe(`races for a payment on ${name}`, () => {
    let place: Place
    let database: Database<PaymentTables>
    let now = Date.UTC(2026, 0, 1)
    let count = 0

    beforeAll(async () => {
      place = await newPlace()
      database = await openDatabase<PaymentTables>(place.target, paymentMigrations(place.target.kind))
    })
    afterAll(async () => {
      await database.close()
      await place.remove?.()
    })

    const context = (db: Kysely<PaymentTables>, gateway: Gateway): PaymentContext => ({
      db,
      gateways: { sandbox: gateway },
      mover: moneyMover(db, { sandbox: gateway }),
      now: () => now,
      holdMs,
    })

    /** Serves one command; `stop` is called wherever the process could be interrupted or die. */
    async function serve(message: Message, stop: () => Promise<void>): Promise<Message[]> {
      const said: Message[] = []
      const problems: Problem[] = []
      const handlers = new Map<string, BatchHandler>()
      const transport: Transport = {
        publish: async (_channel, messages) => void said.push(...messages),
        subscribe: async (channel, _group, handler) => {
          handlers.set(channel, handler)
          return { close: async () => undefined }
        },
        ready: async () => true,
        close: async () => undefined,
      }
      const inbox = kyselyInbox(database)
      await participant({
        name: 'payment',
        source: 'payment-service',
        inbox: {
          ...inbox,
          async transaction(work) {
            await stop()
            const result = await inbox.transaction(work)
            await stop()
            return result
          },
        },
        handlers: paymentCommands(context(database.db.withPlugin(stopping(stop)), stoppingGateway(database, stop))),
        onProblem: (problem) => problems.push(problem),
      }).attach(transport)
      const { commandChannel } = message.type === releaseFunds.type ? releaseFunds : releasePayment
      const failed = await handlers.get(commandChannel)?.([message])
      if (failed === undefined) throw new Error(`nobody reads ${commandChannel}`)
      if (failed.length > 0) throw new Error(failed[0]?.reason, { cause: problems })
      return said
    }

    const serveAlive = (message: Message) => serve(message, async () => undefined)

    async function message(order: string, card: string, verb: Verb): Promise<Message> {
      const id = `${order}:${verb}`
      const envelope = { id, correlationId: order, timestamp: new Date(now).toISOString() }
      switch (verb) {
        case 'authorise':
        case 'authorise again': {
          const customer = { clerkUserId: 'cust_123', userStripeCard: { payment_method_id: card } }
          const payload = { order_id: order, customer, order: { amount: 1999 } }
          return { ...envelope, type: 'authorize_payment', payload }
        }
        case 'revert':
        case 'revert again':
          return { ...envelope, type: 'revert_payment', undoes: `${order}:authorise`, payload: { order_id: order } }
        case 'revert by command':
          return { ...envelope, type: 'revert_payment', undoes: `${order}:authorise`, payload: {} }
        case 'release':
        case 'release again': {
          // Who asks before there is a payment cannot name it, and is refused for good.
          const payment_id = (await findByOrder(database.db, order))?.payment_id ?? 'not there yet'
          const payload = { payment_id, runner_id: 'runner_1', runner_connect_account_id: 'acct_1' }
          return { ...envelope, type: releasePayment.type, payload }
        }
        case 'release by order': {
          const runnerPaymentInfo = { runner_id: 'runner_1', stripeConnectAccountId: 'acct_1' }
          return { ...envelope, type: releaseFunds.type, payload: { order_id: order, runnerPaymentInfo } }
        }
      }
    }

    /** Runs the deliveries against each other, then delivers all again until nobody fails. Gives the answers by command. */
    async function race(
      order: string,
      card: string,
      deliveries: readonly Delivery[],
      scheduler: fc.Scheduler,
      besides: (stopsOf: (name: string, diesAt: number | null) => () => Promise<void>) => Promise<void> = async () =>
        undefined,
    ) {
      const answers = new Map<string, Set<string>>()
      const heard = (said: readonly Message[]): void => {
        for (const { causationId = '', type, payload } of said) {
          answers.set(causationId, (answers.get(causationId) ?? new Set()).add(JSON.stringify([type, payload])))
        }
      }
      const messages: Message[] = []
      const stopsOf = (name: string, diesAt: number | null) => {
        let stops = 0
        return async (): Promise<void> => {
          if (diesAt !== null && stops >= diesAt) throw new Error('the process died here')
          await scheduler.schedule(Promise.resolve(), `${name} ${stops}`)
          stops += 1
        }
      }
      const racing = deliveries.map(async ({ verb, diesAt }) => {
        const stop = stopsOf(verb, diesAt)
        const sent = await message(order, card, verb)
        messages.push(sent)
        await serve(sent, stop).then(heard, () => undefined)
      })
      await scheduler.waitFor(Promise.all([...racing, besides(stopsOf)]))

      const open = new Map(messages.map((sent) => [sent.id, sent]))
      for (let round = 0; open.size > 0; round++) {
        for (const sent of open.values()) {
          try {
            heard(await serveAlive(sent))
            open.delete(sent.id)
          } catch (error) {
            if (round > 8) throw error
          }
        }
        // What a dead release has left is finished by the upkeep, for which a revert has to wait.
        now += 2 * minute
        await endOverdue(context(database.db, sandboxGateway(database.db)), (error) => {
          if (round > 8) throw error
        })
      }
      return answers
    }

    async function whatIsLeft(order: string) {
      const { db } = database
      const row = await findByOrder(db, order)
      const paymentId = row?.payment_id ?? ''
      const intents = await db.selectFrom('sandbox_intents').selectAll().where('payment_id', '=', paymentId).execute()
      const transfers = await db
        .selectFrom('sandbox_transfers')
        .selectAll()
        .where('intent_id', 'in', ['', ...intents.map(({ intent_id }) => intent_id)])
        .execute()
      return {
        status: row?.status,
        intents: intents.length,
        money: intents.filter(({ status }) => status === 'requires_capture' || status === 'succeeded').length,
        transfers: transfers.filter(({ reversed }) => reversed === 0).length,
        transfersEver: transfers.length,
        card: row?.card ?? null,
      }
    }

    /** True in every race: each command has one answer, the books agree with the gateway, nothing happened twice. */
    async function checkAlways(order: string, answers: ReadonlyMap<string, ReadonlySet<string>>) {
      expect([...answers.values()].filter(({ size }) => size !== 1)).toEqual([])
      expect((await auditPayments(database)).problems).toEqual([])
      const left = await whatIsLeft(order)
      expect(left.intents).toBeLessThanOrEqual(1)
      expect(left.transfersEver).toBeLessThanOrEqual(1)
      // What was needed to ask for the hold is not kept longer than it is needed.
      expect(left.card).toBeNull()
      return left
    }

    test.each([
      [
        'order',
        'revert',
        delivery('authorise', 'authorise again', 'revert', 'revert again', 'release', 'release by order'),
      ],
      ['command', 'revert by command', delivery('authorise', 'revert', 'revert by command', 'release')],
    ] as const)(
      'an undo that names the %s leaves nothing held or taken, whoever came first or died',
      (_what, verb, other) =>
        fc.assert(
          fc.asyncProperty(
            fc.scheduler(),
            fc.constantFrom(...cards),
            fc.array(other, { maxLength: 5 }),
            delivery(verb),
            fc.nat(5),
            async (scheduler, card, others, undo, at) => {
              const order = `undone-${(count += 1)}`
              const answers = await race(order, card, others.toSpliced(at, 0, undo), scheduler)
              const left = await checkAlways(order, answers)
              expect(left).toMatchObject({ money: 0, transfers: 0 })
              // Neither where the undo found nothing, and nothing came after it.
              expect(['REVERTED', 'FAILED', undefined]).toContain(left.status)
              expect([...(answers.get(`${order}:${verb}`) ?? [])]).toEqual([expect.stringContaining('REVERTED')])
            },
          ),
          { numRuns: runs },
        ),
    )

    test('an order that was not undone is held or paid out once, or refused by its card', () =>
      fc.assert(
        fc.asyncProperty(
          fc.scheduler(),
          fc.constantFrom(...cards),
          fc.array(delivery('authorise', 'authorise again', 'release', 'release again', 'release by order'), {
            maxLength: 5,
          }),
          delivery('authorise'),
          async (scheduler, card, others, authorise) => {
            const order = `kept-${(count += 1)}`
            const answers = await race(order, card, [authorise, ...others], scheduler)
            const left = await checkAlways(order, answers)
            if (card === 'pm_sandbox_declined') {
              expect(left).toMatchObject({ status: 'FAILED', money: 0, transfers: 0 })
              return
            }
            expect(left.money).toBe(1)
            const released = [...answers].some(
              ([id, said]) => id.includes('release') && /SUCCEEDED|funds_released/.test([...said][0] ?? ''),
            )
            expect(left.transfers).toBe(released ? 1 : 0)
            expect(left.status === 'SUCCEEDED').toBe(released)
          },
        ),
        { numRuns: runs },
      ))

    test('an authorised payment that is released and reverted at once ends with the customer, in whichever order', () =>
      fc.assert(
        fc.asyncProperty(
          fc.scheduler(),
          fc.constantFrom('pm_sandbox_ok', 'pm_sandbox_release_fails'),
          fc.array(delivery('release', 'release again', 'release by order', 'revert'), { minLength: 1, maxLength: 4 }),
          delivery('revert'),
          async (scheduler, card, others, revert) => {
            const order = `both-${(count += 1)}`
            await serveAlive(await message(order, card, 'authorise'))
            const answers = await race(order, card, [...others, revert], scheduler)
            expect(await checkAlways(order, answers)).toMatchObject({ status: 'REVERTED', money: 0, transfers: 0 })
          },
        ),
        { numRuns: runs },
      ))

    test('an authorisation that was left is settled by the upkeep, with one hold that is let go, whatever comes late or dies', () =>
      fc.assert(
        fc.asyncProperty(
          fc.scheduler(),
          fc.constantFrom(...cards),
          fc.nat(14),
          fc.boolean(),
          fc.array(delivery('authorise', 'authorise again', 'revert'), { maxLength: 3 }),
          fc.option(fc.nat(14)),
          async (scheduler, card, leftAt, forgets, late, upkeepDiesAt) => {
            const order = `left-${(count += 1)}`
            let stops = 0
            const sent = await message(order, card, 'authorise')
            await serve(sent, async () => {
              if (stops++ >= leftAt) throw new Error('the process died here')
            }).catch(() => undefined)
            if (forgets) await database.db.deleteFrom('sandbox_calls').execute()

            now += unknownMs
            const answers = await race(order, card, late, scheduler, (stopsOf) => {
              const stop = stopsOf('upkeep', upkeepDiesAt)
              const dying = context(database.db.withPlugin(stopping(stop)), stoppingGateway(database, stop))
              return endOverdue(dying, () => undefined).catch(() => undefined)
            })
            // Nobody comes any more: upkeep alone ends what is left, also where it died over it.
            for (let look = 0; look < 3; look++) {
              now += 2 * unknownMs
              await endOverdue(context(database.db, sandboxGateway(database.db)), () => undefined)
            }
            const left = await checkAlways(order, answers)
            expect(left).toMatchObject({ money: 0, transfers: 0 })
            expect(['REVERTED', 'FAILED', undefined]).toContain(left.status)
          },
        ),
        { numRuns: runs },
      ))

    test('a hold that nobody released or reverted in its time is let go of, also while it is being authorised', () =>
      fc.assert(
        fc.asyncProperty(fc.scheduler(), delivery('authorise'), async (scheduler, authorise) => {
          const order = `forgotten-${(count += 1)}`
          const served = race(order, 'pm_sandbox_ok', [authorise], scheduler)
          now += unknownMs // and so past the time of a hold too
          await endOverdue(context(database.db, sandboxGateway(database.db)), (error) => {
            throw error
          })
          const answers = await served
          now += holdMs
          await endOverdue(context(database.db, sandboxGateway(database.db)), (error) => {
            throw error
          })
          expect(await checkAlways(order, answers)).toMatchObject({ status: 'REVERTED', money: 0 })
        }),
        { numRuns: runs },
      ))
  })
}

/** Stops after each statement outside of a transaction. */
function stopping(stop: () => Promise<void>): KyselyPlugin {
  return {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      await stop()
      return result
    },
  }
}

/** Stops before and after each call: the gateway itself, being somebody else's, never dies halfway. */
function stoppingGateway({ db }: Database<PaymentTables>, stop: () => Promise<void>): Gateway {
  const real = sandboxGateway(db)
  const around = async <T>(call: () => Promise<T>): Promise<T> => {
    await stop()
    const answer = await call()
    await stop()
    return answer
  }
  return {
    name: real.name,
    authorise: (...asked) => around(() => real.authorise(...asked)),
    cancel: (...asked) => around(() => real.cancel(...asked)),
    capture: (...asked) => around(() => real.capture(...asked)),
    refund: (...asked) => around(() => real.refund(...asked)),
    transfer: (...asked) => around(() => real.transfer(...asked)),
    reverse: (...asked) => around(() => real.reverse(...asked)),
  }
}
