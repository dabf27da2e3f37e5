import { describe, expect, test } from 'vitest'
import { type Schema } from '../../core/contract.ts'
import { participantContract } from '../../declare/contract.ts'
import { memoryInbox, type MemoryTx } from '../../participant/memory-inbox.ts'
import { done, handle, participant } from '../../participant/participant.ts'
import { message, transportContract } from '../transport.contract.ts'
import { UnavailableError, type Message } from '../transport.ts'
import { type HttpTransportOptions } from './http-transport.ts'
import {
  until,
  node,
  engineFor,
  replyOf,
  orderService,
  stranger,
  post,
  bare,
  waitClock,
  replyClock,
} from './http.testkit.ts'

transportContract('http', async () => {
  const receiver = await node()
  const peers = { order_commands: receiver.served.url, payment_commands: `${receiver.served.url}/` }
  const sender = await node({ peers })
  return {
    sender: sender.transport,
    receiver: receiver.transport,
    deadLetters: async () => sender.transport.deadLetters(),
    dispose: async () => undefined,
  }
})

describe('a command by HTTP', () => {
  test('is the envelope of the contract, its ids in headers', async () => {
    const peer = await stranger((response) => response.end())
    const engine = await engineFor(peer.url)
    await engine.transport.publish('order_commands', [message('s1:create:undo', { undoes: 's1:create:do' })])
    await until(() => expect(peer.seen).toHaveLength(1))
    const { request, body } = peer.seen[0] ?? { request: null, body: '' }
    expect([request?.method, request?.url]).toEqual(['POST', '/messages/order_commands'])
    expect(request?.headers).toMatchObject({
      traceparent: expect.stringMatching(/^00-[\da-f]{32}-[\da-f]{16}-01$/) as string,
      'content-type': 'application/json',
      'idempotency-key': 's1:create:undo',
      'ordersaga-undoes': 's1:create:do',
      'ordersaga-reply-to': `${engine.served.url}/messages/order_events`,
    })
    expect(JSON.parse(body)).toEqual({
      type: 'create_order',
      correlation_id: 'saga-of-s1:create:undo',
      timestamp: '2025-04-08T03:09:11.123Z',
      payload: { n: 's1:create:undo' },
      id: 's1:create:undo',
      undoes: 's1:create:do',
    })
  })

  test('gets its reply in the answer', async () => {
    const orders = await orderService()
    const engine = await engineFor(orders.served.url)
    const command = message('c1')
    await engine.transport.publish('order_commands', [command])
    await until(() => expect(engine.replies).toEqual([replyOf(command)]))
    expect([orders.requests.length, engine.requests.length]).toEqual([1, 0])
  })

  test('gets a reply that is not ready in time by a POST of its own', async () => {
    const clock = waitClock()
    const service = await node({ clock: clock.clock })
    const commands: Message[] = []
    let publishReply = (): void => undefined
    await service.transport.subscribe('order_commands', 'orders', async (batch) => {
      commands.push(...batch)
      await new Promise<void>((resolve) => (publishReply = resolve))
      await service.transport.publish('order_events', batch.map(replyOf))
    })
    const engine = await engineFor(service.served.url)
    const command = message('c1')
    await engine.transport.publish('order_commands', [command])
    await until(() => expect([commands.length, clock.delays().length]).toEqual([1, 1]))
    clock.ring()
    publishReply()
    await until(() => expect(engine.replies).toEqual([replyOf(command)]))
    expect(engine.requests.map(({ url }) => url)).toEqual(['/messages/order_events'])
    expect(engine.requests[0]?.headers).toMatchObject({
      'idempotency-key': 'c1:reply',
      'ordersaga-causation-id': 'c1',
    })
  })

  test('gets a late reply again and again until somebody takes it', async () => {
    const clock = replyClock()
    const service = await node({ clock: clock.clock })
    let publishReply = (): void => undefined
    await service.transport.subscribe('order_commands', 'orders', async (batch) => {
      await new Promise<void>((resolve) => (publishReply = resolve))
      await service.transport.publish('order_events', batch.map(replyOf))
    })
    const taker = await stranger((response, count) => response.writeHead(count < 4 ? 503 : 200).end())
    const answering = post(service.url, bare, {
      'idempotency-key': 'c1',
      'ordersaga-reply-to': `${taker.url}/messages/order_events`,
    })
    await until(() => expect(clock.delays().length).toBe(1))
    clock.ring()
    const answer = await answering
    expect([answer.status, await answer.json()]).toEqual([202, { messages: [] }])
    publishReply()
    await until(() => expect(taker.seen).toHaveLength(4))
    expect(new Set(taker.seen.map(({ body }) => body)).size).toBe(1)
  })

  test('that comes twice at once is answered twice', async () => {
    const orders = await orderService()
    const answers = await Promise.all([1, 2].map(() => post(orders.url, bare, { 'idempotency-key': 'c1' })))
    const bodies = await Promise.all(answers.map((answer) => answer.json()))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect(bodies[0]).toMatchObject({ messages: [{ type: 'order.created', causation_id: 'c1', correlation_id: 's1' }] })
    expect(bodies[1]).toEqual(bodies[0])
  })

  test('that is handled without a reply is answered at once with none', async () => {
    const service = await node()
    await service.transport.subscribe('order_commands', 'orders', async () => undefined)
    const answer = await post(service.url, bare, { 'idempotency-key': 'c1' })
    expect([answer.status, await answer.json()]).toEqual([200, { messages: [] }])
  })

  test('that is handled is forgotten: a second reply to it has nowhere to go', async () => {
    const orders = await orderService()
    const headers = { 'idempotency-key': 'c1', 'ordersaga-reply-to': `${orders.served.url}/messages/order_events` }
    await post(orders.url, bare, headers)
    await post(orders.url, bare, { 'idempotency-key': 'c2' })
    await orders.transport.publish('order_events', [replyOf(message('c1'))])
    expect(orders.problems).toMatchObject([{ messageId: 'c1:reply', needsPerson: false }])
  })

  test('served by the participant kit takes effect once, however often it is sent', async () => {
    const anything: Schema<object> = {
      '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as object }) },
    }
    const contract = participantContract('order').command('create_order', {
      payload: anything,
      done: ['order.created', anything],
    })
    const inbox = memoryInbox()
    const service = await node()
    await participant({
      name: 'order',
      source: 'order-service',
      inbox,
      handlers: [
        handle(contract, async (tx: MemoryTx) => {
          tx.set('effects', ((tx.get('effects') as number | undefined) ?? 0) + 1)
          return done({ order_id: '7' })
        }),
      ],
    }).attach(service.transport)
    const engine = await engineFor(service.served.url)
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(engine.replies).toHaveLength(1))
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(engine.replies).toHaveLength(2))
    expect(engine.replies.map(({ id, type, payload }) => [id, type, payload])).toEqual([
      ['c1:reply', 'order.created', { order_id: '7' }],
      ['c1:reply', 'order.created', { order_id: '7' }],
    ])
    expect(inbox.table.get('effects')).toBe(1)
  })
})

describe('an event that answers no command', () => {
  const event = message('e1', { type: 'ORDER_TIMEOUT' })

  /** Publishes events of timers to one address. */
  const timers = (url: string, options: Partial<HttpTransportOptions> = {}) =>
    node({ peers: { timer_events: url }, ...options })

  async function failingReader(failure: (tries: number) => Error) {
    const reader = await node()
    let tries = 0
    await reader.transport.subscribe('timer_events', 'engine', async () => {
      throw failure(++tries)
    })
    return { reader, url: reader.served.url }
  }

  test('is published once the peer has handled it, and never before', async () => {
    const clock = replyClock()
    const reader = await node({ clock: clock.clock })
    let handle = (): void => undefined
    const handled = new Promise<void>((resolve) => (handle = resolve))
    const seen: Message[] = []
    await reader.transport.subscribe('timer_events', 'engine', async (batch) => {
      seen.push(...batch)
      await handled
    })
    const { transport } = await timers(reader.served.url)
    let published = false
    const publishing = transport.publish('timer_events', [event]).then(() => (published = true))
    await until(() => expect(seen).toEqual([event]))
    expect([clock.delays().length, published]).toEqual([0, false]) // nothing ends the request before the handler
    handle()
    await publishing
  })

  test('waits for a peer that comes within the tries', async () => {
    const peer = await stranger((response, count) => response.writeHead(count < 4 ? 503 : 200).end())
    const { transport } = await timers(peer.url)
    await transport.publish('timer_events', [event])
    expect(peer.seen).toHaveLength(4)
  })

  test('is given back where the tries are used up: whoever keeps it publishes it again', async () => {
    const peer = await stranger((response) => response.writeHead(503).end())
    const { transport } = await timers(peer.url)
    await expect(transport.publish('timer_events', [event])).rejects.toThrow(
      `ORDER_TIMEOUT was not taken by ${peer.url}/messages/timer_events: it answered 503: no reason given: publish it again`,
    )
    expect(peer.seen).toHaveLength(5)
    expect(transport.deadLetters()).toEqual([])
  })

  test('that the peer refuses for good goes to the dead letters, and holds up nobody', async () => {
    const peer = await stranger((response) => response.writeHead(400).end('{"error":"what is this?"}'))
    const { transport } = await timers(peer.url)
    await transport.publish('timer_events', [event])
    const reason = `${peer.url}/messages/timer_events: it answered 400: what is this?`
    expect(transport.deadLetters()).toEqual([{ channel: 'timer_events', reason, message: event }])
  })

  test('that the handler fails on in every try goes to the dead letters, and holds up nobody', async () => {
    const { reader, url } = await failingReader(() => new Error('the kitchen burns'))
    const { transport } = await timers(url)
    await transport.publish('timer_events', [event])
    const why = 'it answered 503: the message could not be handled: the kitchen burns'
    expect(transport.deadLetters()).toEqual([
      { channel: 'timer_events', reason: `${url}/messages/timer_events: ${why}`, message: event },
    ])
    expect(reader.problems).toHaveLength(5)
  })

  test('that found a handler which can handle nothing now, if only once, is given back', async () => {
    const { url } = await failingReader((tries) =>
      tries === 3 ? new UnavailableError('asleep') : new Error('it burns'),
    )
    const { transport } = await timers(url)
    await expect(transport.publish('timer_events', [event])).rejects.toThrow('it burns: publish it again')
    expect(transport.deadLetters()).toEqual([])
  })

  test('published while the transport closes is given back, also to a peer that has nothing to do', async () => {
    const busy = await stranger(() => undefined)
    const idle = await stranger((response) => response.writeHead(200).end())
    const peers = { order_commands: busy.url, timer_events: idle.url }
    const { transport } = await node({ peers, timeoutMs: 200 })
    await transport.publish('timer_events', [event])
    await transport.publish('order_commands', [message('c1')])
    await until(() => expect(busy.seen).toHaveLength(1))
    const closing = transport.close()
    await new Promise(setImmediate)
    await expect(transport.publish('timer_events', [message('e2')])).rejects.toThrow('the HTTP transport is closed')
    await closing
  })

  test('published again while it waits is sent once, and both are told', async () => {
    const clock = waitClock()
    const peer = await stranger((response, count) => response.writeHead(count === 1 ? 503 : 200).end())
    const { transport } = await timers(peer.url, { clock: clock.clock })
    const first = transport.publish('timer_events', [event])
    await until(() => expect(clock.delays().length).toBe(1))
    const second = transport.publish('timer_events', [event])
    clock.ring()
    await Promise.all([first, second])
    expect(peer.seen).toHaveLength(2)
  })

  test('is given back where the transport closes before it is taken', async () => {
    const clock = waitClock()
    const peer = await stranger((response) => response.writeHead(503).end())
    const { transport } = await timers(peer.url, { clock: clock.clock })
    const outcome = transport.publish('timer_events', [event]).catch((error: unknown) => error)
    await until(() => expect(clock.delays().length).toBe(1))
    await transport.close()
    expect(String(await outcome)).toContain('this process is closing')
  })
})
