/** The Order Orchestration over a real RabbitMQ with its sagas in a real Redis, before participants that behave as the originals. */
import { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { redisStore } from 'ordersaga/stores/redis'
import type { Transport } from 'ordersaga/transport'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rabbitmqUrl, redisUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { orderOrchestrationChannels, withoutTransaction } from '../../shared/order-orchestration.ts'
import type { OpenService } from '../../shared/service.ts'
import { call } from '../../shared/testing/call.ts'
import { chair, lamp, order, type OrderBody } from './house.testkit.ts'
import { Originals } from './originals.testkit.ts'
import { parts } from './saga.ts'
import { openOrderOrchestrationService } from './service.ts'

const found = await Promise.all([rabbitmqUrl(), redisUrl()])
const [rabbit, redis] = found
const both = rabbit === null || redis === null ? null : { rabbit, redis }

/** Whoever is to answer is waited for; whoever is to say nothing is waited for no longer than a busy machine needs. */
const [patienceMs, silenceMs] = [60_000, 5_000]
const ttlMs = 600_000

suiteOn('RabbitMQ and Redis', both, 'orders before participants as the originals are', ({ rabbit, redis }) => {
  let originals: Originals
  let transport: Transport
  let service: OpenService
  let admin: Redis
  let prefix: string
  const ids: string[] = []

  async function open(foreignMs: number): Promise<void> {
    prefix = `test-${randomUUID().slice(0, 8)}`
    const { stock, payment, order, replies } = orderOrchestrationChannels
    const named = (queue: string): string => `${prefix}.${queue}`
    originals = new Originals({
      stock: named(stock),
      payment: named(payment),
      order: named(order),
      replies: named(replies),
    })
    originals.stock.set(lamp, 10)
    originals.stock.set(chair, 10)
    await originals.start(rabbit)
    admin = new Redis(redis)
    transport = rabbitmqTransport({
      url: rabbit,
      queues: Object.fromEntries(Object.values(orderOrchestrationChannels).map((queue) => [queue, named(queue)])),
      uncorrelated: withoutTransaction,
      onProblem: () => undefined,
    })
    await expect.poll(() => transport.ready()).toBe(true)
    const store = redisStore({ url: redis, prefix, acceptLoss: true })
    await store.open()
    service = await openOrderOrchestrationService({
      store,
      transport,
      host: '127.0.0.1',
      port: 0,
      log: pino({ level: 'silent' }),
      verify: async (email) => ({
        kind: 'user',
        user: { subject: 'x', email: email ?? '', roles: ['customer'] },
      }),
      acceptUnnamed: false,
      foreign: parts,
      foreignMs,
      products: async (id) => ({ name: id, price: id === lamp ? 4.5 : 19.99, vendor: null }),
      readable: { url: redis, prefix },
    })
    service.begin()
  }
  async function close(): Promise<void> {
    await service.close()
    await transport.close()
    await originals.close()
    for (const { id } of originals.orders) await admin.unlink(`order_id:${id}`)
    const keys = ids.splice(0).flatMap((id) => ['order', 'product', 'payment'].map((of) => `${of}_saga:${id}`))
    if (keys.length > 0) await admin.unlink(...keys)
    for await (const own of admin.scanStream({ match: `${prefix}*`, count: 1_000 }))
      if ((own as string[]).length > 0) await admin.unlink(...(own as string[]))
    await admin.quit()
  }
  async function openToSilence(): Promise<void> {
    await close()
    await open(silenceMs)
  }
  beforeEach(() => open(patienceMs))
  afterEach(close)

  const headers = { authorization: order.user_email }
  async function place(more: object = {}): Promise<string> {
    const { status, body, text } = await call('POST', `${service.url}/orders/create_order`, {
      json: { ...order, ...more },
      headers: { authorization: (more as { readonly user_email?: string }).user_email ?? order.user_email },
    })
    expect([status, text]).toEqual([200, expect.stringContaining('saga_id')])
    const { saga_id: id } = body as { readonly saga_id: string }
    ids.push(id)
    return id
  }
  const read = async (id: string, email = order.user_email): Promise<OrderBody> =>
    (await call('GET', `${service.url}/orders/${id}`, { headers: { authorization: email } })).body as OrderBody
  async function reaches(status: string, id: string, email = order.user_email): Promise<OrderBody> {
    await expect.poll(async () => (await read(id, email)).status, { timeout: 30_000 }).toBe(status)
    return read(id, email)
  }
  const events = (): readonly string[] => originals.came.map(({ event }) => event)
  const initial = { [lamp]: 10, [chair]: 10 }
  const left = () => Object.fromEntries(originals.stock)
  /** Nobody hangs, and what is left and what is sold is what there was. */
  function expectBooks(): void {
    expect(originals.stopped).toEqual([])
    const sold = (product: string) =>
      originals.taken
        .filter((one) => one.product === product && !one.rolledBack)
        .reduce((sum, { quantity }) => sum + quantity, 0)
    for (const [product, count] of Object.entries(initial))
      expect((originals.stock.get(product) ?? 0) + sold(product)).toBe(count)
    const live = originals.orders.filter(({ status }) => status !== 'Canceled')
    expect(
      originals.payments
        .filter(({ status }) => status === 'Success')
        .map((one) => one.transaction)
        .toSorted(),
    ).toEqual(live.map((one) => one.transaction).toSorted())
  }

  test('an order is made by commands as they know them, and order and payment know each other', async () => {
    const id = await place()
    const { order_id: orderId, payment_id: paymentId } = await reaches('COMPLETED', id)
    await expect.poll(() => originals.payments[0]?.order).toBe(orderId)
    expect(originals.orders).toEqual([{ id: orderId, transaction: id, status: 'Pending', payment: paymentId }])
    expect(originals.came.map(({ event, transaction_id }) => [event, transaction_id]).slice(0, 3)).toEqual([
      ['reduce_stock', id],
      ['take_payment', id],
      ['create_order', id],
    ])
    expect(left()).toEqual({ [lamp]: 8, [chair]: 9 })
    expectBooks()
  })

  test('a stock that fails in the middle gives back what it had taken, since it is told so', async () => {
    originals.stock.set(chair, 0)
    await reaches('COMPENSATED', await place())
    await expect.poll(events).toEqual(['reduce_stock', 'rollback_stock'])
    expect(left()).toEqual({ [lamp]: 10, [chair]: 0 })
    expect(originals.stopped).toEqual([])
  })

  test('a payment that says nothing is undone after a while, and no order is undone that was not asked for', async () => {
    await openToSilence()
    originals.swallowed.add(order.user_email)
    const { error } = await reaches('COMPENSATED', await place())
    expect(error).toContain('The payment could not be taken')
    await expect.poll(left).toEqual(initial)
    expect(events().toSorted()).toEqual(['reduce_stock', 'rollback_payment', 'rollback_stock', 'take_payment'])
    expectBooks()
  })

  test('an order service that says nothing is asked nothing more: a person is, until its answer comes late', async () => {
    await openToSilence()
    originals.ordering = false
    const id = await place()
    await reaches('PARKED', id)
    expect(events()).not.toContain('rollback_order')
    originals.orderAgain()
    await reaches('COMPLETED', id)
    expect(originals.commands('create_order')).toHaveLength(1)
    expectBooks()
  })

  test('a cancel of what is complete gives all of it back', async () => {
    const id = await place()
    const { order_id: orderId } = await reaches('COMPLETED', id)
    const cancelled = await call('POST', `${service.url}/orders/cancel_order?order_id=${orderId}`, { headers })
    expect([cancelled.status, cancelled.body]).toEqual([200, { message: 'Order cancellation started' }])
    await reaches('CANCELLED', id)
    await expect.poll(left).toEqual(initial)
    expect(events().slice(-3).toSorted()).toEqual(['rollback_order', 'rollback_payment', 'rollback_stock'])
    expect(originals.orders.map(({ status }) => status)).toEqual(['Canceled'])
    expectBooks()
  })

  test('answers that come three times lead to one payment and one order', async () => {
    originals.copies = 3
    await reaches('COMPLETED', await place())
    expect([originals.payments, originals.orders]).toMatchObject([{ length: 1 }, { length: 1 }])
    expectBooks()
  })

  test('forty buyers of ten lamps, all at once: what is sold and what is left is what there was, and each payment has its order', async () => {
    const buyers = Array.from({ length: 40 }, (_, n) => `buyer${n}@example.com`)
    const items = [order.items[1], order.items[0]].map((item) => ({ ...item, quantity: 1 }))
    const placed = await Promise.all(buyers.map((user_email) => place({ user_email, items })))
    const ended = await Promise.all(
      placed.map(async (id, n) => {
        await expect
          .poll(async () => (await read(id, buyers[n])).status, { timeout: 30_000 })
          .toMatch(/^(COMPLETED|COMPENSATED)$/)
        return (await read(id, buyers[n])).status
      }),
    )
    expect(ended.filter((status) => status === 'COMPLETED')).toHaveLength(10)
    await expect.poll(left).toEqual({ [lamp]: 0, [chair]: 0 })
    expectBooks()
  })

  describe('the readable keys', () => {
    const json = async (key: string): Promise<unknown> => JSON.parse((await admin.get(key)) ?? 'null')

    test('tell of an order as it becomes, and live for ten minutes after', async () => {
      const id = await place()
      const { order_id: orderId, payment_id: paymentId } = await reaches('COMPLETED', id)
      await expect
        .poll(() => json(`order_saga:${id}`))
        .toMatchObject({
          transaction_id: id,
          status: 'success',
          saga_status: 'COMPLETED',
          payment_id: paymentId,
          items: order.items,
          user_email: order.user_email,
          payment_method: 'Credit Card',
        })
      expect(await json(`payment_saga:${id}`)).toMatchObject({
        transaction_id: id,
        order_id: orderId,
        amount: 28.99,
        payment_status: 'success',
      })
      expect(await json(`product_saga:${id}`)).toMatchObject({
        transaction_id: id,
        product_id: lamp,
        quantity: 2,
        products: [
          { product_id: lamp, quantity: 2 },
          { product_id: chair, quantity: 1 },
        ],
      })
      expect(await admin.get(`order_id:${orderId}`)).toBe(id)
      const ttl = await admin.pttl(`order_saga:${id}`)
      expect(ttl).toBeGreaterThan(ttlMs - 60_000)
      expect(ttl).toBeLessThanOrEqual(ttlMs)
    })

    test('tell of one that was undone, and lose nothing that the saga needs when they are gone', async () => {
      await openToSilence()
      originals.ordering = false
      const id = await place()
      await reaches('PARKED', id)
      await expect.poll(() => json(`order_saga:${id}`)).toMatchObject({ status: 'Pending', saga_status: 'PARKED' })
      await admin.unlink(`order_saga:${id}`, `payment_saga:${id}`, `product_saga:${id}`)
      originals.orderAgain()
      const { order_id: orderId } = await reaches('COMPLETED', id)
      await call('POST', `${service.url}/orders/cancel_order?order_id=${orderId}`, { headers })
      await reaches('CANCELLED', id)
      await expect.poll(() => json(`order_saga:${id}`)).toMatchObject({ status: 'cancelled', saga_status: 'CANCELLED' })
      expect(await json(`payment_saga:${id}`)).toMatchObject({ payment_status: 'Cancelled' })
    })
  })
})
