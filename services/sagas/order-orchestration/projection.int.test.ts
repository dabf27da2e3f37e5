/** How long the readable keys live, and what is never written over them: on a real Redis. */
import { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { redisUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { orderOrchestrationChannels } from '../../shared/order-orchestration.ts'
import { openHouse, type House } from './house.testkit.ts'
import { openProjection, type Projection } from './projection.ts'

const ttlMs = 6_000

suiteOn('Redis', await redisUrl(), 'the readable keys', (url) => {
  let admin: Redis
  let prefix: string
  let house: House
  let projection: Projection
  const keys: string[] = []

  const openOne = (): Projection =>
    openProjection({
      url,
      prefix,
      engine: house.engine,
      store: house.store,
      definition: 'order-orchestration',
      ttlMs,
      log: pino({ level: 'silent' }),
    })

  beforeEach(async () => {
    prefix = `test-${randomUUID().slice(0, 8)}`
    admin = new Redis(url)
    // One that is asked to make an order says nothing: the order stays under way.
    house = await openHouse({ foreign: ['order'], foreignMs: 600_000 })
    house.lost.add('create_order')
    projection = openOne()
    projection.begin()
  })
  afterEach(async () => {
    await projection.stop()
    await house.close()
    await admin.unlink(`${prefix}:projection`, ...keys.splice(0))
    await admin.quit()
  })

  async function placed(): Promise<string> {
    const id = await house.place()
    keys.push(...['order', 'product', 'payment'].map((of) => `${of}_saga:${id}`))
    await expect.poll(() => saidOf(id)).toMatchObject({ status: 'Pending', payment_id: expect.any(String) as string })
    return id
  }
  const saidOf = async (id: string): Promise<unknown> => JSON.parse((await admin.get(`order_saga:${id}`)) ?? 'null')
  /** Its answer comes after all. */
  async function made(id: string): Promise<string> {
    await expect.poll(house.types).toContain('create_order')
    const orderId = randomUUID()
    keys.push(`order_id:${orderId}`)
    const answer = { id: randomUUID(), type: 'create_order.success', correlationId: id, timestamp: '' }
    await house.transport.publish(orderOrchestrationChannels.replies, [{ ...answer, payload: { order_id: orderId } }])
    await house.reaches('COMPLETED', id)
    return orderId
  }

  test('live for as long as the order is under way, and then for their time; its id is found longer', async () => {
    const id = await placed()
    let before = await admin.pttl(`order_saga:${id}`)
    const isRenewed = async (): Promise<boolean> => {
      const now = await admin.pttl(`order_saga:${id}`)
      const more = now > before
      before = now
      return more
    }
    for (let time = 0; time < 3; time++) await expect.poll(isRenewed, { interval: 20 }).toBe(true)
    const orderId = await made(id)
    await expect.poll(() => saidOf(id)).toMatchObject({ status: 'success' })
    await expect.poll(() => saidOf(id)).toBeNull()
    expect(await admin.get(`order_id:${orderId}`)).toBe(id)
  })

  test('say that no payment is to come where the products could not be had', async () => {
    house.refused.set('reduce_stock', 'only 1 left')
    const id = await house.place()
    keys.push(...['order', 'product', 'payment'].map((of) => `${of}_saga:${id}`))
    await expect.poll(() => saidOf(id)).toMatchObject({ status: 'failed' })
    expect(JSON.parse((await admin.get(`payment_saga:${id}`)) ?? '')).toMatchObject({ payment_status: 'Failed' })
  })

  test('are never those of an older state, whoever is slow', async () => {
    const id = await placed()
    const newer = JSON.stringify({ transaction_id: id, seq: 1_000 })
    await admin.set(`order_saga:${id}`, newer)
    const orderId = await made(id)
    // What comes after it is written: so was this looked at.
    const other = await placed()
    expect(await saidOf(other)).toMatchObject({ transaction_id: other })
    expect(await admin.get(`order_saga:${id}`)).toBe(newer)
    expect(await admin.get(`order_id:${orderId}`)).toBeNull()
  })

  test('are caught up with after a stop, from where they were', async () => {
    await projection.stop()
    const id = await house.place()
    keys.push(...['order', 'product', 'payment'].map((of) => `${of}_saga:${id}`))
    const orderId = await made(id)
    expect(await saidOf(id)).toBeNull()
    projection = openOne()
    projection.begin()
    await expect.poll(() => admin.get(`order_id:${orderId}`)).toBe(id)
  })
})
