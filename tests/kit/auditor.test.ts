/** The auditor must find what is planted: each damage is done to a copy of the files that a healthy system left. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConfig } from '../../services/app/config.ts'
import { createLog } from '../../services/shared/log/log.ts'
import { services } from '../../services/app/registry.ts'
import { startAll } from '../../services/app/system.ts'
import { auditServices } from './auditor.ts'
import { openTables, targetOf } from './tables.ts'

const root = mkdtempSync(join(tmpdir(), 'ordersaga-audit-'))
const healthy = join(root, 'healthy')
let copies = 0

beforeAll(async () => {
  const ports = Object.fromEntries(services.map(({ port }) => [port.variable, '0']))
  const system = await startAll(readConfig({ ORDERSAGA_DIR: healthy, ...ports }), createLog('audit', 'silent'))
  const url = system.url('create-order')
  for (const customer_id of ['cust_123', 'cust_declined', 'cust_123']) {
    const response = await fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        customer_id,
        order_details: { foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }], deliveryLocation: 'North' },
      }),
    })
    const { saga_id } = (await response.json()) as { saga_id: string }
    await (await fetch(`${url}/sagas/${saga_id}/updates`)).text() // until the saga has ended
  }
  await system.close()
})

afterAll(() => rmSync(root, { recursive: true, force: true }))

type Service = Parameters<typeof targetOf>[1]

async function auditAfter(service: Service, ...statements: readonly string[]): Promise<readonly string[]> {
  const folder = join(root, `copy-${(copies += 1)}`)
  cpSync(healthy, folder, { recursive: true })
  const place = { kind: 'sqlite', folder } as const
  const tables = await openTables(targetOf(place, service))
  for (const statement of statements) await tables.rows(statement)
  await tables.close()
  return (await auditServices(place)).problems
}

test('a healthy system has no problems', async () => {
  const { problems, statuses } = await auditServices({ kind: 'sqlite', folder: healthy })
  expect(problems).toEqual([])
  expect(statuses).toEqual({ COMPLETED: 2, COMPENSATED: 1 })
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
