import { describe, expect, test } from 'vitest'
import { type Message } from '../transport.ts'
import { until, node, replyOf, orderService, post, bare, waitClock } from './http.testkit.ts'

describe('an HTTP receiver', () => {
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
