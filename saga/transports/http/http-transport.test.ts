import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { participantContract, type Schema } from '../../core/contract.ts'
import { memoryInbox, type MemoryTx } from '../../participant/memory-inbox.ts'
import { done, handle, participant } from '../../participant/participant.ts'
import { systemClock } from '../../clock.ts'
import type { Problem } from '../../problem.ts'
import { handClock } from '../hand-clock.testkit.ts'
import { message, transportContract } from '../transport.contract.ts'
import { UnavailableError, type Message } from '../transport.ts'
import { httpTransport, type HttpTransport, type HttpTransportOptions } from './http-transport.ts'
import { nodeHttpHandler } from './node-http-handler.ts'

interface Served {
  readonly url: string
  readonly port: number
  close(): Promise<void>
}

const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function serve(listener: RequestListener, port = 0): Promise<Served> {
  const server: Server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const taken = (server.address() as AddressInfo).port
  return {
    url: `http://127.0.0.1:${taken}`,
    port: taken,
    async close() {
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
}

const shortPauses = { tries: 5, firstMs: 20, factor: 2, maxMs: 200, jitter: 0 }
const until = (assertion: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(assertion, { timeout: 20_000, interval: 2 })

/** A transport with its own server; `self` is known only once that listens. */
async function node(options: Partial<HttpTransportOptions> = {}) {
  const problems: Problem[] = []
  const requests: IncomingMessage[] = []
  let transport: HttpTransport | null = null
  const served = await serve((request, response) => {
    requests.push(request)
    if (transport !== null) nodeHttpHandler(transport)(request, response)
  })
  transport = httpTransport({
    peers: {},
    self: served.url,
    retry: shortPauses,
    onProblem: (problem) => problems.push(problem),
    ...options,
  })
  const made = { transport, served, problems, requests, url: `${served.url}/messages/order_commands` }
  cleanUps.push(async () => {
    await made.transport.close()
    await served.close()
  })
  return made
}

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

/** What an engine sees: the replies on `order_events`. */
async function engineFor(peer: string, options: Partial<HttpTransportOptions> = {}) {
  const engine = await node({ peers: { order_commands: peer }, ...options })
  const replies: Message[] = []
  await engine.transport.subscribe('order_events', 'engine', async (batch) => void replies.push(...batch))
  return { ...engine, replies }
}

const replyOf = (command: Message): Message => ({
  id: `${command.id}:reply`,
  type: 'order.created',
  correlationId: command.correlationId,
  causationId: command.id,
  timestamp: '2025-04-08T03:09:12.000Z',
  source: 'order-service',
  payload: { order_id: '7' },
})

/** Takes commands and answers each at once. */
async function orderService(options: Partial<HttpTransportOptions> = {}) {
  const service = await node(options)
  const commands: Message[] = []
  await service.transport.subscribe('order_commands', 'orders', async (batch) => {
    commands.push(...batch)
    await service.transport.publish('order_events', batch.map(replyOf))
  })
  return { ...service, commands }
}

/** A server written by somebody else: sees each request with its body and answers as it likes. */
async function stranger(
  answer: (response: ServerResponse, count: number) => void,
): Promise<Served & { readonly seen: { request: IncomingMessage; body: string }[] }> {
  const seen: { request: IncomingMessage; body: string }[] = []
  const served = await serve((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      seen.push({ request, body: Buffer.concat(chunks).toString() })
      answer(response, seen.length)
    })
  })
  cleanUps.push(() => served.close())
  return { ...served, seen }
}

const post = (url: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })

const bare = JSON.stringify({ type: 'create_order', correlation_id: 's1', timestamp: 'now', payload: { a: 1 } })

/** Holds what a transport waits for, but not the time limit of its requests. */
const waitClock = () => handClock((ms) => ms !== requestMs)
const requestMs = 10_000

/** Holds the wait for a reply; pauses between tries are none. */
const replyClock = () =>
  handClock(
    (ms) => ms === 2_000,
    (ms, callback) => systemClock.after(ms === requestMs ? ms : 0, callback),
  )

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

describe('a sender', () => {
  test('reads the answer of a participant that gives nothing but type and payload', async () => {
    const peer = await stranger((response) => response.end('{"messages":[{"type":"order.created","payload":{"x":1}}]}'))
    const engine = await engineFor(peer.url)
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(engine.replies).toHaveLength(1))
    expect(engine.replies[0]).toMatchObject({
      id: 'c1:reply',
      type: 'order.created',
      correlationId: 'saga-of-c1',
      causationId: 'c1',
      payload: { x: 1 },
    })
  })

  test('reaches a peer that is absent at the start and comes later', async () => {
    const absent = await serve(() => undefined)
    await absent.close()
    const clock = waitClock()
    const engine = await engineFor(absent.url, { clock: clock.clock })
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(clock.delays().length).toBe(1))
    const orders = httpTransport({ peers: {}, self: absent.url })
    await orders.subscribe('order_commands', 'orders', (batch) => orders.publish('order_events', batch.map(replyOf)))
    const present = await serve(nodeHttpHandler(orders), absent.port)
    cleanUps.push(async () => {
      await orders.close()
      await present.close()
    })
    clock.ring()
    await until(() => expect(engine.replies).toHaveLength(1))
  })

  test('sends again under the same key where the connection is cut in the middle of the answer', async () => {
    const whole = '{"messages":[{"type":"order.created","payload":{}}]}'
    const peer = await stranger((response, count) => {
      if (count > 1) return response.end(whole)
      response.writeHead(200, { 'content-length': whole.length })
      return response.write(whole.slice(0, 20), () => response.destroy())
    })
    const engine = await engineFor(peer.url)
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(engine.replies).toHaveLength(1))
    expect(peer.seen.map(({ request }) => request.headers['idempotency-key'])).toEqual(['c1', 'c1'])
  })

  test('does not wait for ever', async () => {
    const peer = await stranger((response, count) => void (count > 1 && response.end('{"messages":[]}')))
    const engine = await engineFor(peer.url, { timeoutMs: 50 })
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(peer.seen).toHaveLength(2))
  })

  test('gives up what the peer refuses for good after one try, and says why', async () => {
    const peer = await stranger((response) => response.writeHead(422).end('{"error":"no such dish"}'))
    const engine = await engineFor(peer.url)
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(engine.transport.deadLetters()).toHaveLength(1))
    const reason = `${peer.url}/messages/order_commands: it answered 422: no such dish`
    expect(engine.transport.deadLetters()).toEqual([{ channel: 'order_commands', reason, message: message('c1') }])
    expect(engine.problems).toEqual([
      {
        what: 'create_order on order_commands is given up: it is a dead letter of this process',
        needsPerson: true,
        sagaId: 'saga-of-c1',
        messageId: 'c1',
        cause: reason,
      },
    ])
    expect(peer.seen).toHaveLength(1)
  })

  test.each([
    ['an answer that is not JSON', '<html>', 'the answer (status 200) cannot be read: it is not JSON'],
    [
      'replies that are no list',
      '{"messages":{}}',
      'the answer (status 200) cannot be read: its messages are not a list',
    ],
    [
      'a reply without a type',
      '{"messages":[{"payload":{}}]}',
      'the answer (status 200) cannot be read: the message has no type, which must be a text that is not empty',
    ],
    [
      'an endless answer',
      ' '.repeat(2_200_000),
      'the answer (status 200) cannot be read: it has more than 2097152 bytes',
    ],
  ])('tries again after %s, and gives up in the end', async (_what, body, why) => {
    const peer = await stranger((response) => response.end(body))
    const engine = await engineFor(peer.url)
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(engine.transport.deadLetters()).toHaveLength(1))
    expect(engine.transport.deadLetters()[0]?.reason).toBe(`${peer.url}/messages/order_commands: ${why}`)
    expect(peer.seen).toHaveLength(5)
  })

  test('follows no redirect', async () => {
    const elsewhere = await stranger((response) => response.end())
    const peer = await stranger((response) => response.writeHead(307, { location: elsewhere.url }).end())
    const engine = await engineFor(peer.url)
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(engine.transport.deadLetters()).toHaveLength(1))
    expect(engine.transport.deadLetters()[0]?.reason).toContain('redirect')
    expect(elsewhere.seen).toHaveLength(0)
  })

  test('opens no more requests at once than allowed, and one per saga', async () => {
    let open = 0
    let most = 0
    const order: string[] = []
    const peer = await stranger((response) => {
      most = Math.max(most, ++open)
      setImmediate(() => {
        open--
        response.end()
      })
    })
    const engine = await engineFor(peer.url, { concurrency: 3 })
    const commands = Array.from({ length: 30 }, (_, n) => message(`c${n}`, { correlationId: `s${n % 10}` }))
    await engine.transport.publish('order_commands', commands)
    await until(() => expect(peer.seen).toHaveLength(30))
    for (const { request } of peer.seen) order.push(String(request.headers['idempotency-key']))
    expect(most).toBeLessThanOrEqual(3)
    expect(most).toBeGreaterThan(1)
    expect(order.filter((id) => Number(id.slice(1)) % 10 === 4)).toEqual(['c4', 'c14', 'c24'])
  })

  test('does not queue a repeat while the first still waits', async () => {
    const clock = waitClock()
    const peer = await stranger((response, count) => response.writeHead(count === 1 ? 503 : 200).end())
    const engine = await engineFor(peer.url, { clock: clock.clock })
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(clock.delays().length).toBe(1))
    await engine.transport.publish('order_commands', [message('c1'), message('c2', { correlationId: 'saga-of-c1' })])
    clock.ring()
    await until(() => expect(peer.seen).toHaveLength(3))
    expect(peer.seen.map(({ request }) => request.headers['idempotency-key'])).toEqual(['c1', 'c1', 'c2'])
  })

  test('counts a command that is repeated while it waits, and then given up, as one dead letter', async () => {
    const clock = waitClock()
    const peer = await stranger((response) => response.writeHead(503).end())
    const engine = await engineFor(peer.url, { clock: clock.clock, retry: { ...shortPauses, tries: 2 } })
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(clock.delays().length).toBe(1))
    await engine.transport.publish('order_commands', [message('c1')])
    clock.ring()
    await until(() => expect(engine.transport.deadLetters()).not.toEqual([]))
    expect(engine.transport.deadLetters()).toHaveLength(1)
    expect(engine.problems).toHaveLength(1)
  })

  test('rejects what would not fit any more, and what no peer serves', async () => {
    const peer = await stranger(() => undefined)
    const engine = await engineFor(peer.url, { maxQueued: 2, timeoutMs: 100 })
    await engine.transport.publish('order_commands', [message('c1'), message('c2')])
    await expect(engine.transport.publish('order_commands', [message('c3')])).rejects.toThrow(
      `2 messages wait for ${peer.url}/messages/order_commands, which is the most allowed`,
    )
    await expect(engine.transport.publish('stock_commands', [message('c3')])).rejects.toThrow(
      'no peer serves stock_commands: add its base URL to peers',
    )
  })

  test.each([
    ['larger than a request may be goes into the answer', 'x'.repeat(1_500_000), 'taken'],
    ['larger than an answer may be is named as what can never be sent', 'x'.repeat(2_200_000), 'RefusedError'],
    ['that is no JSON is named as what can never be sent', 1n, 'RefusedError'],
  ])('a reply %s', async (_what, note, outcome) => {
    const service = await node()
    const published: string[] = []
    await service.transport.subscribe('order_commands', 'orders', async ([command]) => {
      const reply = { ...replyOf(command as Message), payload: { note } }
      const said = service.transport.publish('order_events', [reply])
      published.push(await said.then(() => 'taken').catch((error: Error) => error.name))
    })
    const engine = await engineFor(service.served.url)
    await engine.transport.publish('order_commands', [message('c1')])
    await until(() => expect(published[0]).toBe(outcome))
    if (outcome === 'taken') await until(() => expect(engine.replies).toMatchObject([{ payload: { note } }]))
  })

  test('names what can never be sent, and all others of its publish go out', async () => {
    const orders = await orderService()
    const { transport, replies, problems } = await engineFor(orders.served.url)
    const refused = transport.publish('order_commands', [
      message('c1'),
      message('large', { payload: 'x'.repeat(1_100_000) }),
      message('no JSON', { payload: { cents: 5n } }),
      message('c2'),
    ])
    await expect(refused).rejects.toMatchObject({ name: 'RefusedError', messageIds: ['large', 'no JSON'] })
    await until(() => expect(replies.map(({ causationId }) => causationId).toSorted()).toEqual(['c1', 'c2']))
    expect(orders.requests).toHaveLength(2)
    expect([problems, transport.deadLetters()]).toEqual([[], []])
  })

  test('reports a reply that has nowhere to go, and goes on', async () => {
    const service = await node()
    await service.transport.publish('order_events', [replyOf(message('c1'))])
    expect(service.problems).toEqual([
      {
        what: 'order.created on order_events goes nowhere: no request waits for it, no peer reads it',
        needsPerson: false,
        sagaId: 'saga-of-c1',
        messageId: 'c1:reply',
      },
    ])
  })

  test('reports events that no peer reads once for their channel, and not at once', async () => {
    const clock = waitClock()
    const service = await node({ clock: clock.clock })
    const event = message('e1', { type: 'ORDER_CREATED' })
    await service.transport.publish('order_events', [event, message('e2')])
    await service.transport.publish('order_events', [message('e3')])
    expect([clock.delays(), service.problems]).toEqual([[5_000], []])
    clock.ring()
    await service.transport.publish('order_events', [message('e4')])
    expect(clock.delays()).toEqual([])
    expect(service.problems).toEqual([
      {
        what: 'Nobody reads order_events, which messages are published to: subscribe to it, if it matters',
        needsPerson: false,
      },
    ])
  })

  describe('calls a peer of its own kind', () => {
    test('at its own address, with its headers, which are asked for before each request', async () => {
      const peer = await stranger((response, count) => response.writeHead(count === 1 ? 503 : 200).end())
      let tokens = 0
      const url = `${peer.url}/api/commands?tenant=7`
      const headers = () => ({ authorization: `Bearer ${++tokens}`, 'Content-Type': 'text/plain' })
      const { transport } = await node({ peers: { order_commands: { url, headers } } })
      await transport.publish('order_commands', [message('c1')])
      await until(() => expect(peer.seen).toHaveLength(2))
      expect(peer.seen.map(({ request }) => [request.url, request.headers.authorization])).toEqual([
        ['/api/commands?tenant=7', 'Bearer 1'],
        ['/api/commands?tenant=7', 'Bearer 2'],
      ])
      expect(peer.seen[0]?.request.headers).toMatchObject({
        'content-type': 'application/json',
        'idempotency-key': 'c1',
      })
    })

    test('with its headers also for late replies, and nobody else', async () => {
      const clock = replyClock()
      const [sagas, other] = [
        await stranger((response) => response.end()),
        await stranger((response) => response.end()),
      ]
      const peers = {
        order_events: { url: `${sagas.url}/events`, headers: { authorization: 'Bearer x' } },
      }
      const service = await node({ peers, clock: clock.clock })
      let publishReplies = (): void => undefined
      await service.transport.subscribe('order_commands', 'orders', async (batch) => {
        await new Promise<void>((resolve) => (publishReplies = resolve))
        await service.transport.publish('order_events', batch.map(replyOf))
      })
      for (const { url } of [sagas, other]) {
        const answering = post(service.url, bare, { 'idempotency-key': url, 'ordersaga-reply-to': `${url}/late` })
        await until(() => expect(clock.delays()).toEqual([2_000]))
        clock.ring()
        await answering
        publishReplies()
        publishReplies = () => undefined
      }
      await until(() => expect([sagas.seen.length, other.seen.length]).toEqual([1, 1]))
      const sent = [sagas, other].map(({ seen }) => [seen[0]?.request.url, seen[0]?.request.headers.authorization])
      expect(sent).toEqual([
        ['/late', 'Bearer x'],
        ['/late', undefined],
      ])
    })

    test('with the fetch that it was given', async () => {
      const asked: unknown[] = []
      const engine = await engineFor('http://orders.invalid', {
        async fetch(url, init) {
          asked.push(url, init?.method, init?.redirect)
          return Response.json({ messages: [{ type: 'order.created', payload: {} }] })
        },
      })
      await engine.transport.publish('order_commands', [message('c1')])
      await until(() => expect(engine.replies).toMatchObject([{ type: 'order.created', causationId: 'c1' }]))
      expect(asked).toEqual(['http://orders.invalid/messages/order_commands', 'POST', 'error'])
    })

    test('and tries again where its headers cannot be had', async () => {
      const peer = await stranger((response) => response.end())
      let asked = 0
      const headers = async () => {
        if (++asked === 1) throw new Error('the token service is away')
        return { authorization: 'Bearer x' }
      }
      const { transport } = await node({ peers: { order_commands: { url: peer.url, headers } } })
      await transport.publish('order_commands', [message('c1')])
      await until(() => expect(peer.seen).toHaveLength(1))
    })
  })

  test.each<[unknown, string]>([
    [{ url: 'orders' }, 'the peer of order_commands needs a url such as https://orders:3002/commands'],
    [{ address: 'http://orders' }, 'the peer of order_commands needs a url such as https://orders:3002/commands'],
    [null, 'the peer of order_commands needs a url such as https://orders:3002/commands'],
    [{ url: 'http://orders', header: {} }, 'the peer of order_commands has no option header: it has url, headers'],
    [
      { url: 'http://orders', headers: 'token' },
      'the headers of the peer of order_commands must be an object, or a function that gives one',
    ],
  ])('refuses the peer %j', (peer, why) => {
    expect(() => httpTransport({ peers: { order_commands: peer as string } })).toThrow(why)
  })

  test.each(['orders:3002', 'ftp://orders', 'http://orders?x=1', ''])('refuses %j as the address of a peer', (base) => {
    expect(() => httpTransport({ peers: { order_commands: base } })).toThrow(
      `${base} is not a base URL such as http://orders:3002`,
    )
  })
})

describe('a receiver', () => {
  test.each([
    [
      'not JSON',
      '{"type":',
      {},
      400,
      'the body is not JSON: send one message as a JSON object, with content-type application/json',
    ],
    ['no object', '[]', {}, 400, 'a message is a JSON object with type, correlation_id, timestamp and payload'],
    ['no type', '{"correlation_id":"s"}', {}, 400, 'the message has no type, which must be a text that is not empty'],
    [
      'no saga',
      '{"type":"t","correlation_id":7}',
      {},
      400,
      'the message has no correlation_id, which must be a text that is not empty',
    ],
    ['no key', bare, { 'idempotency-key': '' }, 400, 'the message has no id: send it in the header Idempotency-Key'],
    [
      '10 MB',
      JSON.stringify({ type: 'x'.repeat(10_000_000) }),
      {},
      413,
      'the body has more than 1048576 bytes, which is the most allowed',
    ],
    [
      'a reply address that is none of its peers',
      bare,
      { 'ordersaga-reply-to': 'http://169.254.169.254/latest' },
      400,
      'Ordersaga-Reply-To names an address that this process must not call: add a peer there',
    ],
  ])('answers a message with %s by a sentence, and takes the next', async (_what, body, headers, status, error) => {
    const orders = await orderService()
    const answer = await post(orders.url, body, { 'idempotency-key': 'c1', ...headers })
    expect([answer.status, await answer.json()]).toEqual([status, { error }])
    expect(orders.commands).toEqual([])
    expect((await post(orders.url, bare, { 'idempotency-key': 'c2' })).status).toBe(200)
  })

  test('cuts off a body that does not end', async () => {
    const orders = await orderService()
    await expect(post(orders.url, 'x'.repeat(40_000_000))).rejects.toThrow('fetch failed')
    expect((await post(orders.url, bare, { 'idempotency-key': 'c2' })).status).toBe(200)
  })

  test('answers 404 where nobody reads the channel, and for other addresses; 405 for other methods', async () => {
    const orders = await orderService()
    const unread = await post(`${orders.served.url}/messages/stock_commands`, bare, { 'idempotency-key': 'c1' })
    expect([unread.status, await unread.json()]).toEqual([404, { error: 'nobody here reads stock_commands' }])
    expect((await post(`${orders.served.url}/orders`, bare)).status).toBe(404)
    expect((await fetch(orders.url)).status).toBe(405)
  })

  test('answers 503 with Retry-After where the handler fails, and reports it', async () => {
    const service = await node()
    await service.transport.subscribe('order_commands', 'orders', async () => {
      throw new Error('the kitchen burns')
    })
    const answer = await post(service.url, bare, { 'idempotency-key': 'c1' })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await answer.json()).toEqual({ error: 'the message could not be handled: the kitchen burns' })
    expect(service.problems).toEqual([
      {
        what: 'create_order on order_commands could not be handled',
        needsPerson: false,
        sagaId: 's1',
        messageId: 'c1',
        cause: 'the kitchen burns',
      },
    ])
  })

  test('answers 503 where too many messages wait', async () => {
    const clock = waitClock()
    const service = await node({ maxQueued: 1, clock: clock.clock })
    const taken: Message[] = []
    let goOn = (): void => undefined
    await service.transport.subscribe('order_commands', 'orders', (batch) => {
      taken.push(...batch)
      return new Promise<void>((resolve) => (goOn = resolve))
    })
    const first = post(service.url, bare, { 'idempotency-key': 'c1' })
    await until(() => expect(taken).toHaveLength(1))
    const second = post(service.url, bare, { 'idempotency-key': 'c2' })
    await until(() => expect(clock.delays().length).toBe(2))
    const third = await post(service.url, bare, { 'idempotency-key': 'c3' })
    expect(third.status).toBe(503)
    expect(await third.json()).toMatchObject({ error: expect.stringContaining('1 messages wait') as string })
    clock.ring()
    expect([(await first).status, (await second).status]).toEqual([202, 202])
    goOn()
    await until(() => expect(taken).toHaveLength(2))
    goOn()
  })

  test('keeps what it has accepted for groups that come later, a repeat once', async () => {
    const { transport, url } = await orderService()
    for (const id of ['c1', 'c2', 'c1']) await post(url, bare, { 'idempotency-key': id })
    const late: string[] = []
    await transport.subscribe('order_commands', 'audit', async (batch) => void late.push(...batch.map(({ id }) => id)))
    await until(() => expect(late).toEqual(['c1', 'c2']))
  })

  test('keeps what it has accepted for a group that is away', async () => {
    const { transport, url } = await orderService()
    const audited: string[] = []
    const audit = () =>
      transport.subscribe('order_commands', 'audit', async (batch) => void audited.push(...batch.map(({ id }) => id)))
    await (await audit()).close()
    await post(url, bare, { 'idempotency-key': 'c1' })
    await audit()
    await until(() => expect(audited).toEqual(['c1']))
  })

  test('takes a body that a web framework has parsed already', async () => {
    const orders = await orderService()
    const answer = await orders.transport.receive({
      channel: 'order_commands',
      headers: { 'idempotency-key': 'c1' },
      body: JSON.parse(bare),
    })
    expect(answer.status).toBe(200)
    expect(orders.commands).toMatchObject([{ id: 'c1', type: 'create_order', payload: { a: 1 } }])
  })

  test('that stops finishes the command in hand with its reply, and sends others away', async () => {
    const service = await node()
    let goOn = (): void => undefined
    const taken: Message[] = []
    await service.transport.subscribe('order_commands', 'orders', async (batch) => {
      taken.push(...batch)
      await new Promise<void>((resolve) => (goOn = resolve))
      await service.transport.publish('order_events', batch.map(replyOf))
    })
    const inHand = post(service.url, bare, { 'idempotency-key': 'c1' })
    await until(() => expect(taken).toHaveLength(1))
    const closing = service.transport.close()
    const late = await post(service.url, bare, { 'idempotency-key': 'c2' })
    expect([late.status, await late.json()]).toEqual([
      503,
      { error: 'this process is stopping: send the message again' },
    ])
    goOn()
    await closing
    const answer = await inHand
    expect([answer.status, await answer.json()]).toMatchObject([200, { messages: [{ type: 'order.created' }] }])
  })

  /** Its reader has one event in hand, and fails on it once told to. */
  async function heldReader() {
    const { transport } = await node()
    const taken: Message[] = []
    let fail = (_why: Error): void => undefined
    const inHand = new Promise<void>((_resolve, reject) => (fail = reject))
    const subscription = await transport.subscribe('timer_events', 'engine', (batch) => {
      taken.push(...batch)
      return inHand
    })
    const postEvent = async (id: string) => {
      const event = { ...(JSON.parse(bare) as object), type: 'ORDER_TIMEOUT', id }
      const answer = await transport.receive({ channel: 'timer_events', headers: {}, body: event })
      return [answer.status, JSON.parse(answer.body)] as const
    }
    return { transport, taken, subscription, postEvent, fail: () => fail(new Error('it burns')) }
  }

  const handledNot = (why: string) => [503, { error: `the message could not be handled: ${why}` }]

  test('that stops answers for every event of a batch that fails as a whole', async () => {
    const { transport, taken, postEvent, fail } = await heldReader()
    const answers = [postEvent('e1'), postEvent('e2')]
    await until(() => expect(taken).toHaveLength(2))
    const closing = transport.close()
    fail()
    await closing
    expect(await Promise.all(answers)).toEqual([handledNot('it burns'), handledNot('it burns')])
  })

  test('whose last reader leaves answers at once for what waits, and then for what was in its hand', async () => {
    const { taken, subscription, postEvent, fail } = await heldReader()
    const inHand = [postEvent('e1'), postEvent('e2')]
    await until(() => expect(taken).toHaveLength(2))
    const waits = postEvent('e3')
    const closing = subscription.close()
    expect(await waits).toEqual(handledNot('nobody reads timer_events any more'))
    fail()
    await closing
    const gone = handledNot('nobody reads timer_events any more')
    expect(await Promise.all(inHand)).toEqual([gone, gone])
    expect(await postEvent('e4')).toEqual([404, { error: 'nobody here reads timer_events' }])
  })
})
