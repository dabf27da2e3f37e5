/**
 * Whatever is cut off, delivered again and run at the same time: the deliveries alone leave no money where it should not be.
 * (`races.contract.ts` has whole processes that die and are never delivered to again, with the upkeep after them.)
 *
 * Two processes obey over a real database; messages come to either, in any order and more than once. At every statement,
 * also inside a transaction, at every commit and gateway call (before it and after it) the one at work may be held up, or
 * cut off and have its message delivered again.
 */
import fc from 'fast-check'
import type { Kysely } from 'kysely'
import { participant } from 'ordersaga/participant'
import type { BatchHandler, Message, Transport } from 'ordersaga/transport'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDatabase, type Database } from '../shared/database/database.ts'
import { kyselyInbox } from '../shared/database/inbox.ts'
import { newFile } from '../shared/testing/ask.ts'
import { auditPayments } from './audit.ts'
import { paymentCommands } from './commands.ts'
import type { Gateway } from './gateway.ts'
import { moneyMover } from './money-mover.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { paymentMigrations, type PaymentRow, type PaymentTables } from './schema.ts'

let database: Database<PaymentTables>
let runs = 0

beforeAll(async () => {
  const target = { kind: 'sqlite', file: newFile('payment') } as const
  database = await openDatabase<PaymentTables>(target, paymentMigrations('sqlite'))
})
afterAll(() => database.close())

class Death extends Error {
  override readonly name = 'Death'
}

/** Called wherever a process may be held up or die. */
type Gate = (where: 'statement' | 'committed' | 'gateway') => Promise<void>

/** At each gate in turn: 0 is death, other numbers are how long the process is held up. After the last, nothing happens. */
function gateOf(fates: readonly number[]): Gate {
  const coming = fates.values()
  return async () => {
    const fate = coming.next().value
    if (fate === undefined) return
    for (let turn = 1; turn < fate; turn++) await new Promise(setImmediate)
    if (fate === 0) throw new Death()
  }
}

function gatedDatabase(gate: Gate): Kysely<PaymentTables> {
  const db = database.db.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      await gate('statement')
      return result
    },
  })
  const transaction = () => ({
    async execute<T>(work: Parameters<ReturnType<typeof db.transaction>['execute']>[0]): Promise<T> {
      const result = await db.transaction().execute(work)
      await gate('committed') // and nobody heard of it
      return result as T
    },
  })
  return new Proxy(db, {
    get(target, name) {
      if (name === 'transaction') return transaction
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

function gatedGateway(gateway: Gateway, gate: Gate): Gateway {
  const gated =
    <Call extends unknown[], Told>(call: (...args: Call) => Promise<Told>) =>
    async (...args: Call): Promise<Told> => {
      await gate('gateway')
      const answer = await call(...args)
      await gate('gateway')
      return answer
    }
  return {
    name: gateway.name,
    authorise: gated(gateway.authorise),
    cancel: gated(gateway.cancel),
    capture: gated(gateway.capture),
    refund: gated(gateway.refund),
    transfer: gated(gateway.transfer),
    reverse: gated(gateway.reverse),
  }
}

interface Process {
  /** Until it was handled; what was cut off is delivered again. */
  deliver(message: Message): Promise<void>
  readonly replies: Message[]
}

async function processOf(gate: Gate, gateway: Gateway = sandboxGateway(database.db)): Promise<Process> {
  const replies: Message[] = []
  const handlers: BatchHandler[] = []
  const transport: Transport = {
    publish: async (_channel, messages) => void replies.push(...messages),
    subscribe: async (_channel, _group, handler) => {
      if (handlers.length === 0) handlers.push(handler) // of those of one group, one gets a message
      return { close: async () => undefined }
    },
    ready: async () => true,
    close: async () => undefined,
  }
  const db = gatedDatabase(gate)
  const gateways = { sandbox: gatedGateway(gateway, gate) }
  const context = { db, gateways, mover: moneyMover(db, gateways), now: () => 0, holdMs: 1 }
  await participant({
    name: 'payment',
    source: 'payment-service',
    inbox: kyselyInbox({ ...database, db }),
    handlers: paymentCommands(context),
  }).attach(transport)
  return {
    replies,
    async deliver(message) {
      for (let tries = 1; tries <= 1_000; tries++) {
        const failed = await Promise.all(handlers.map((handler) => handler([message]))).catch(() => [[message]])
        if (failed.flat().length === 0) return
        await new Promise(setImmediate)
      }
      throw new Error(`${message.type} is never handled`)
    },
  }
}

interface Scene {
  readonly orderId: string
  readonly authorize: Message
  /** Of another saga's, or a foreign producer's, second try for the same order. */
  readonly authorizeAgain: Message
  readonly revert: Message
}

function newScene(card: string): Scene {
  const run = (runs += 1)
  const orderId = `order-${run}`
  const message = (id: string, type: string, payload: unknown): Message => ({
    id: `${id}-${run}`,
    type,
    correlationId: `saga-${run}`,
    timestamp: '',
    payload,
  })
  const authorize = message('authorize', 'authorize_payment', {
    order_id: orderId,
    customer: { clerkUserId: 'c1', userStripeCard: { payment_method_id: card } },
    order: { amount: 1999 },
  })
  return {
    orderId,
    authorize,
    authorizeAgain: { ...authorize, id: `again-${run}` },
    revert: { ...message('revert', 'revert_payment', { order_id: orderId, reason: 'x' }), undoes: authorize.id },
  }
}

const paymentOf = (orderId: string): Promise<PaymentRow | undefined> =>
  database.db.selectFrom('payments').selectAll().where('order_id', '=', orderId).executeTakeFirst()

const intentsOf = (orderId: string) =>
  database.db
    .selectFrom('sandbox_intents')
    .innerJoin('payments', 'payments.payment_id', 'sandbox_intents.payment_id')
    .select(['sandbox_intents.status', 'sandbox_intents.cents'])
    .where('order_id', '=', orderId)
    .execute()

async function moneyAt(orderId: string) {
  const intents = await intentsOf(orderId)
  return intents.filter(({ status }) => status === 'requires_capture' || status === 'succeeded')
}

const fates = fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 80 })
const card = fc.constantFrom('pm_sandbox_ok', 'pm_sandbox_lost_answer', 'pm_sandbox_declined')

/** Which messages come, to which process, and how much later than the first. */
const deliveries = <Name extends string>(...names: Name[]) =>
  fc.array(fc.record({ name: fc.constantFrom(...names), process: fc.nat({ max: 1 }), after: fc.nat({ max: 12 }) }), {
    maxLength: 4,
  })

async function run<Name extends string>(
  plan: readonly { readonly name: Name; readonly process: number; readonly after: number }[],
  messages: Readonly<Record<Name, Message>>,
  gate: Gate,
): Promise<readonly Message[]> {
  const processes = [await processOf(gate), await processOf(gate)]
  await Promise.all(
    plan.map(async ({ name, process, after }) => {
      for (let turn = 0; turn < after; turn++) await new Promise(setImmediate)
      await processes[process]?.deliver(messages[name])
    }),
  )
  expect((await auditPayments(database)).problems).toEqual([])
  return processes.flatMap(({ replies }) => replies)
}

const once = <Name extends string>(name: Name, process: number) => ({ name, process, after: 0 })

test('an authorised order has exactly one hold, a refused one none', async () => {
  await fc.assert(
    fc.asyncProperty(card, deliveries('authorize', 'authorizeAgain'), fates, async (card, plan, fates) => {
      const scene = newScene(card)
      await run([once('authorize', 0), ...plan], { ...scene }, gateOf(fates))
      expect(await moneyAt(scene.orderId)).toEqual(
        card === 'pm_sandbox_declined' ? [] : [{ status: 'requires_capture', cents: 1999 }],
      )
    }),
    { numRuns: 60 },
  )
})

test('an undone order has no hold, and says so with one voice', async () => {
  const names = ['authorize', 'authorizeAgain', 'revert'] as const
  await fc.assert(
    fc.asyncProperty(card, deliveries(...names), fates, async (card, plan, fates) => {
      const scene = newScene(card)
      const all = [once('authorize', 0), once('revert', 1), ...plan]
      const replies = await run(all, { ...scene }, gateOf(fates))
      expect(await moneyAt(scene.orderId)).toEqual([])
      const reverts = replies.filter(({ causationId }) => causationId === scene.revert.id)
      expect(new Set(reverts.map(({ type }) => type))).toEqual(new Set(['payment.released']))
    }),
    { numRuns: 100 },
  )
})

test('a released payment that is reverted, in whatever order, leaves nothing with anybody', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('pm_sandbox_ok', 'pm_sandbox_release_fails'),
      deliveries('release', 'revert', 'authorize'),
      fates,
      async (card, plan, fates) => {
        const scene = newScene(card)
        await run([once('authorize', 0)], { ...scene }, gateOf([]))
        const payload = {
          payment_id: (await paymentOf(scene.orderId))?.payment_id,
          runner_id: 'r1',
          runner_connect_account_id: 'acct_1',
        }
        const release = { ...scene.authorize, id: `release-${runs}`, type: 'release_payment', payload }
        await run([once('release', 0), once('revert', 1), ...plan], { ...scene, release }, gateOf(fates))
        expect(await paymentOf(scene.orderId)).toMatchObject({ status: 'REVERTED' })
        expect(await moneyAt(scene.orderId)).toEqual([])
      },
    ),
    { numRuns: 60 },
  )
})

test('a released payment is paid to the runner once', async () => {
  await fc.assert(
    fc.asyncProperty(deliveries('release', 'releaseAgain', 'authorize'), fates, async (plan, fates) => {
      const scene = newScene('pm_sandbox_ok')
      await run([once('authorize', 0)], { ...scene }, gateOf([]))
      const row = await paymentOf(scene.orderId)
      const payload = { payment_id: row?.payment_id, runner_id: 'r1', runner_connect_account_id: 'acct_1' }
      const release = { ...scene.authorize, id: `release-${runs}`, type: 'release_payment', payload }
      const releaseAgain = { ...release, id: `release-again-${runs}` }
      await run([once('release', 0), ...plan], { ...scene, release, releaseAgain }, gateOf(fates))
      expect(await paymentOf(scene.orderId)).toMatchObject({ status: 'SUCCEEDED' })
      const transfers = await database.db
        .selectFrom('sandbox_transfers')
        .select(['cents', 'reversed'])
        .where('intent_id', '=', row?.intent_id ?? '')
        .execute()
      expect(transfers).toEqual([{ cents: 1999, reversed: 0 }])
    }),
    { numRuns: 60 },
  )
})

test.each([
  ['forgot the key', false],
  ['forgot the key and finds no hold', true],
])(
  'an authorisation that reaches the gateway after its undo, and after the gateway %s, leaves one hold, let go',
  async (_what, findsNone) => {
    const scene = newScene('pm_sandbox_ok')
    const sandbox = sandboxGateway(database.db)
    const undoing = await processOf(gateOf([]))
    const late = await processOf(gateOf([]), {
      ...sandbox,
      async authorise(request, key) {
        await undoing.deliver(scene.revert)
        await database.db.deleteFrom('sandbox_calls').execute()
        if (findsNone)
          await database.db.deleteFrom('sandbox_intents').where('payment_id', '=', request.paymentId).execute()
        return sandbox.authorise(request, key)
      },
    })
    await late.deliver(scene.authorize)
    expect(late.replies).toMatchObject([{ type: 'payment.failed' }])
    expect(await intentsOf(scene.orderId)).toEqual([{ status: 'canceled', cents: 1999 }])
  },
)

test('an authorisation whose answer was lost is found, not made again, after the gateway forgot the key', async () => {
  const scene = newScene('pm_sandbox_ok')
  const sandbox = sandboxGateway(database.db)
  let lost = false
  const process = await processOf(gateOf([]), {
    ...sandbox,
    async authorise(...call) {
      const answer = await sandbox.authorise(...call)
      if (lost) return answer
      lost = true
      await database.db.deleteFrom('sandbox_calls').execute()
      throw new Error('nobody heard the answer')
    },
  })
  await process.deliver(scene.authorize)
  expect(process.replies).toMatchObject([{ type: 'payment.authorized' }])
  expect(await intentsOf(scene.orderId)).toEqual([{ status: 'requires_capture', cents: 1999 }])
})

test('a delivery that another one has overtaken does not begin again what its command was refused', async () => {
  const scene = newScene('pm_sandbox_release_fails')
  const first = await processOf(gateOf([]))
  await first.deliver(scene.authorize)
  const payload = {
    payment_id: (await paymentOf(scene.orderId))?.payment_id,
    runner_id: 'r1',
    runner_connect_account_id: 'acct_1',
  }
  const release = { ...scene.authorize, id: `release-${runs}`, type: 'release_payment', payload }
  let overtaken = false
  const second = await processOf(async (where) => {
    // It has just seen that the command is not answered.
    if (where !== 'committed' || overtaken) return
    overtaken = true
    await first.deliver(release)
  })
  await second.deliver(release)
  expect(second.replies).toMatchObject([{ type: 'payment.failed' }])
  expect(await paymentOf(scene.orderId)).toMatchObject({ status: 'CAPTURED', attempt: 1 })
})
