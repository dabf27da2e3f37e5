import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import { message } from '../transport.contract.ts'
import { type Message } from '../transport.ts'
import { httpTransport } from './http-transport.ts'
import {
  serve,
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
  cleanUps,
  shortPauses,
} from './http.testkit.ts'
import { nodeHttpHandler } from './node-http-handler.ts'

describe('an HTTP sender', () => {
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

  test('reads the answers to commands of a channel that is called otherwise where it is told that they come', async () => {
    const peer = await stranger((response) => response.end('{"messages":[{"type":"reduced","payload":null}]}'))
    const transport = httpTransport({
      peers: { products_queue: peer.url },
      replies: { products_queue: 'orchestration_queue' },
    })
    cleanUps.push(() => transport.close())
    const replies: Message[] = []
    await transport.subscribe('orchestration_queue', 'sagas', async (batch) => void replies.push(...batch))
    await transport.publish('products_queue', [message('c1')])
    await until(() => expect(replies).toMatchObject([{ type: 'reduced', causationId: 'c1' }]))
    await expect(
      httpTransport({ peers: {}, replies: { products_queue: 'x' } }).publish('products_queue', [message('c2')]),
    ).rejects.toThrow('no peer serves products_queue')
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
        deadLetter: true,
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

  test.each<[string, (response: ServerResponse) => void, RegExp]>([
    ['a redirect', (response) => response.writeHead(302, { location: '/login' }).end(), /redirect/],
    ['a page', (response) => response.end('<html>'), /the answer \(status 200\) cannot be read: it is not JSON/],
    ['an error', (response) => response.writeHead(502).end(), /502/],
  ])('says at the first try why a message was not taken, and not with each: %s', async (_what, answer, why) => {
    const peer = await stranger(answer)
    const clock = waitClock()
    const engine = await engineFor(peer.url, { clock: clock.clock })
    await engine.transport.publish('order_commands', [message('c1'), message('c2')])
    await until(() => expect(peer.seen).toHaveLength(2))
    await until(() => expect(clock.delays()).toHaveLength(2))
    clock.ring()
    await until(() => expect(peer.seen).toHaveLength(4))
    expect(engine.problems).toMatchObject([
      {
        needsPerson: false,
        what: expect.stringMatching(/was not taken by .*\/order_commands, and is tried again/) as string,
      },
    ])
    expect(engine.problems[0]?.what).toMatch(why)
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
    expect(engine.problems.filter(({ deadLetter }) => deadLetter)).toHaveLength(1)
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

test('each of several services that read a channel gets all of its messages, also while another is away', async () => {
  const clock = waitClock()
  const [one, two] = [await orderService(), await orderService()]
  const absent = await serve(() => undefined)
  await absent.close()
  const transport = httpTransport({
    peers: { order_commands: [one.url, absent.url, { url: `${two.url}/messages/order_commands` }] },
    clock: clock.clock,
  })
  cleanUps.push(() => transport.close())
  await transport.publish('order_commands', [message('c1'), message('c2')])
  for (const { commands } of [one, two]) await until(() => expect(commands.map(({ id }) => id)).toEqual(['c1', 'c2']))
})
