/**
 * Stock, order and payment under an orchestrator that is not ours: bare envelopes (docs/wire-contract.md 5.4) by an independent
 * client on a real RabbitMQ, without ids of messages, with all that such a one may send twice, late, broken or for nothing.
 */
import { connect, type Channel, type ChannelModel } from 'amqplib'
import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import type { Transport } from 'ordersaga/transport'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { rabbitmqUrl, suiteOn } from '../../tests/kit/parts.ts'
import { orderOrchestrationChannels, withoutTransaction } from '../shared/order-orchestration.ts'
import type { OpenService } from '../shared/service.ts'
import { newFile } from '../shared/testing/ask.ts'
import { call } from '../shared/testing/call.ts'
import { openShopOrderService } from '../shop-order/service.ts'
import { openShopPaymentService } from '../shop-payment/service.ts'
import { openStockService } from '../stock/service.ts'

interface Reply {
  readonly event: string
  readonly transaction_id: string
  readonly status: string
  readonly message: string
  readonly data: Readonly<Record<string, string>> | null
}

type Queue = Exclude<keyof typeof orderOrchestrationChannels, 'replies'>

const queueOf: Readonly<Record<string, Queue>> = {
  reduce_stock: 'stock',
  rollback_stock: 'stock',
  take_payment: 'payment',
  rollback_payment: 'payment',
  update_payment_order_id: 'payment',
  create_order: 'order',
  rollback_order: 'order',
  update_order_payment_id: 'order',
}

suiteOn('RabbitMQ', await rabbitmqUrl(), 'our participants under an orchestrator that is not ours', (url) => {
  let prefix: string
  let model: ChannelModel
  let channel: Channel
  let replies: Reply[]
  let transport: Transport
  let services: Readonly<Record<Queue, OpenService>>

  const nameOf = (which: keyof typeof orderOrchestrationChannels): string => prefix + orderOrchestrationChannels[which]
  const all = Object.keys(orderOrchestrationChannels) as (keyof typeof orderOrchestrationChannels)[]

  beforeEach(async () => {
    prefix = `test.${randomUUID().slice(0, 8)}.`
    replies = []
    model = await connect(url)
    channel = await model.createChannel()
    // As the original services declare them.
    for (const which of all) await channel.assertQueue(nameOf(which), { durable: true })
    await channel.consume(nameOf('replies'), (message) => {
      if (message === null) return
      replies.push(JSON.parse(message.content.toString()) as Reply)
      channel.ack(message)
    })
    transport = rabbitmqTransport({
      url,
      queues: Object.fromEntries(all.map((which) => [orderOrchestrationChannels[which], nameOf(which)])),
      uncorrelated: withoutTransaction,
      retry: { tries: 3, firstMs: 1, factor: 1, maxMs: 1 },
      onProblem: () => undefined,
    })
    await expect.poll(() => transport.ready()).toBe(true)
    const options = (name: string) => ({
      database: { kind: 'sqlite' as const, file: newFile(name) },
      transport,
      host: '127.0.0.1',
      port: 0,
      log: pino({ level: 'silent' }),
      now: Date.now,
    })
    services = {
      stock: await openStockService(options('stock')),
      order: await openShopOrderService(options('order')),
      payment: await openShopPaymentService(options('payment')),
    }
  })
  afterEach(async () => {
    for (const service of Object.values(services)) await service.close()
    await transport.close()
    for (const which of all)
      for (const queue of [nameOf(which), `${nameOf(which)}.dead`]) await channel.deleteQueue(queue)
    await model.close()
  })

  const send = (queue: Queue, body: string | object): void =>
    void channel.sendToQueue(nameOf(queue), Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
  /** As the original orchestrator says it. */
  const command = (event: string, transaction_id: string | undefined, data: unknown): void =>
    send(queueOf[event] ?? expect.fail(`whose is ${event}?`), { event, transaction_id, data })
  const answers = (event: string, transaction_id: string): readonly Reply[] =>
    replies.filter((reply) => reply.event === event && reply.transaction_id === transaction_id)
  const answer = async (event: string, transaction_id: string): Promise<Reply> => {
    await expect.poll(() => answers(event, transaction_id).length).toBeGreaterThan(0)
    return answers(event, transaction_id)[0] as Reply
  }
  const asked = (event: string, transaction_id: string, data: unknown): Promise<Reply> => {
    command(event, transaction_id, data)
    return answer(event, transaction_id)
  }
  const get = async <Body>(of: Queue, path: string): Promise<Body> =>
    (await call('GET', `${services[of].url}${path}`)).body as Body
  const dead = async (of: Queue): Promise<number> => (await channel.checkQueue(`${nameOf(of)}.dead`)).messageCount

  const addProduct = async (stock: number): Promise<string> => {
    const product = { name: 'Beans', price: 19.99, stock, vendor_id: 'v@example.com' }
    const { body } = await call('POST', `${services.stock.url}/product`, { json: product })
    return (body as { readonly data: { readonly Id: string } }).data.Id
  }
  const left = async (id: string): Promise<number> =>
    (await get<{ readonly data: number }>('stock', `/product/stock/${id}`)).data
  const payment = {
    user_email: 'ada@example.com',
    order_id: null,
    amount: 39.98,
    payment_method: 'Credit Card',
    payment_status: 'Pending',
  }
  const order = (product_id: string) => ({
    user_email: 'ada@example.com',
    vendor_email: 'v@example.com',
    delivery_address: '1 Main Street',
    description: null,
    status: 'Pending',
    items: [{ product_id, quantity: 2, unit_price: 19.99 }],
  })
  const products = (product_id: string, quantity = 2) => ({ products: [{ product_id, quantity }] })
  const expectBooks = async (totals: object): Promise<void> => {
    expect(await get('stock', '/stock/audit')).toMatchObject({ ok: true, problems: [] })
    expect(await get('payment', '/payments/audit')).toMatchObject({ ok: true, problems: [], totals })
  }

  test('an order is made, step by step, by the answers that the contract names', async () => {
    const product = await addProduct(5)
    const t = randomUUID()
    expect(await asked('reduce_stock', t, products(product))).toEqual({
      event: 'reduce_stock',
      transaction_id: t,
      status: 'success',
      message: '',
      data: null,
    })
    const { payment_id } = (await asked('take_payment', t, payment)).data ?? {}
    const { order_id } = (await asked('create_order', t, order(product))).data ?? {}
    // No transaction, as the original sends them.
    command('update_order_payment_id', undefined, { order_id, payment_id })
    command('update_payment_order_id', undefined, { payment_id, order_id })
    await expect.poll(() => get('order', `/orders/${order_id}`)).toMatchObject({ payment_id, total_price: 39.98 })
    await expect.poll(() => get('payment', `/payments/${payment_id}`)).toMatchObject({ order_id, transaction_id: t })
    expect(await left(product)).toBe(3)
    await expectBooks({ charged: 3998 })
    expect(await get('payment', '/payments/audit')).toMatchObject({ withoutOrder: [] })
  })

  test('what is refused is answered with a reason, and leaves nothing behind', async () => {
    const [product, t] = [await addProduct(1), randomUUID()]
    expect(await asked('reduce_stock', t, products(product))).toMatchObject({
      status: 'error',
      message: `2 of product ${product} are wanted, and 1 are left`,
    })
    expect(await asked('take_payment', t, { ...payment, user_email: 'declined@example.com' })).toMatchObject({
      status: 'error',
      message: 'the card was declined',
    })
    expect(await asked('create_order', t, { ...order(product), status: 'Shipped' })).toMatchObject({ status: 'error' })
    expect(await left(product)).toBe(1)
    await expectBooks({ charged: 0 })
  })

  test('an order is undone by rollbacks as the original sends them, and each is confirmed', async () => {
    const [product, t] = [await addProduct(5), randomUUID()]
    await asked('reduce_stock', t, products(product))
    const { payment_id } = (await asked('take_payment', t, payment)).data ?? {}
    const { order_id } = (await asked('create_order', t, order(product))).data ?? {}
    for (const [event, data] of [
      ['rollback_stock', {}],
      ['rollback_payment', { payment_id }],
      ['rollback_order', {}],
    ] as const)
      expect(await asked(event, t, data)).toMatchObject({ status: 'success', data: null })
    expect(await left(product)).toBe(5)
    expect(await get('payment', `/payments/${payment_id}`)).toMatchObject({ payment_status: 'Cancelled' })
    expect(await get('order', `/orders/${order_id}`)).toMatchObject({ status: 'Canceled' })
    await expectBooks({ charged: 0, givenBack: 1 })
  })

  test('what comes three times happens once', async () => {
    const [product, t] = [await addProduct(5), randomUUID()]
    const thrice = (event: string, data: unknown): void => {
      for (let time = 0; time < 3; time++) command(event, t, data)
    }
    thrice('reduce_stock', products(product))
    thrice('take_payment', payment)
    thrice('create_order', order(product))
    for (const event of ['reduce_stock', 'take_payment', 'create_order'])
      await expect.poll(() => new Set(answers(event, t).map((reply) => JSON.stringify(reply))).size).toBe(1)
    expect(await left(product)).toBe(3)
    await expectBooks({ payments: 1, charged: 3998 })
    expect(await get('order', '/orders')).toHaveLength(1)
    thrice('rollback_stock', { transaction_id: t })
    thrice('rollback_payment', { payment_id: null })
    thrice('rollback_order', {})
    for (const event of ['rollback_stock', 'rollback_payment', 'rollback_order']) await answer(event, t)
    // Whatever is still on its way comes before the last of these.
    for (const [event, data] of [
      ['rollback_stock', {}],
      ['rollback_payment', {}],
      ['rollback_order', {}],
    ] as const)
      await asked(event, randomUUID(), data)
    expect(await left(product)).toBe(5)
    await expectBooks({ payments: 1, charged: 0 })
  })

  test('what comes after its undo is refused', async () => {
    const [product, t] = [await addProduct(5), randomUUID()]
    for (const event of ['rollback_stock', 'rollback_payment', 'rollback_order']) await asked(event, t, {})
    expect(await asked('reduce_stock', t, products(product))).toMatchObject({ status: 'error' })
    for (const payment_method of ['Credit Card', 'Cash on Delivery'])
      command('take_payment', t, { ...payment, payment_method })
    await expect.poll(() => answers('take_payment', t).map(({ status }) => status)).toEqual(['error', 'error'])
    expect(await asked('create_order', t, order(product))).toMatchObject({ status: 'error' })
    await expectBooks({ payments: 0, charged: 0 })
    expect(await left(product)).toBe(5)
  })

  test('events that nobody knows, broken JSON and wrong types hold nobody up', async () => {
    const product = await addProduct(100)
    const garbage: readonly (string | object)[] = [
      'no JSON at all',
      '{"event": "reduce_stock", "transaction_id"',
      '[]',
      'null',
      '',
      { transaction_id: 't', data: {} },
      { event: 7, transaction_id: 't', data: {} },
      { event: 'reduce_stock', data: products(product) },
      { event: 'take_payment', data: payment },
      { event: 'create_order', data: order(product) },
    ]
    const unknown = { event: 'make_coffee', transaction_id: randomUUID(), data: {} }
    for (const [n, which] of (['stock', 'payment', 'order'] as const).entries()) {
      for (const each of garbage) send(which, each)
      send(which, unknown)
      const t = randomUUID()
      const [event, data] = (
        [
          ['reduce_stock', products(product, 1)],
          ['take_payment', payment],
          ['create_order', order(product)],
        ] as const
      )[n] as readonly [string, object]
      for (const wrong of [null, 'text', 7, [], { products: 'all' }, { items: [null], amount: '1e9' }]) {
        const other = randomUUID()
        expect(await asked(event, other, wrong)).toMatchObject({
          status: 'error',
          message: expect.stringMatching(/\w+ \w+/) as string,
        })
      }
      expect(await asked(event, t, data)).toMatchObject({ status: 'success' })
      await expect.poll(() => dead(which)).toBe(garbage.length)
    }
    expect(await left(product)).toBe(99)
    await expectBooks({ payments: 1, charged: 3998 })
  })

  test('a hundred buyers of ten items, all at once: ten orders are made and paid, ninety leave nothing', async () => {
    const product = await addProduct(10)
    const buyers = Array.from({ length: 100 }, () => randomUUID())
    await Promise.all(
      buyers.map(async (t) => {
        const taken = await asked('reduce_stock', t, products(product, 1))
        if (taken.status === 'error') return void (await asked('rollback_stock', t, { transaction_id: t }))
        const { payment_id } = (await asked('take_payment', t, payment)).data ?? {}
        const { order_id } = (await asked('create_order', t, order(product))).data ?? {}
        command('update_payment_order_id', undefined, { payment_id, order_id })
      }),
    )
    await expect.poll(() => get('payment', '/payments/audit')).toMatchObject({ ok: true, withoutOrder: [] })
    expect(await left(product)).toBe(0)
    expect(await get('order', '/orders')).toHaveLength(10)
    await expectBooks({ payments: 10, charged: 39_980 })
  })
})
