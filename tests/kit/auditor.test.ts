/** The auditor must find what is planted: each damage is done to a copy of the files that a healthy system left. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { pending, transition, type Input } from 'ordersaga/core'
import type { SagaDefinition } from 'ordersaga/definition'
import type { SagaState } from 'ordersaga/state'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../services/app/config.ts'
import { createLog } from '../../services/shared/log/log.ts'
import { services } from '../../services/app/registry.ts'
import { startAll } from '../../services/app/system.ts'
import { auditServices } from './auditor.ts'
import { deliveriesOf } from '../../services/sagas/complete-order/delivery.testkit.ts'
import { acceptOrderWorkflowSaga } from '../../services/sagas/accept-order-workflow/saga.ts'
import { completeOrderWorkflowSaga } from '../../services/sagas/complete-order-workflow/saga.ts'
import { openTables, targetOf, type Place, type Service } from './tables.ts'
import { urlsOf } from './urls.ts'
import type { WorkflowSaga } from './workflow-sagas.ts'

const root = mkdtempSync(join(tmpdir(), 'ordersaga-audit-'))
const healthy = join(root, 'healthy')
let copies = 0
/** The order that is completed, and the one whose runner could not be paid. */
const carried: string[] = []

beforeAll(async () => {
  const ports = Object.fromEntries(services.map(({ port }) => [port.variable, '0']))
  const system = await startAll(readConfig({ ORDERSAGA_DIR: healthy, ...ports }), createLog('audit', 'silent'))
  const runner = deliveriesOf({ urls: urlsOf((service) => system.url(service)) })
  await runner.sagaIn('COMPLETED', await runner.start('cust_123'))
  await runner.sagaIn('COMPENSATED', await runner.start('cust_declined'))
  await runner.sagaIn('COMPLETED', await runner.start('cust_123'))
  for (const customer of ['cust_123', 'cust_release_fails']) {
    const orderId = await runner.carried(customer)
    carried.push(orderId)
    await runner.follow(await runner.begin(orderId))
  }
  await runner.follow(await runner.begin('an-order-that-is-not-there'))
  await system.close()
})

afterAll(() => rmSync(root, { recursive: true, force: true }))

const auditAfter = async (service: Service, ...statements: readonly string[]): Promise<readonly string[]> =>
  (await auditServices(await changed(service, ...statements))).problems

async function changed(service: Service, ...statements: readonly string[]): Promise<Place> {
  const folder = join(root, `copy-${(copies += 1)}`)
  cpSync(healthy, folder, { recursive: true })
  const place = { kind: 'sqlite', folder } as const
  const tables = await openTables(targetOf(place, service))
  for (const statement of statements) await tables.rows(statement)
  await tables.close()
  return place
}

test('a healthy system has no problems', async () => {
  expect(await auditServices({ kind: 'sqlite', folder: healthy })).toEqual({
    problems: [],
    statuses: { COMPLETED: 4, COMPENSATED: 1 },
    deliveries: { COMPLETED: 1, COMPENSATED: 1, FAILED: 1 },
    acceptances: {},
  })
})

const completed = `(select id from saga where status = 'COMPLETED' order by id limit 1)`
const appendOnly = ['ledger_entries', 'ledger_transactions'].flatMap((table) =>
  ['update', 'delete'].map((change) => `drop trigger ${table}_no_${change}`),
)

test.each<readonly [damage: string, service: Service, statements: readonly string[], found: RegExp]>([
  [
    'a saga that has not ended',
    'create-order-saga',
    [
      `update saga_history set state = json_set(state, '$.status', 'STARTED') where saga_id = ${completed} and state is not null`,
      `update saga set status = 'STARTED' where id = ${completed}`,
    ],
    /neither ended nor parked/,
  ],
  [
    'a status beside the state',
    'create-order-saga',
    [`update saga set status = 'CANCELLED' where id = ${completed}`],
    /is listed as CANCELLED/,
  ],
  [
    'a move without history',
    'create-order-saga',
    [`delete from saga_history where seq = 3 and saga_id = ${completed}`],
    /but its history has 1, 2, 4/,
  ],
  [
    'a move that the row does not know',
    'create-order-saga',
    [`update saga set seq = seq - 1 where id = ${completed}`],
    /but its history has/,
  ],
  [
    'a state that its history does not give',
    'create-order-saga',
    [
      `update saga_history set state = json_set(state, '$.seed', -1) where saga_id = ${completed} and state is not null`,
    ],
    /does not fold to its state/,
  ],
  [
    'a lost saga',
    'create-order-saga',
    [`delete from saga where id = ${completed}`],
    /order .* is of saga .*, which there is not/,
  ],
  [
    'an order of no saga',
    'order',
    [
      `insert into orders (order_id, customer_id, description, food_cents, delivery_cents, delivery_location, status,
         created_at, updated_at)
       select 'x', customer_id, description, food_cents, delivery_cents, delivery_location, status,
         created_at, updated_at from orders limit 1`,
    ],
    /order x is of saga null, which there is not/,
  ],
  ['a lost order', 'order', [`delete from orders where status = 'CREATED'`], /is COMPLETED, but has no order/],
  [
    'an order that was never confirmed',
    'order',
    [`update orders set status = 'PENDING' where status = 'CREATED'`],
    /is COMPLETED, but its order .* is PENDING/,
  ],
  [
    'an order that was not undone',
    'order',
    [`update orders set status = 'CREATED' where status = 'CANCELLED'`],
    /is COMPENSATED, but its order .* is CREATED/,
  ],
  [
    'an order at another price',
    'order',
    [`update orders set food_cents = food_cents + 1`],
    /over 1299 cents, but its order costs 1300/,
  ],
  [
    'money that is held no more',
    'payment',
    [...appendOnly, `delete from ledger_entries`, `delete from ledger_transactions`],
    /is COMPLETED, but of the 1299 cents of its order the books hold/,
  ],
  [
    'money held for an undone order',
    'payment',
    [
      `insert into ledger_transactions select 'hold:' || payment_id, payment_id, 0 from payments where status = 'FAILED'`,
      `insert into ledger_entries select 'hold:' || payment_id, 'customer', -cents from payments where status = 'FAILED'`,
      `insert into ledger_entries select 'hold:' || payment_id, 'held', cents from payments where status = 'FAILED'`,
    ],
    /is COMPENSATED, but payment .* has .*"held":1299/,
  ],
  [
    'a second hold at the gateway',
    'payment',
    [
      `insert into sandbox_intents select 'again', payment_id, cents, card, status from sandbox_intents
         where status = 'requires_capture' limit 1`,
    ],
    /the gateway has .*held 2598/,
  ],
  [
    'a payment for an order that is not there',
    'payment',
    [`update payments set order_id = 'elsewhere' where payment_id = (select min(payment_id) from payments)`],
    /is for order elsewhere, which there is not/,
  ],
  ['a lost timer', 'timer', [`delete from timers`], /is COMPLETED, but its order has 0 timers/],
])('%s is found', async (_damage, service, statements, found) => {
  expect(await auditAfter(service, ...statements)).toContainEqual(expect.stringMatching(found))
})

const paidOut = `(select payment_id from payments where status = 'SUCCEEDED')`
const unpaid = `(select payment_id from payments where intent_id in
  (select intent_id from sandbox_intents where card = 'pm_sandbox_release_fails'))`
/** A posting of so many cents for a payment, beside those that are there. */
const posted = (payment: string, from: string, to: string, cents = 1299): readonly string[] => [
  `insert into ledger_transactions select 'planted:' || payment_id, payment_id, 0 from payments where payment_id = ${payment}`,
  `insert into ledger_entries select 'planted:' || payment_id, '${from}', ${-cents} from payments where payment_id = ${payment}`,
  `insert into ledger_entries select 'planted:' || payment_id, '${to}', ${cents} from payments where payment_id = ${payment}`,
]
const keptState = `saga_history where state is not null and saga_id`

test.each<readonly [damage: string, service: Service, statements: readonly string[], found: RegExp]>([
  [
    'that has not ended',
    'complete-order-saga',
    [
      `update saga_history set state = json_set(state, '$.status', 'STARTED') where saga_id = ${completed} and state is not null`,
      `update saga set status = 'STARTED' where id = ${completed}`,
    ],
    /neither ended nor parked/,
  ],
  [
    'with a move that left no history',
    'complete-order-saga',
    [`delete from saga_history where seq = 2 and saga_id = ${completed}`],
    /but its history has 1, 3/,
  ],
  [
    'whose history does not give its state',
    'complete-order-saga',
    [
      `update saga_history set state = json_set(state, '$.seed', -1) where saga_id = ${completed} and state is not null`,
    ],
    /does not fold to its state/,
  ],
  [
    'whose order is not completed',
    'order',
    [`update orders set status = 'DELIVERED' where status = 'COMPLETED'`],
    /is COMPLETED, but its order .* is DELIVERED/,
  ],
  [
    'whose order is lost',
    'order',
    [`delete from orders where status = 'COMPLETED'`],
    /is COMPLETED, but there is no order/,
  ],
  [
    'whose payment has not succeeded',
    'payment',
    [`update payments set status = 'CAPTURED' where status = 'SUCCEEDED'`],
    /is COMPLETED, but payment .* is CAPTURED/,
  ],
  [
    "whose payment is another order's",
    'payment',
    [`update payments set order_id = 'elsewhere' where status = 'SUCCEEDED'`],
    /is COMPLETED, but its order has 0 payments/,
  ],
  [
    'that paid another runner',
    'payment',
    [`update payments set runner_id = 'runner_456' where status = 'SUCCEEDED'`],
    /for runner_123 .*, but payment .* is for runner_456/,
  ],
  [
    'that paid to the account of another',
    'payment',
    [`update payments set runner_account = 'acct_other' where status = 'SUCCEEDED'`],
    /with acct_sandbox_runner_123, but payment .* with acct_other/,
  ],
  [
    'whose money the gateway sent to another account',
    'payment',
    [`update sandbox_transfers set account = 'acct_other'`],
    /for 1299 cents to acct_sandbox_runner_123, but the gateway has sent .*acct_other/,
  ],
  [
    'of which the gateway sent a part',
    'payment',
    [`update sandbox_transfers set cents = cents - 1`],
    /for 1299 cents .*, but the gateway has sent .*1298/,
  ],
  [
    'that the gateway paid twice',
    'payment',
    [`insert into sandbox_transfers select 'again', intent_id, account, cents, reversed from sandbox_transfers`],
    /but the gateway has sent \[\{.*\},\{.*\}\]/,
  ],
  [
    'that the books paid twice',
    'payment',
    posted(paidOut, 'escrow', 'runner'),
    /is COMPLETED over 1299 cents, but payment .* has paid: .*"runner":2598/,
  ],
  [
    'that the books never paid',
    'payment',
    posted(paidOut, 'runner', 'escrow'),
    /is COMPLETED over 1299 cents, but payment .* has paid: .*"runner":0/,
  ],
  [
    'that was undone and has paid all the same',
    'payment',
    posted(unpaid, 'escrow', 'runner'),
    /is COMPENSATED, but payment .* has paid: .*"runner":1299/,
  ],
  [
    'that was undone, and the gateway has paid',
    'payment',
    [
      `insert into sandbox_transfers select 'planted', intent_id, 'acct_1', cents, 0 from sandbox_intents
         where card = 'pm_sandbox_release_fails'`,
    ],
    /is COMPENSATED, but payment .* has paid: .*acct_1/,
  ],
  [
    'that was undone, and the money of the order is nowhere',
    'payment',
    posted(unpaid, 'escrow', 'customer'),
    /is COMPLETED, but of the 1299 cents of its order the books hold/,
  ],
  [
    'that was undone and left its order DELIVERED',
    'order',
    [`update orders set status = 'DELIVERED' where status = 'ON_THE_WAY'`],
    /is COMPENSATED, but its order .* is DELIVERED/,
  ],
  [
    'that was undone and left its order COMPLETED',
    'order',
    [`update orders set status = 'COMPLETED' where status = 'ON_THE_WAY'`],
    /is COMPENSATED, but its order .* is COMPLETED/,
  ],
  [
    'that is lost, and has paid',
    'complete-order-saga',
    [`delete from saga_history where saga_id = ${completed}`, `delete from saga where id = ${completed}`],
    /payment .* has paid: .*, but no saga was to complete order/,
  ],
  [
    'that is lost, and has completed its order',
    'complete-order-saga',
    [`delete from saga_history where saga_id = ${completed}`, `delete from saga where id = ${completed}`],
    /order .* is COMPLETED, but no saga has completed it/,
  ],
  [
    'of an order that another has completed',
    'complete-order-saga',
    [
      `update saga_history set state = json_set(state, '$.status', 'COMPLETED', '$.input.order_id',
         (select json_extract(state, '$.input.order_id') from ${keptState} = ${completed} limit 1))
         where state is not null and saga_id in (select id from saga where status = 'COMPENSATED')`,
    ],
    /was completed by 2 sagas/,
  ],
])('a delivery %s is found', async (_damage, service, statements, found) => {
  const all = service === 'payment' ? [...appendOnly, ...statements] : statements
  expect(await auditAfter(service, ...all)).toContainEqual(expect.stringMatching(found))
})

test('two orders of one saga are found', async () => {
  // The table itself refuses them; a copy without that rule is what a forgotten rule would leave.
  const problems = await auditAfter(
    'order',
    'create table copied as select * from orders',
    'drop table orders',
    'alter table copied rename to orders',
    `insert into orders (order_id, saga_id, customer_id, description, food_cents, delivery_cents, delivery_location,
       status, created_at, updated_at)
     select 'twice', saga_id, customer_id, description, food_cents, delivery_cents, delivery_location,
       status, created_at, updated_at from orders limit 1`,
  )
  expect(problems).toContainEqual(expect.stringMatching(/has 2 orders/))
})

describe('sagas that Temporal keeps', () => {
  /** What a type of command is answered; done with nothing where nothing is said. Null: it is not. */
  type Answers = Readonly<Record<string, { readonly done: unknown } | { readonly error: string } | null>>

  /** A saga that went so, as its workflow tells of it. */
  function kept(
    definition: SagaDefinition,
    order_id: string,
    answers: Answers = {},
    { runner_id = 'runner_123', id = 'workflow/run' } = {},
  ): WorkflowSaga {
    const moves: WorkflowSaga['moves'][number][] = []
    let state: SagaState | null = null
    const take = (input: Input): void => {
      const moved = transition(definition, state, input, 1_000)
      state = moved.state
      moves.push({ seq: moves.length + 1, events: moved.events })
    }
    take({ type: 'start', id, input: { order_id, runner_id }, seed: 1 })
    for (;;) {
      const [command] = state === null ? [] : pending(definition, state).commands
      const said = command === undefined ? null : answers[command.type] === undefined ? {} : answers[command.type]
      if (command === undefined || said == null) break
      const { type, id: causationId } = command
      const reply =
        'error' in said
          ? { type: `${type}.refused`, payload: said, causationId }
          : { type: `${type}.done`, payload: 'done' in said ? said.done : {}, causationId }
      take({ type: 'reply', reply })
    }
    const told = JSON.parse(JSON.stringify({ state, moves })) as Pick<WorkflowSaga, 'state' | 'moves'>
    const { status } = told.state
    const listed = { COMPLETED: 'COMPLETED', COMPENSATED: 'FAILED', FAILED: 'FAILED' }[status as string] ?? 'RUNNING'
    return { ...told, listed, shown: status }
  }

  const reads: Answers = {
    verify_runner: { done: { status: 'ON_THE_WAY' } },
    get_user_stripe_connect: { done: 'acct_1' },
    get_payment_status: { done: 'pay_1' },
  }
  const delivery = (order: string, answers: Answers = {}, more = {}): WorkflowSaga =>
    kept(completeOrderWorkflowSaga(), order, { ...reads, ...answers }, more)
  const acceptance = (order: string, answers: Answers = {}, more = {}): WorkflowSaga =>
    kept(acceptOrderWorkflowSaga(), order, answers, more)
  const refused = { error: 'no' }

  /** The orders of these, whose sagas over Kafka are taken away, so that the workflows are all that there is of them. */
  const withoutKafka = (): Promise<Place> =>
    changed('complete-order-saga', 'delete from saga_history', 'delete from saga')
  const stopped = (orderId: string) => `update timers set state = 'STOPPED' where order_id = '${orderId}'`

  const paid = (answers: Answers = {}, more = {}) => delivery(carried[0] ?? '', answers, more)
  const unpaidDelivery = (answers: Answers = {}, more = {}) => delivery(carried[1] ?? '', answers, more)

  test('a delivery and an acceptance that left what they say have no problems', async () => {
    const { problems, deliveries } = await auditServices(await withoutKafka(), {
      deliveries: [paid(), unpaidDelivery({ get_payment_status: refused }, { id: 'another/run' })],
      acceptances: [],
    })
    expect({ problems, deliveries }).toEqual({ problems: [], deliveries: { COMPLETED: 1, COMPENSATED: 1 } })
    const found = await auditServices(await changed('timer', stopped(carried[0] ?? '')), {
      deliveries: [],
      acceptances: [acceptance(carried[0] ?? '')],
    })
    expect([found.problems, found.acceptances]).toEqual([[], { COMPLETED: 1 }])
  })

  test.each<readonly [damage: string, sagas: () => readonly WorkflowSaga[], found: RegExp]>([
    ['that has not ended', () => [paid({ release_funds: null })], /is STARTED: neither ended nor parked/],
    ['whose workflow was ended before it', () => [{ ...paid(), listed: 'TERMINATED' }], /workflow is TERMINATED/],
    ['that failed in a workflow that did not', () => [{ ...paid(), listed: 'FAILED' }], /its workflow is FAILED/],
    ['listed under another status', () => [{ ...paid(), shown: 'STARTED' }], /is listed as STARTED/],
    [
      'with a move that left no history',
      () => [{ ...paid(), moves: paid().moves.filter(({ seq }) => seq !== 2) }],
      /but its history has 1, 3/,
    ],
    [
      'whose history does not give its state',
      () => [{ ...paid(), state: { ...paid().state, seed: -1 } }],
      /does not fold to its state/,
    ],
    ['that there is twice', () => [paid(), paid()], /2 workflows say that they are saga/],
    ['that two have completed', () => [paid(), paid({}, { id: 'another/run' })], /was completed by 2 sagas/],
    ['whose order is not completed', () => [unpaidDelivery()], /is COMPLETED, but its order .* is ON_THE_WAY/],
    ['that was undone, and has paid', () => [paid({ get_payment_status: refused })], /but payment .* has paid/],
    [
      'that gave back what is still there',
      () => [unpaidDelivery({ release_funds: refused })],
      /is COMPLETED, but of the 1299 cents of its order the books hold/,
    ],
    ['of an order that there is not', () => [delivery('none')], /but there is no order none/],
  ])('a delivery %s is found', async (_damage, sagas, found) => {
    const { problems } = await auditServices(await withoutKafka(), { deliveries: sagas(), acceptances: [] })
    expect(problems).toContainEqual(expect.stringMatching(found))
  })

  const taken = (answers: Answers = {}, more = {}) => acceptance(carried[0] ?? '', answers, more)

  test.each<readonly [damage: string, sagas: () => readonly WorkflowSaga[], found: RegExp]>([
    ['whose timer runs on', () => [taken()], /is COMPLETED, but its order has 1 timers/],
    ['that has not ended', () => [taken({ notify_timer_service: null })], /is STARTED: neither ended nor parked/],
    [
      "whose order is another runner's",
      () => [taken({}, { runner_id: 'runner_456' })],
      /accepted it for runner_456, but order .* of runner runner_123/,
    ],
    [
      'that was undone and left the order to its runner',
      () => [taken({ notify_timer_service: refused })],
      /is COMPENSATED, but order .* is COMPLETED, of runner runner_123/,
    ],
    [
      'beside one for another runner',
      () => [taken(), taken({}, { runner_id: 'runner_456', id: 'another/run' })],
      /was accepted by 2 runners: runner_123, runner_456/,
    ],
    ['of an order that there is not', () => [acceptance('none')], /but there is no order none/],
  ])('an acceptance %s is found', async (_damage, sagas, found) => {
    const { problems } = await auditServices(
      { kind: 'sqlite', folder: healthy },
      { deliveries: [], acceptances: sagas() },
    )
    expect(problems).toContainEqual(expect.stringMatching(found))
  })
})
