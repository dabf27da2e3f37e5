/** All services in one process, as they start: who reads is there before anybody says something unasked. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readConfig } from './config.ts'
import { openDatabase } from '../shared/database/database.ts'
import { createLog } from '../shared/log/log.ts'
import { orderEvent } from '../order/events.ts'
import { cancel, findOrderOfSaga } from '../order/rows.ts'
import { orderMigrations, type OrderTables } from '../order/schema.ts'
import { shopOf } from '../sagas/create-order/shop.testkit.ts'
import { services } from './registry.ts'
import { startAll, startOne, type System } from './system.ts'
import { newFolder } from '../shared/testing/ask.ts'
import { call } from '../shared/testing/call.ts'
import { timerMigrations, type TimerTables } from '../timer/schema.ts'

const ports = Object.fromEntries(services.map(({ port }) => [port.variable, '0']))
const start = (folder: string): Promise<System> =>
  startAll(readConfig({ ...ports, ORDERSAGA_DIR: folder }), createLog('test', 'silent'))

function shopIn(system: System) {
  return shopOf({
    urls: {
      user: system.url('user'),
      order: system.url('order'),
      payment: system.url('payment'),
      timer: system.url('timer'),
      sagas: system.url('create-order'),
      deliveries: system.url('complete-order'),
    },
  })
}

test('what came due or was left to be told while the process was down reaches the sagas at its start', async () => {
  const folder = newFolder()
  const first = await start(folder)
  const before = shopIn(first)
  const [expiring, cancelled] = [await before.start('cust_123'), await before.start('cust_123')]
  for (const saga of [expiring, cancelled]) await before.sagaIn('COMPLETED', saga)
  await first.close()

  const timers = await openDatabase<TimerTables>(
    { kind: 'sqlite', file: join(folder, 'timer.db') },
    timerMigrations('sqlite'),
  )
  await timers.db
    .updateTable('timers')
    .set({ expires_at: Date.now() - 1 })
    .where('saga_id', '=', expiring)
    .execute()
  await timers.close()
  const orders = await openDatabase<OrderTables>(
    { kind: 'sqlite', file: join(folder, 'order.db') },
    orderMigrations('sqlite'),
  )
  await orders.db.transaction().execute(async (tx) => {
    const { order_id } = (await findOrderOfSaga(tx, cancelled)) ?? { order_id: '' }
    const { order } = await cancel(tx, order_id, { from: ['CREATED'], reason: 'by the customer' }, Date.now())
    if (order === undefined) throw new Error('the saga has no order')
    const message = JSON.stringify(orderEvent('cancelled', order, Date.now()))
    await tx.insertInto('outbox').values({ channel: 'order_events', message }).execute()
  })
  await orders.close()

  const second = await start(folder)
  const after = shopIn(second)
  for (const id of [expiring, cancelled]) {
    const saga = await after.sagaIn('CANCELLED', id)
    expect([await after.orderStatus(saga.order_id), await after.payment(saga.order_id)]).toEqual([
      'CANCELLED',
      expect.objectContaining({ status: 'REVERTED' }),
    ])
  }
  expect(await after.problems()).toEqual([])
  await second.close()
})

describe('whether prices and stock are changed without a token', () => {
  const lamp = { name: 'Lamp', price: 12.99, stock: 1, vendor_id: 'vendor@example.com' }
  const adds = async (system: System): Promise<number> => {
    try {
      return (await call('POST', `${system.url('stock')}/product`, { json: lamp })).status
    } finally {
      await system.close()
    }
  }
  const alone = (variables: Readonly<Record<string, string>>): Promise<System> =>
    startOne(
      'stock',
      readConfig({ ...ports, ...variables, ORDERSAGA_DIR: newFolder(), SERVICE_TOKEN: 'x'.repeat(32) }),
      createLog('test', 'silent'),
    )

  test('they are not where our Auth Service runs in the same process', async () => {
    expect(await adds(await start(newFolder()))).toBe(401)
  })

  test.each([
    { AUTH_SERVICE_URL: 'http://127.0.0.1:8086' },
    { AUTHERIZATION_SERVER_HOST: 'http://auth-service' },
    { AUTHORIZATION_SERVER_PORT: '5206' },
  ])('they are not where the environment names an auth server: %j', async (variables) => {
    expect(await adds(await alone(variables))).toBe(401)
  })

  test('they are where it names none, on this machine alone', async () => {
    expect(await adds(await alone({}))).toBe(201)
    expect(() => readConfig({ HOST: '0.0.0.0' })).toThrow('HOST')
  })
})
