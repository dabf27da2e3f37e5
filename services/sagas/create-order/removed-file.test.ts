/** A database's file is removed while its service runs: nothing more is acknowledged that nobody would find again. */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { call } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { burger, shopOf, type Shop } from './shop.testkit.ts'

let system: Embedded
let shop: Shop

beforeEach(async () => {
  system = await startEmbedded()
  shop = shopOf(system)
})
afterEach(() => system.close())

const fileOf = (name: string): string => join(system.folder, `${name}.db`)
const readiness = async (url: string): Promise<number> => (await call('GET', `${url}/health/ready`)).status
const removed = 'the file of the database was removed, and nothing was changed: send it again in a moment'

test("without the sagas' file no order is taken, nothing is read, and the saga's service is not ready", async () => {
  const { sagas, user } = system.urls
  const id = await shop.start('cust_123')
  await shop.sagaIn('COMPLETED', id)
  rmSync(fileOf('create-order-saga'))
  const placed = await shop.place('cust_123')
  expect([placed.status, placed.body]).toEqual([503, { success: false, error: removed }])
  expect(placed.headers.get('retry-after')).toBe('2')
  for (const path of [`/sagas/${id}`, '/api/sagas', '/ops/counts'])
    expect([path, (await call('GET', `${sagas}${path}`)).status]).toEqual([path, 503])
  await expect.poll(() => readiness(sagas)).toBe(503)
  expect(await readiness(user)).toBe(200)
  expect((await call('GET', `${sagas}/health/live`)).status).toBe(200)
  await system.close()
  expect(existsSync(fileOf('create-order-saga'))).toBe(false)
})

test("a saga that runs while the sagas' file is away goes on when it is back", async () => {
  const { sagas } = system.urls
  system.gate.hold('order.created')
  const id = await shop.start('cust_123')
  await expect.poll(() => system.gate.held('order.created').length).toBe(1)
  renameSync(fileOf('create-order-saga'), `${fileOf('create-order-saga')}-moved`)
  system.gate.release('order.created')
  expect((await shop.place('cust_123')).status).toBe(503)
  await expect.poll(() => readiness(sagas)).toBe(503)
  renameSync(`${fileOf('create-order-saga')}-moved`, fileOf('create-order-saga'))
  await expect.poll(() => readiness(sagas)).toBe(200)
  await shop.sagaIn('COMPLETED', id)
  expect(await shop.count()).toBe(1)
})

test("while a participant's file is away it obeys nothing, says so, and does it once when that is back", async () => {
  const { order } = system.urls
  renameSync(fileOf('order'), `${fileOf('order')}-moved`)
  const json = { customer_id: 'cust_123', order_details: burger }
  const made = await call('POST', `${order}/createOrder`, { json })
  expect([made.status, made.text]).toEqual([503, expect.stringContaining(removed)])
  await expect.poll(() => readiness(order)).toBe(503)
  const id = await shop.start('cust_123')
  renameSync(`${fileOf('order')}-moved`, fileOf('order'))
  await expect.poll(() => readiness(order)).toBe(200)
  const { order_id } = await shop.sagaIn('COMPLETED', id)
  expect(await shop.orderStatus(order_id)).toBe('CREATED')
  expect(await shop.problems()).toEqual([])
})
