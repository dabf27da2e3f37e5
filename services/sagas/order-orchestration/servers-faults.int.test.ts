/** Orders whose broker, or whose Redis, is killed while each command of theirs is in a participant's hands. */
import { randomUUID } from 'node:crypto'
import { redisStore } from 'ordersaga/stores/redis'
import type { Message, Transport } from 'ordersaga/transport'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { installedPart, startPrivatePart, type PrivatePart } from '../../../tests/kit/private-part.ts'
import { orderOrchestrationChannels, withoutTransaction } from '../../shared/order-orchestration.ts'
import { call } from '../../shared/testing/call.ts'
import { startShop, type WholeShop } from '../../shared/testing/shop.ts'
import type { OrderBody } from './house.testkit.ts'

const names = ['rabbitmq', 'redis'] as const
const installed = (await Promise.all(names.map(installedPart))).every((part) => part !== null)
const patience = { timeout: 120_000, interval: 100 }

suiteOn('RabbitMQ and Redis', installed ? names : null, 'orders on servers of their own', () => {
  let servers: Readonly<Record<(typeof names)[number], PrivatePart>>
  let transport: Transport
  let shop: WholeShop
  let token: string
  let admin: string
  let product: string
  /** Called once, before a command of this type is obeyed. */
  let strike: { readonly type: string; readonly what: () => Promise<void> } | null = null

  beforeAll(async () => {
    servers = { rabbitmq: await startPrivatePart('rabbitmq'), redis: await startPrivatePart('redis') }
    transport = striking(
      rabbitmqTransport({
        url: servers.rabbitmq.url,
        queues: Object.fromEntries(Object.values(orderOrchestrationChannels).map((queue) => [queue, queue])),
        uncorrelated: withoutTransaction,
        onProblem: () => undefined,
      }),
    )
    await vi.waitFor(async () => expect(await transport.ready()).toBe(true), patience)
    const store = redisStore({ url: servers.redis.url, prefix: `test-${randomUUID()}` })
    shop = await startShop({ transport, store, attemptMs: 6_000 })
    token = await shop.token('customer')
    admin = await shop.token('admin')
    const lamp = { name: 'Lamp', price: 12.99, stock: 100, vendor_id: 'v@example.com', description: 'A lamp' }
    const { body } = await call('POST', `${shop.urls.stock}/product`, {
      json: lamp,
      headers: { authorization: admin },
    })
    product = (body as { readonly data: { readonly Id: string } }).data.Id
  }, 300_000)
  afterAll(async () => {
    try {
      await shop.close()
    } finally {
      for (const server of Object.values(servers)) await server.remove()
    }
  }, 120_000)

  function striking(inner: Transport): Transport {
    const before = async (batch: readonly Message[]): Promise<void> => {
      const struck = strike
      if (struck === null || !batch.some(({ type }) => type === struck.type)) return
      strike = null
      await struck.what()
    }
    return {
      publish: (channel, messages) => inner.publish(channel, messages),
      subscribe: (channel, group, handler) =>
        inner.subscribe(channel, group, async (batch) => {
          if (channel !== orderOrchestrationChannels.replies) await before(batch)
          return handler(batch)
        }),
      ready: () => inner.ready(),
      close: () => inner.close(),
    }
  }

  const asAdmin = (url: string) => call('GET', url, { headers: { authorization: admin } })
  async function place(): Promise<string> {
    const json = {
      user_email: 'customer@example.com',
      vendor_email: 'v@example.com',
      delivery_address: '12 Orchard Road',
      items: [{ product_id: product, quantity: 1, unit_price: 12.99 }],
      payment_method: 'Credit Card',
    }
    const { status, body, text } = await call('POST', `${shop.urls.shop}/orders/create_order`, {
      json,
      headers: { authorization: token },
    })
    expect([status, text]).toEqual([200, expect.stringContaining('saga_id')])
    return (body as { readonly saga_id: string }).saga_id
  }
  const read = async (id: string) =>
    (await call('GET', `${shop.urls.shop}/orders/${id}`, { headers: { authorization: token } })).body as OrderBody
  const ends = async (id: string, status: string): Promise<void> =>
    await expect.poll(async () => (await read(id)).status, patience).toBe(status)
  const left = async () =>
    ((await call('GET', `${shop.urls.stock}/product/stock/${product}`)).body as { readonly data: number }).data
  async function expectBooks(): Promise<void> {
    expect((await asAdmin(`${shop.urls.stock}/stock/audit`)).body).toMatchObject({ ok: true, problems: [] })
    expect((await asAdmin(`${shop.urls.payment}/payments/audit`)).body).toMatchObject({
      ok: true,
      problems: [],
      withoutOrder: [],
    })
  }
  const kills = (name: keyof typeof servers) => async (): Promise<void> => {
    await servers[name].kill()
    void servers[name].start()
  }

  const commands = [
    'reduce_stock',
    'take_payment',
    'create_order',
    'update_order_payment_id',
    'update_payment_order_id',
  ]
  const undos = ['rollback_order', 'rollback_payment', 'rollback_stock']

  describe.each(names)('%s is killed', (name) => {
    test.each(commands)('while %s is obeyed: the order is made, once', { timeout: 180_000 }, async (type) => {
      const before = await left()
      strike = { type, what: kills(name) }
      const id = await place()
      await ends(id, 'COMPLETED')
      expect(strike).toBeNull()
      expect(await left()).toBe(before - 1)
      const { order_id: order, payment_id: payment } = await read(id)
      expect((await asAdmin(`${shop.urls.order}/orders/${order}`)).body).toMatchObject({ payment_id: payment })
      await expectBooks()
    })

    test.each(undos)('while %s is obeyed: all of it goes back, once', { timeout: 180_000 }, async (type) => {
      const before = await left()
      const id = await place()
      await ends(id, 'COMPLETED')
      strike = { type, what: kills(name) }
      await call('POST', `${shop.urls.shop}/orders/cancel_order?order_id=${id}`, { headers: { authorization: token } })
      await ends(id, 'CANCELLED')
      expect(strike).toBeNull()
      expect(await left()).toBe(before)
      await expectBooks()
    })
  })
})
