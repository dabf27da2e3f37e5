/** All services in one process, as they start: who reads is there before anybody says something unasked. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readConfig } from './config.ts'
import { openDatabase } from '../shared/database/database.ts'
import { createLog } from '../shared/log/log.ts'
import { orderEvent } from '../order/events.ts'
import { cancel, findOrderOfSaga } from '../order/rows.ts'
import { orderMigrations, type OrderTables } from '../order/schema.ts'
import { shopOf } from '../sagas/create-order/shop.testkit.ts'
import { services } from './registry.ts'
import { startAll, type System } from './system.ts'
import { newFolder } from '../shared/testing/ask.ts'
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
