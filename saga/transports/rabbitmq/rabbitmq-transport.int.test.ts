import { connect, type Channel } from 'amqplib'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { until } from '../../../tests/kit/until.ts'
import { rabbitmqUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { message, transportContract } from '../transport.contract.ts'
import { UnavailableError, type Message, type Transport } from '../transport.ts'
import { corner, type Corner } from './rabbitmq.testkit.ts'

const patienceMs = 60_000

/** As docs/wire-contract.md has it: a queue for the commands of each participant, and one for all replies. */
const contractQueues = {
  stock_commands: 'products_queue',
  payment_commands: 'payment_queue',
  order_commands: 'orders_queue',
  stock_events: 'orchestration_queue',
  payment_events: 'orchestration_queue',
  order_events: 'orchestration_queue',
}

async function read(transport: Transport, channel: string, group = 'g'): Promise<Message[]> {
  const messages: Message[] = []
  await transport.subscribe(channel, group, async (batch) => void messages.push(...batch))
  return messages
}

suiteOn('RabbitMQ', await rabbitmqUrl(), 'the RabbitMQ transport', (url) => {
  for (const queueType of ['quorum', 'classic'] as const) {
    transportContract(`RabbitMQ, ${queueType} queues`, async () => {
      const own = corner(url)
      return {
        sender: await own.open({ queueType }),
        receiver: await own.open({ queueType }),
        deadLetters: () => own.deadLetters('order_commands.g'),
        dispose: () => own.dispose(),
      }
    })
  }

  transportContract(
    'RabbitMQ, plain queues',
    async () => {
      const own = corner(url, contractQueues)
      return {
        sender: await own.open(),
        receiver: await own.open(),
        deadLetters: () => own.deadLetters('orders_queue'),
        dispose: () => own.dispose(),
      }
    },
    {
      'each group gets every message, subscribers of one group share them': 'a plain queue has one group',
      'a group that comes late gets all that was published before, and what is published then':
        'a plain queue has one group',
    },
  )

  const corners: Corner[] = []
  const cornerWith = (queues: Readonly<Record<string, string>> = {}): Corner => {
    const made = corner(url, queues)
    corners.push(made)
    return made
  }
  afterEach(async () => {
    vi.restoreAllMocks()
    await Promise.all(corners.splice(0).map((made) => made.dispose()))
  })

  describe('with services of the original', () => {
    test('a bare command on a queue that its sender declared is handled, and the reply is in the form it knows', async () => {
      const own = cornerWith(contractQueues)
      await own.declare('orders_queue')
      await own.declare('orchestration_queue')
      const command = { event: 'create_order', transaction_id: 'tx-1', data: { items: [] } }
      await own.send('orders_queue', command, { persistent: true })
      const transport = await own.open()
      await transport.subscribe('order_commands', 'orders', async (batch) => {
        for (const { id, type, correlationId, payload } of batch) {
          expect([type, correlationId, payload]).toEqual(['create_order', 'tx-1', { items: [] }])
          const reply = { type: 'create_order.success', correlationId, causationId: id, payload: 'order-7' }
          await transport.publish('order_events', [message(`${id}:reply`, reply)])
        }
      })
      await until('it is answered', patienceMs, async () => (await own.look('orchestration_queue')).length > 0)
      const [reply, ...more] = await own.look('orchestration_queue')
      expect(more).toEqual([])
      expect(JSON.parse(String(reply?.content))).toEqual({
        event: 'create_order',
        transaction_id: 'tx-1',
        status: 'success',
        message: '',
        data: 'order-7',
      })
      expect(reply?.properties).toMatchObject({ contentType: 'application/json', deliveryMode: 2 })
    })

    test('queues that we declared can be declared by them', async () => {
      const own = cornerWith(contractQueues)
      const transport = await own.open()
      await transport.publish('stock_commands', [message('m', { type: 'reduce_stock' })])
      await read(transport, 'order_events', 'sagas')
      await own.declare('products_queue')
      await own.declare('orchestration_queue')
      const [command] = await own.look('products_queue')
      expect(JSON.parse(String(command?.content))).toEqual({
        event: 'reduce_stock',
        transaction_id: 'saga-of-m',
        data: { n: 'm' },
      })
    })

    test('replies to several channels come through their one queue', async () => {
      const own = cornerWith(contractQueues)
      const transport = await own.open()
      const messages = await read(transport, 'stock_events', 'sagas')
      await transport.subscribe('payment_events', 'sagas', async (batch) => void messages.push(...batch))
      const reply = { transaction_id: 'tx-1', message: '', data: null }
      await own.send('orchestration_queue', { ...reply, event: 'reduce_stock', status: 'error' })
      await own.send('orchestration_queue', { ...reply, event: 'take_payment', status: 'success', data: 'payment-7' })
      await until('both are read', patienceMs, () => messages.length === 2)
      expect(messages.map(({ type, payload }) => [type, payload]).sort()).toEqual([
        ['reduce_stock.error', { error: 'no reason was given' }],
        ['take_payment.success', 'payment-7'],
      ])
    })

    test('a second group on a plain queue is refused', async () => {
      const own = cornerWith(contractQueues)
      const transport = await own.open()
      await read(transport, 'order_events', 'sagas')
      await expect(read(transport, 'stock_events', 'others')).rejects.toThrow(
        /orchestration_queue has one group, sagas: others cannot read it besides$/,
      )
    })
  })

  test('what cannot be read goes to the dead letters with its reason and origin, and all else goes on', async () => {
    const own = cornerWith(contractQueues)
    const transport = await own.open()
    const messages = await read(transport, 'order_commands', 'orders')
    const good = (n: number) => ({ event: 'create_order', transaction_id: `tx-${n}`, data: { n } })
    const bad = [
      Buffer.from('hello'),
      Buffer.from(JSON.stringify(good(7)), 'utf16le'),
      { transaction_id: 'tx', data: {} },
      { event: 'update_order_payment_id', data: { order_id: 'o' } },
      [good(8)],
    ]
    await own.send('orders_queue', good(0))
    for (const [n, body] of bad.entries()) {
      await own.send('orders_queue', body, { headers: { trace: n } })
      await own.send('orders_queue', good(n + 1))
    }
    await until('the last is read', patienceMs, () => messages.length === bad.length + 1)
    expect(messages.map(({ payload }) => payload)).toEqual([0, 1, 2, 3, 4, 5].map((n) => ({ n })))
    await until('all bad ones are there', patienceMs, async () => {
      return (await own.look('orders_queue.dead')).length === bad.length
    })
    const dead = await own.look('orders_queue.dead')
    expect(dead.map(({ content }) => content)).toEqual(
      bad.map((body) => (Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body)))),
    )
    expect(dead.map(({ properties }) => properties.headers?.['ordersaga-reason'] as string)).toEqual([
      'it is not JSON in UTF-8',
      'it is not JSON in UTF-8',
      'it has no event, which must be a text that is not empty',
      'it has no transaction_id (a text that is not empty) and no correlation id either',
      'it is not a JSON object with event, transaction_id and data',
    ])
    expect(dead[4]?.properties.headers).toMatchObject({
      trace: 4,
      'ordersaga-channel': 'order_commands',
      'ordersaga-group': 'orders',
      'ordersaga-queue': `${own.options.prefix ?? ''}orders_queue`,
      'ordersaga-routing-key': `${own.options.prefix ?? ''}orders_queue`,
    })
    expect(own.problems).toHaveLength(bad.length)
  })

  test('a message of two megabytes goes through', async () => {
    const own = cornerWith()
    const transport = await own.open()
    const messages = await read(transport, 'order_commands')
    const large = message('m', { payload: { text: 'ü'.repeat(1_000_000) } })
    await transport.publish('order_commands', [large])
    await until('it is read', patienceMs, () => messages.length > 0)
    expect(messages).toEqual([large])
  })

  test('what was published before any group exists comes to the first, before what is published later', async () => {
    const own = cornerWith()
    const [sender, receiver] = [await own.open(), await own.open({ prefetch: 10 })]
    const ids = Array.from({ length: 300 }, (_, n) => `m${n}`)
    const publish = (from: number, to: number): Promise<void> =>
      sender.publish(
        'order_commands',
        ids.slice(from, to).map((id) => message(id, { correlationId: 'one' })),
      )
    await publish(0, 100)
    const messages: Message[] = []
    const subscribing = receiver.subscribe('order_commands', 'g', async (batch) => void messages.push(...batch))
    for (let from = 100; from < 300; from += 10) await publish(from, from + 10)
    await subscribing
    const seen = () => [...new Set(messages.map(({ id }) => id))]
    await until('all is read', patienceMs, () => seen().length === 300)
    expect(seen()).toEqual(ids)
  })

  test('a message that no handler can take goes to the dead letters of its group, wherever it was read', async () => {
    const own = cornerWith()
    const transport = await own.open()
    await transport.publish('order_commands', [message('early')])
    await transport.subscribe('order_commands', 'g', async () => {
      throw new Error('a bitter pill')
    })
    await transport.publish('order_commands', [message('late')])
    const queue = 'order_commands.g.dead'
    await until('both are there', patienceMs, async () => (await own.count(queue).catch(() => 0)) === 2)
    const dead = await own.look(queue)
    const from = String(own.options.prefix)
    expect(
      dead.map(({ properties: { messageId, headers } }) => [
        messageId as string,
        headers?.['ordersaga-queue'] as string,
      ]),
    ).toEqual([
      ['early', `${from}order_commands.history`],
      ['late', `${from}order_commands.g`],
    ])
    expect(dead[0]?.properties.headers).not.toHaveProperty('x-stream-offset')
    expect(own.problems).toMatchObject([
      {
        what: `A message of ${from}order_commands.history goes to ${from}${queue}`,
        needsPerson: true,
        messageId: 'early',
      },
      {
        what: `A message of ${from}order_commands.g goes to ${from}${queue}`,
        needsPerson: true,
        sagaId: 'saga-of-late',
      },
    ])
  })

  describe('a group that is new', () => {
    const one = (id: string): Message => message(id, { correlationId: 'one' })
    const numbered = (from: number, to: number): readonly Message[] =>
      Array.from({ length: to - from }, (_, n) => one(`m${from + n}`))
    const idsOf = (messages: readonly Message[]): readonly string[] => [...new Set(messages.map(({ id }) => id))]
    const queues = ['order_commands.g', 'order_commands.g.behind']
    const there = (own: Corner): Promise<readonly boolean[]> =>
      Promise.all(
        queues.map((queue) =>
          own.count(queue).then(
            () => true,
            () => false,
          ),
        ),
      )

    test('whose first reader leaves in the middle of the past gets all of it with the next', async () => {
      const own = cornerWith()
      const sender = await own.open()
      await sender.publish('order_commands', numbered(0, 50))
      const first = await own.open({ prefetch: 10 })
      const taken: Message[] = []
      let open = (): void => undefined
      const inHand = new Promise<void>((resolve) => (open = resolve))
      const subscribing = first.subscribe('order_commands', 'g', async (batch) => {
        taken.push(...batch)
        await inHand
      })
      await until('the first has some', patienceMs, () => taken.length > 0)
      const closing = first.close()
      open()
      await Promise.all([closing, subscribing])
      expect(taken.length).toBeLessThan(50)
      expect(await there(own)).toEqual([true, true])
      await sender.publish('order_commands', numbered(50, 60))
      const messages = await read(await own.open(), 'order_commands')
      await until('all is read', patienceMs, () => idsOf(messages).length === 60)
      expect(idsOf(messages)).toEqual(numbered(0, 60).map(({ id }) => id))
      await until('it is not behind any more', patienceMs, async () => (await there(own))[1] === false)
    })

    test('reads the past in one of its processes, the others stand by and then share what is new', async () => {
      const own = cornerWith()
      const sender = await own.open()
      await sender.publish('order_commands', numbered(0, 200))
      const replicas = [await own.open({ prefetch: 20 }), await own.open({ prefetch: 20 })]
      const handled: Message[] = []
      let [inHand, most] = [0, 0]
      await Promise.all(
        replicas.map((replica) =>
          replica.subscribe('order_commands', 'g', async (batch) => {
            most = Math.max(most, ++inHand)
            await new Promise(setImmediate)
            handled.push(...batch)
            inHand--
          }),
        ),
      )
      await sender.publish('order_commands', numbered(200, 220))
      await until('all is read', patienceMs, () => idsOf(handled).length === 220)
      expect(most).toBe(1)
      expect(idsOf(handled)).toEqual(numbered(0, 220).map(({ id }) => id))
      await until('both are ready', patienceMs, async () => {
        return (await Promise.all(replicas.map((replica) => replica.ready()))).every(Boolean)
      })
    })

    test('is not held up by a message of the past that fails, and stays behind until that is settled', async () => {
      const own = cornerWith()
      const retry = { tries: Infinity, firstMs: 50, factor: 1, maxMs: 50 }
      const transport = await own.open({ retry })
      await transport.publish('order_commands', [one('stuck'), one('next')])
      const seen = new Set<string>()
      let healed = false
      await transport.subscribe('order_commands', 'g', async (batch) => {
        for (const { id } of batch) seen.add(id)
        return batch
          .filter(({ id }) => id === 'stuck' && !healed)
          .map(({ id }) => ({ messageId: id, reason: 'not yet' }))
      })
      await transport.publish('order_commands', [one('new')])
      await until('the new one is read', patienceMs, () => seen.has('new'))
      expect(await there(own)).toEqual([true, true])
      healed = true
      await until('it is not behind any more', patienceMs, async () => (await there(own))[1] === false)
    })

    test('gets the newest of a past that is longer than its limit, and all that is new', async () => {
      const own = cornerWith()
      const transport = await own.open({ historyBytes: 1_000_000 })
      const large = (n: number): Message => ({ ...one(`m${n}`), payload: 'x'.repeat(20_000) })
      for (let n = 0; n < 200; n++) await transport.publish('order_commands', [large(n)])
      const messages = await read(transport, 'order_commands')
      await transport.publish('order_commands', [large(200)])
      await until('the newest is read', patienceMs, () => idsOf(messages).includes('m200'))
      const [oldest = ''] = idsOf(messages)
      const first = Number(oldest.slice(1))
      expect(first).toBeGreaterThan(100)
      expect(idsOf(messages)).toEqual(Array.from({ length: 201 - first }, (_, n) => `m${first + n}`))
    })

    test('whose past is overtaken by its limit while it is read comes to what is new all the same', async () => {
      const own = cornerWith()
      const sender = await own.open({ historyBytes: 1_000_000 })
      const large = (n: number): Message => ({ ...one(`m${n}`), payload: 'x'.repeat(20_000) })
      for (let n = 0; n < 40; n++) await sender.publish('order_commands', [large(n)])
      const receiver = await own.open({ prefetch: 5 })
      let open = (): void => undefined
      const inHand = new Promise<void>((resolve) => (open = resolve))
      const messages: Message[] = []
      void receiver.subscribe('order_commands', 'g', async (batch) => {
        messages.push(...batch)
        await inHand
      })
      await until('it reads', patienceMs, () => messages.length > 0)
      for (let n = 40; n < 240; n++) await sender.publish('order_commands', [large(n)])
      open()
      await until('the newest is read', patienceMs, () => idsOf(messages).includes('m239'))
      const news = idsOf(messages).filter((id) => Number(id.slice(1)) >= 40)
      expect(news).toEqual(Array.from({ length: 200 }, (_, n) => `m${40 + n}`))
      await until('it is not behind any more', patienceMs, async () => (await there(own))[1] === false)
    })

    test('is new no more once it has read, whatever limit its next process would keep', async () => {
      const own = cornerWith()
      const first = await own.open()
      await first.publish('order_commands', [one('m0')])
      const before = await read(first, 'order_commands')
      await until('it is read', patienceMs, () => before.length === 1)
      await first.close()
      const next = await own.open({ historyBytes: 5_000 })
      const messages = await read(next, 'order_commands')
      await next.publish('order_commands', [one('m1')])
      await until('the new one is read', patienceMs, () => messages.length > 0)
      expect(idsOf(messages)).toEqual(['m1'])
      expect(own.problems).toEqual([])
    })
  })

  test('what an earlier release has declared is used, and what it kept for the first group is read', async () => {
    const own = cornerWith()
    const name = `${own.options.prefix}order_commands`
    const model = await connect(url)
    const channel = await model.createChannel()
    const kind = { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000, 'x-single-active-consumer': true }
    for (const queue of [`${name}.unrouted`, `${name}.g`]) {
      await channel.assertQueue(queue, {
        arguments: kind,
        deadLetterExchange: '',
        deadLetterRoutingKey: `${queue}.dead`,
      })
    }
    await channel.assertExchange(`${name}.unrouted`, 'fanout')
    await channel.bindQueue(`${name}.unrouted`, `${name}.unrouted`, '')
    await channel.assertExchange(name, 'fanout', { alternateExchange: `${name}.unrouted` })
    await channel.bindQueue(`${name}.g`, name, '')
    await model.close()
    const command = { event: 'create_order', transaction_id: 'one', data: {} }
    await own.send('order_commands.unrouted', command, { messageId: 'old' })
    const transport = await own.open()
    const messages = await read(transport, 'order_commands')
    await transport.publish('order_commands', [message('new', { correlationId: 'one' })])
    const late = await read(await own.open(), 'order_commands', 'late')
    await until('the new one is read by both', patienceMs, () => messages.length === 2 && late.length > 0)
    expect([messages, late].map((read) => read.map(({ id }) => id))).toEqual([['old', 'new'], ['new']])
    expect(own.problems).toEqual([])
  })

  test('groups in several processes get every message each', async () => {
    const own = cornerWith()
    const transports = [await own.open(), await own.open(), await own.open()] as const
    const groups = await Promise.all(transports.map((transport, n) => read(transport, 'order_events', `g${n}`)))
    await transports[0].publish('order_events', [message('m0'), message('m1')])
    for (const messages of groups) {
      await until('both are read', patienceMs, () => messages.length === 2)
      expect(messages.map(({ id }) => id)).toEqual(['m0', 'm1'])
    }
  })

  describe('what can never be sent', () => {
    const long = { correlationId: 'x'.repeat(70_000) }
    const circular: { itself?: unknown } = {}
    circular.itself = circular

    test.each<[string, Partial<Message>, RegExp]>([
      ['an id that no header holds', long, /^1 of 3 messages to order_commands can never be sent \(.*65536 byte.*\)$/],
      ['a payload that is no JSON', { payload: circular }, /^1 of 3 messages to order_commands .*circular/s],
    ])('%s is named, and what was published with it is there', async (_what, more, why) => {
      const own = cornerWith()
      const transport = await own.open()
      const messages = await read(transport, 'order_commands')
      const unsent = transport.publish('order_commands', [message('m0'), message('bad', more), message('m1')])
      await expect(unsent).rejects.toMatchObject({ code: 'refused', messageIds: ['bad'], message: why })
      await until('the others are read', patienceMs, () => messages.length === 2)
      expect(messages.map(({ id }) => id)).toEqual(['m0', 'm1'])
    })

    test('a message larger than the server takes is named, what went with it is sent, and it is not tried again', async () => {
      const own = cornerWith()
      const transport = await own.open()
      const ids = new Set<string>()
      await transport.subscribe('order_commands', 'g', async (batch) => {
        for (const { id } of batch) ids.add(id)
      })
      const large = message('large', { payload: 'x'.repeat(140_000_000) })
      const unsent = transport.publish('order_commands', [message('m0'), large, message('m1')])
      const beside = transport.publish('order_commands', [message('m2')])
      const refusal = { code: 'refused', messageIds: ['large'], message: /send less, or raise that/ }
      await expect(unsent).rejects.toMatchObject(refusal)
      await beside
      const ended = vi.spyOn(await channels(), 'sendMessage' as never)
      await expect(transport.publish('order_commands', [large])).rejects.toMatchObject(refusal)
      expect(ended).not.toHaveBeenCalled()
      await until('the others are read', patienceMs, () => ids.size === 3)
      expect([...ids].sort()).toEqual(['m0', 'm1', 'm2'])
    })
  })

  /** What all channels of the client have in common. */
  async function channels(confirming = false): Promise<Channel> {
    const model = await connect(url)
    const channel = await (confirming ? model.createConfirmChannel() : model.createChannel())
    await model.close()
    return Object.getPrototypeOf(channel) as Channel
  }

  test('a dead letter that the client cannot write is written with its content and reason only', async () => {
    const own = cornerWith(contractQueues)
    await own.declare('orders_queue')
    await own.send('orders_queue', Buffer.from('hello'), { messageId: 'unwritable' })
    const prototype = await channels(true)
    const publish = Reflect.get(prototype, 'publish')
    vi.spyOn(prototype, 'publish').mockImplementation(function (this: Channel, ...given) {
      if (given[3]?.messageId === 'unwritable') throw new TypeError("Field 'messageId' is the wrong type")
      return Reflect.apply(publish, this, given)
    })
    await read(await own.open(), 'order_commands')
    await until('it is there', patienceMs, async () => (await own.look('orders_queue.dead')).length > 0)
    const [dead] = await own.look('orders_queue.dead')
    expect(dead?.content.toString()).toBe('hello')
    const headers = Object.entries(dead?.properties.headers ?? {}).filter(([name]) => !name.startsWith('x-'))
    expect(headers).toEqual([['ordersaga-reason', 'it is not JSON in UTF-8']])
  })

  test('a dead letter that is put back is tried again, whatever it says of its returns', async () => {
    const own = cornerWith()
    const transport = await own.open({ maxReturns: 4 })
    const messages = await read(transport, 'order_commands')
    const body = { event: 'create_order', transaction_id: 'tx', data: {} }
    await own.send('order_commands.g', body, { messageId: 'm', headers: { 'x-delivery-count': 20 } })
    await until('it is read', patienceMs, () => messages.length > 0)
  })

  test('restarts while the database is away, however many, give no message up', async () => {
    const own = cornerWith()
    const sender = await own.open()
    await (await sender.subscribe('order_commands', 'g', async () => undefined)).close()
    const ids = Array.from({ length: 30 }, (_, n) => `m${n}`)
    await sender.publish(
      'order_commands',
      ids.map((id) => message(id)),
    )
    for (let restarts = 0; restarts < 7; restarts++) {
      const receiver = await own.open({ maxReturns: 4 })
      await new Promise<void>((resolve) => {
        const handler = async (): Promise<never> => {
          resolve()
          throw new UnavailableError('the database is away')
        }
        void receiver.subscribe('order_commands', 'g', handler)
      })
      await receiver.close()
    }
    const messages = await read(await own.open({ maxReturns: 4 }), 'order_commands')
    await until('all are handled', patienceMs, () => new Set(messages.map(({ id }) => id)).size === ids.length)
    expect(await own.look('order_commands.g.dead')).toEqual([])
  })

  describe('is ready', () => {
    test('only while all that it subscribed to is read', async () => {
      const own = cornerWith()
      const [classic, quorum] = [await own.open({ queueType: 'classic' }), await own.open({ timeoutMs: 2_000 })]
      const subscription = await classic.subscribe('payment_commands', 'g', async () => undefined)
      await subscription.close()
      await read(quorum, 'order_commands')
      await expect.poll(() => quorum.ready()).toBe(true)
      const refused = await quorum.subscribe('payment_commands', 'g', async () => undefined)
      expect(await quorum.ready()).toBe(false)
      await refused.close()
      await expect.poll(() => quorum.ready()).toBe(true)
    })

    test('while it stands by for a consumer that has a queue for itself, which is told once', async () => {
      const own = cornerWith(contractQueues)
      const [first, second] = [await own.open(), await own.open()]
      await read(first, 'order_commands')
      const messages = await read(second, 'order_commands')
      expect(await second.ready()).toBe(true)
      const what = 'orders_queue is read by a consumer that has it for itself; this one stands by until that is gone'
      const told = () => own.problems.filter((problem) => problem.what === `${own.options.prefix ?? ''}${what}`)
      expect(told()).toHaveLength(1)
      await first.close()
      await second.publish('order_commands', [message('m')])
      await until('the other reads', patienceMs, () => messages.length > 0)
      expect(told()).toHaveLength(1)
    })
  })

  test('a channel that the server ends while it is read is told, and opened again', async () => {
    const own = cornerWith()
    const told: string[] = []
    const ready: Promise<boolean>[] = []
    const transport = await own.open({
      onProblem({ what, cause }) {
        told.push(`${what}: ${String(cause)}`)
        ready.push(transport.ready())
      },
    })
    const consume = vi.spyOn(await channels(), 'consume')
    const messages = await read(transport, 'order_commands')
    const channel = consume.mock.contexts.at(-1) as Channel
    channel.ack({ fields: { deliveryTag: 99 } } as never) // of nothing that was ever delivered
    await until('it is told', patienceMs, () => told.length > 0)
    expect(told[0]).toMatch(/cannot be read; it is tried again until it can: .*406 .*unknown delivery tag 99/)
    expect(await ready[0]).toBe(false)
    await until('it reads again', patienceMs, () => transport.ready())
    await transport.publish('order_commands', [message('m')])
    await until('a message is read', patienceMs, () => messages.length > 0)
  })
})
