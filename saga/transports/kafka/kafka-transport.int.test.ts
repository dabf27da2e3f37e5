import { afterEach, expect, test, vi } from 'vitest'
import { until } from '../../../tests/kit/until.ts'
import { kafkaBrokers, suiteOn } from '../../../tests/kit/parts.ts'
import { message, transportContract } from '../transport.contract.ts'
import { UnavailableError, type FailedMessage, type Message, type RefusedError } from '../transport.ts'
import { corner, read, type Corner } from './kafka.testkit.ts'

const channel = 'order_commands'
const patienceMs = 30_000
const corners: Corner[] = []

suiteOn('Kafka', await kafkaBrokers(), 'the Kafka transport', (brokers) => {
  const cornerHere = (): Corner => {
    const made = corner(brokers)
    corners.push(made)
    return made
  }

  transportContract('Kafka', async () => {
    const own = corner(brokers)
    return {
      sender: own.open(),
      receiver: own.open(),
      deadLetters: () => own.deadLetters('order_commands'),
      dispose: () => own.dispose(),
    }
  })

  afterEach(async () => {
    await Promise.all(corners.splice(0).map((made) => made.dispose()))
  })

  const bare = (n: number): string =>
    JSON.stringify({
      type: 'create_order',
      correlation_id: 'one',
      timestamp: '2025-04-08T03:09:11.123456',
      payload: { n },
    })

  test('a record on the wire is the envelope of the contract, the saga its key, our ids and its trace its headers', async () => {
    const own = cornerHere()
    const more = { causationId: 'c', undoes: 's1:create:do', source: 'order-service' }
    await own.open().publish(channel, [message('s1:create:undo', more), message('m')])
    const records = await own.look(channel)
    await until('both are there', patienceMs, () => records.length === 2)
    const [first, second] = records.toSorted((one) => (one.key?.toString() === 'saga-of-m' ? 1 : -1))
    expect(JSON.parse(String(first?.value))).toEqual({
      type: 'create_order',
      correlation_id: 'saga-of-s1:create:undo',
      timestamp: '2025-04-08T03:09:11.123Z',
      payload: { n: 's1:create:undo' },
      source: 'order-service',
    })
    expect(String(first?.key)).toBe('saga-of-s1:create:undo')
    expect(Object.entries(first?.headers ?? {}).map(([name, value]) => [name, String(value)])).toEqual([
      ['ordersaga-id', 's1:create:undo'],
      ['traceparent', expect.stringMatching(/^00-[\da-f]{32}-[\da-f]{16}-01$/)],
      ['ordersaga-causation-id', 'c'],
      ['ordersaga-undoes', 's1:create:do'],
    ])
    expect(Object.keys(JSON.parse(String(second?.value)) as object)).not.toContain('source')
    expect(Object.keys(second?.headers ?? {})).toEqual(['ordersaga-id', 'traceparent'])
  })

  test('a topic is made with three partitions, also by two processes at once', async () => {
    const own = cornerHere()
    await Promise.all([1, 2, 3].map((n) => own.open().publish(channel, [message(`m${n}`)])))
    expect(await own.topics()).toEqual({ [channel]: 3 })
  })

  test('a topic that is read has one for its dead letters, which has none of its own', async () => {
    const own = cornerHere()
    await own.send(channel, { value: 'hello' })
    await read(own.open())
    const dead = await own.look(`${channel}.dead`)
    await until('there is a dead letter', patienceMs, () => dead.length === 1)
    expect(await own.topics()).toEqual({ [channel]: 3, [`${channel}.dead`]: 3 })
  })

  test('a topic that is there is written and read though none can be made for its dead letters', async () => {
    const own = cornerHere()
    const longest = 'x'.repeat(249 - String(own.options.prefix).length)
    await own.create(longest)
    const transport = own.open()
    const seen: string[] = []
    await transport.subscribe(longest, 'g', async (batch) => void seen.push(...batch.map(({ id }) => id)))
    await transport.publish(longest, [message('m')])
    await until('it is read', patienceMs, () => seen.length > 0)
    expect(seen).toEqual(['m'])
    expect(own.problems.map(({ what }) => what)).toContain(`${own.options.prefix}${longest}.dead is missing`)
  })

  test('a topic that cannot be made is named with the reason', async () => {
    const refused = cornerHere()
      .open({ replicationFactor: 5 })
      .publish(channel, [message('m')])
    await expect(refused).rejects.toThrow(/^1 message to .+ were not sent \(.+ could not be created: .*replication/i)
  })

  test('a foreign record without key, headers and source is read, with an id that stays when it comes again', async () => {
    const own = cornerHere()
    await own.send(channel, { value: bare(1) }, { value: bare(2) })
    let tries = 0
    const { batches, ids } = await read(own.open(), async () => {
      if (++tries <= 2) throw new Error('not yet')
    })
    await until('both are handled', patienceMs, () => ids.size === 2)
    const all = batches.flat()
    expect(all.length).toBeGreaterThan(2)
    expect(new Set(all.map(({ id }) => id)).size).toBe(2)
    const topic = `${own.options.prefix}${channel}`
    expect(all.findLast(({ id }) => id.startsWith(`${topic}/0/1`))).toEqual({
      id: expect.stringMatching(`^${topic}/0/1@\\d+$`) as string,
      type: 'create_order',
      correlationId: 'one',
      timestamp: '2025-04-08T03:09:11.123456',
      payload: { n: 2 },
    })
  })

  test('what cannot be read goes to the dead topic as it came, with reason and origin, and the next ones go on', async () => {
    const own = cornerHere()
    const unreadable: readonly (readonly [value: string | Buffer | null, reason: string])[] = [
      ['hello', 'the message is not JSON in UTF-8'],
      [Buffer.from('{"type":"ü"}', 'utf16le'), 'the message is not JSON in UTF-8'],
      [Buffer.from([0x22, 0xff, 0x22]), 'the message is not JSON in UTF-8'],
      [null, 'the message is not JSON in UTF-8'],
      ['[1]', 'a message is a JSON object with type, correlation_id, timestamp and payload'],
      ['{"correlation_id":"one"}', 'the message has no type, which must be a text that is not empty'],
      ['{"type":"t","correlation_id":7}', 'the message has no correlation_id, which must be a text that is not empty'],
    ]
    const records = unreadable.map(([value], n) => ({ key: `k${n}`, value, headers: { trace: 'abc' } }))
    await own.send(channel, { value: bare(1) }, ...records, { value: bare(2) })
    const reader = await read(own.open())
    await until('the others are handled', patienceMs, () => reader.ids.size === 2)
    const dead = await own.look(`${channel}.dead`)
    await until('the dead letters are there', patienceMs, () => dead.length === unreadable.length)
    const found = dead.toSorted((one, other) => Number(String(one.key).slice(1)) - Number(String(other.key).slice(1)))
    for (const [n, [value, reason]] of unreadable.entries()) {
      expect(found[n]?.value).toEqual(value === null ? null : Buffer.from(value))
      const headers = Object.entries(found[n]?.headers ?? {}).map(([name, text]) => [name, String(text)])
      expect(Object.fromEntries(headers)).toEqual({
        trace: 'abc',
        'ordersaga-reason': reason,
        'ordersaga-topic': `${own.options.prefix}${channel}`,
        'ordersaga-partition': '0',
        'ordersaga-offset': String(n + 1),
        'ordersaga-group': `${own.options.prefix}g`,
        'ordersaga-died-at': expect.stringMatching(/^\d{4}-.*Z$/) as string,
      })
    }
    expect(own.problems.map(({ cause }) => cause)).toEqual(unreadable.map(([, reason]) => reason))
    await reader.close()
    await own.send(channel, { value: bare(3) })
    const next = await read(own.open())
    await until('the next is handled', patienceMs, () => next.ids.size === 1)
    expect(next.batches.flat()).toMatchObject([{ payload: { n: 3 } }])
  })

  test('a record too large for the dead topic with its reason leaves a notice there, and the next ones go on', async () => {
    const own = cornerHere()
    await own.send(channel, { value: 'x'.repeat(1_048_400) }, { value: bare(1) })
    const { ids } = await read(own.open())
    await until('the next is handled', patienceMs, () => ids.size === 1)
    const dead = await own.look(`${channel}.dead`)
    await until('the notice is there', patienceMs, () => dead.length === 1)
    expect(dead[0]?.value).toBeNull()
    expect(String(dead[0]?.headers?.['ordersaga-offset'])).toBe('0')
    expect(String(dead[0]?.headers?.['ordersaga-left-out'])).toBe('Kafka refused a copy')
  })

  test('a record that has a header without a value becomes a dead letter, and publishing goes on', async () => {
    const own = cornerHere()
    // As other clients write it; this one counts the bytes of every value.
    const count = Buffer.byteLength.bind(Buffer)
    const counting = vi
      .spyOn(Buffer, 'byteLength')
      .mockImplementation((value: unknown, ...more) => (value === null ? 0 : count(value as string, ...more)))
    const headers = { empty: null as unknown as string, mixed: ['a', null as unknown as string] }
    await own.send(channel, { value: 'hello', headers }).finally(() => counting.mockRestore())
    const transport = own.open()
    const { ids } = await read(transport)
    const dead = await own.look(`${channel}.dead`)
    await until('it is there', patienceMs, () => dead.length === 1)
    expect(String(dead[0]?.value)).toBe('hello')
    expect(dead[0]?.headers).not.toHaveProperty('empty')
    expect(String(dead[0]?.headers?.['mixed'])).toBe('a')
    await transport.publish(channel, [message('m')])
    await until('the next is handled', patienceMs, () => ids.has('m'))
  })

  test('a message of more than 1 MB is refused clearly, those that are published with it are not', async () => {
    const own = cornerHere()
    const transport = own.open()
    const { ids } = await read(transport)
    const large = message('large', { payload: 'x'.repeat(1_100_000) })
    const others = Array.from({ length: 50 }, (_, n) => message(`m${n}`))
    const refused = transport.publish(channel, [large]).catch((error: unknown) => error)
    const taken = Promise.all(others.map((other) => transport.publish(channel, [other])))
    const alsoRefused = transport.publish('payment_commands', [message('p'), large]).catch((error: unknown) => error)
    await taken
    for (const error of [await refused, await alsoRefused]) {
      expect(error).toMatchObject({ name: 'RefusedError', code: 'refused', messageIds: ['large'] })
      expect(String(error)).toContain('larger than its topic allows (max.message.bytes)')
      expect(String(error)).not.toContain('xxx')
    }
    await until('the others are read', patienceMs, () => ids.size === others.length)
    expect([...ids].toSorted()).toEqual(others.map(({ id }) => id).toSorted())
  })

  test('messages that can never be sent are named, all others of their publish arrive', async () => {
    const own = cornerHere()
    const transport = own.open()
    const { ids } = await read(transport)
    const refused = transport.publish(channel, [
      message('m0'),
      message('large', { payload: 'x'.repeat(1_100_000) }),
      message('m1'),
      message('no JSON', { payload: { cents: 5n } }),
      message('no key', { correlationId: 7 as unknown as string }),
      message('m2'),
      message('larger than any request', { payload: 'x'.repeat(105_000_000) }),
      message('m3'),
    ])
    const error: unknown = await refused.catch((error: unknown) => error)
    expect(error).toMatchObject({ name: 'RefusedError', code: 'refused' })
    const named = [...(error as RefusedError).messageIds]
    expect(named.toSorted()).toEqual(['large', 'larger than any request', 'no JSON', 'no key'])
    expect(String(error)).toContain('4 messages of 8 to')
    await until('the others are read', patienceMs, () => ids.size === 4)
    expect([...ids].toSorted()).toEqual(['m0', 'm1', 'm2', 'm3'])
  })

  test('many messages larger together than a request may be are taken in one publish, in order', async () => {
    const own = cornerHere()
    const transport = own.open()
    const { batches, ids } = await read(transport)
    const messages = Array.from({ length: 60 }, (_, n) =>
      message(`m${n}`, { correlationId: 'one', payload: 'x'.repeat(100_000) }),
    )
    await transport.publish(channel, messages)
    await until('all are read', patienceMs, () => ids.size === messages.length)
    expect(batches.flat().map(({ id }) => id)).toEqual(messages.map(({ id }) => id))
  })

  test('a batch that a topic allows less than is halved until what is too large is found', async () => {
    const own = cornerHere()
    await own.create(channel, { 'max.message.bytes': '5000' })
    const transport = own.open()
    const { ids } = await read(transport)
    const sizes = Array.from({ length: 30 }, (_, n) =>
      message(`m${n}`, { payload: 'x'.repeat(n === 20 ? 6_000 : 1_000) }),
    )
    const outcomes = await Promise.allSettled(sizes.map((each) => transport.publish(channel, [each])))
    expect(outcomes.map(({ status }) => status).indexOf('rejected')).toBe(20)
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(29)
    await until('the others are read', patienceMs, () => ids.size === 29)
  })

  test('one group reads several topics, each with its own handler, in one process and in two', async () => {
    const own = cornerHere()
    const channels = ['order_events', 'user_events', 'payment_events', 'timer_events']
    const seen = new Map<string, Set<string>>(channels.map((each) => [each, new Set()]))
    for (const transport of [own.open(), own.open()]) {
      for (const each of channels) {
        await transport.subscribe(each, 'sagas', async (batch) => {
          for (const { id } of batch) seen.get(each)?.add(id)
        })
      }
    }
    const sender = own.open()
    for (const each of channels) {
      await sender.publish(
        each,
        Array.from({ length: 30 }, (_, n) => message(`${each}-${n}`)),
      )
    }
    const count = (): number[] => channels.map((each) => seen.get(each)?.size ?? 0)
    await until(
      'each has its own',
      patienceMs,
      () => count().every((size) => size === 30),
      () => String(count()),
    )
    for (const each of channels) expect([...(seen.get(each) ?? [])].every((id) => id.startsWith(each))).toBe(true)
  })

  test('a message that waits for its tries holds up no other saga, and of its partition a bounded number goes on', async () => {
    const own = cornerHere()
    const stuck = message('stuck', { correlationId: 'one' })
    const retry = { tries: 1_000, firstMs: 50, factor: 1, maxMs: 50, jitter: 0 }
    const handled = new Map<string, number>()
    let healed = false
    const transport = own.open({ retry })
    await transport.subscribe(channel, 'g', async (batch) => {
      const failed: FailedMessage[] = []
      for (const { id, correlationId } of batch) {
        if (id === 'stuck' && !healed) failed.push({ messageId: id, reason: 'not yet' })
        else handled.set(correlationId, (handled.get(correlationId) ?? 0) + 1)
      }
      return failed
    })
    await transport.publish(channel, [stuck])
    const many = (count: number): Message[] =>
      Array.from({ length: count }, (_, n) => message(`m${n}`, { correlationId: 'one' }))
    await transport.publish(channel, many(12_000))
    const others = Array.from({ length: 100 }, (_, n) => message(`o${n}`, { correlationId: `other-${n}` }))
    const width = 9_999 // with the stuck one 10,000
    await until('its partition goes on so far', patienceMs, () => handled.get('one') === width)
    await transport.publish(channel, others)
    const ofOthers = (): number => [...handled.keys()].filter((saga) => saga !== 'one').length
    // A third of them, more or less, are behind it in its own partition.
    await until('other partitions go on', patienceMs, () => ofOthers() > 40)
    expect(handled.get('one')).toBe(width)
    healed = true
    await until('all are handled', patienceMs, () => handled.get('one') === 12_001 && ofOthers() === 100)
    expect(own.problems).toEqual([])
  })

  test('while the handler is unavailable messages wait, none is charged a try, and then all are handled', async () => {
    const own = cornerHere()
    const transport = own.open({ prefetch: 20, retry: { tries: 2, firstMs: 20, factor: 1, maxMs: 20, jitter: 0 } })
    let away = true
    let refusals = 0
    const { ids } = await read(transport, async () => {
      if (away) refusals++
      if (away) throw new UnavailableError('the database is away')
    })
    const messages = Array.from({ length: 200 }, (_, n) => message(`m${n}`))
    await transport.publish(channel, messages)
    const began = performance.now()
    await until('it was away for long', patienceMs, () => refusals > 20 && performance.now() - began > 4_000)
    away = false
    await until('all are handled', patienceMs, () => ids.size === messages.length)
    expect(own.problems).toEqual([])
  })

  test('a subscriber that comes while the last one leaves slowly gets every partition', async () => {
    const own = cornerHere()
    const transport = own.open()
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => (open = resolve))
    const leaving = await read(transport, () => gate)
    await transport.publish(channel, [message('held')])
    await until('it is in hand', patienceMs, () => leaving.batches.length === 1)
    const left = leaving.close()
    const messages = Array.from({ length: 60 }, (_, n) => message(`m${n}`))
    await transport.publish(channel, messages)
    // Longer than the client is kept waiting for room: its partitions are then paused.
    const began = performance.now()
    await until('time has passed', patienceMs, () => performance.now() - began > 2_500)
    const next = await read(transport)
    await until('the next one gets them', patienceMs, () => next.ids.size === messages.length)
    open()
    await left
    expect(leaving.batches.flat().map(({ id }) => id)).toEqual(['held'])
  })

  test('a handler slower than the session keeps its message, and its membership', async () => {
    const own = cornerHere()
    const transport = own.open({ sessionTimeoutMs: 6_000 })
    const began = performance.now()
    const { batches, ids } = await read(transport, async () => {
      if (batches.length === 1) await until('time has passed', 20_000, () => performance.now() - began > 9_000)
    })
    await transport.publish(channel, [message('m')])
    await until('it is handled', patienceMs, () => ids.has('m'))
    await transport.publish(channel, [message('next')])
    await until('the next is handled', patienceMs, () => ids.has('next'))
    expect(batches.flat().map(({ id }) => id)).toEqual(['m', 'next'])
    expect(own.problems).toEqual([])
  })

  test('a topic that is deleted is made again, and read', async () => {
    const own = cornerHere()
    const transport = own.open()
    const { ids } = await read(transport)
    await transport.publish(channel, [message('m0'), message('m1')])
    await until('it is read', patienceMs, () => ids.size === 2)
    await own.admin((admin) => admin.deleteTopics({ topics: [`${own.options.prefix}${channel}`] }))
    await until('messages arrive again', patienceMs, async () => {
      await transport.publish(channel, [message('again')]).catch(() => undefined)
      return ids.has('again')
    })
  })

  test('a topic that is deleted is made again by who only reads it', async () => {
    const own = cornerHere()
    const transport = own.open()
    await read(transport)
    await until('it is ready', patienceMs, () => transport.ready())
    const topics = [channel, `${channel}.dead`].map((name) => `${own.options.prefix}${name}`)
    await own.admin(async (admin) => {
      await admin.deleteTopics({ topics })
      await until('both are there again', patienceMs, async () => {
        const there = new Set(await admin.listTopics())
        return topics.every((topic) => there.has(topic))
      })
    })
    await until('it is ready again', patienceMs, () => transport.ready())
  })

  test('it closes though others go on publishing: these are refused', async () => {
    const transport = cornerHere().open()
    let published = 0
    const publishing = Array.from({ length: 8 }, async (_, worker) => {
      for (let n = 0; ; n++) {
        await transport.publish(channel, [message(`${worker}.${n}`)])
        published++
      }
    })
    await until('all publish', patienceMs, () => published > 100)
    await transport.close()
    const ends = await Promise.allSettled(publishing)
    for (const end of ends) expect(end.status === 'rejected' && String(end.reason)).toContain('is closed')
  })

  test('what was settled is not read again after a close, even where it was settled just before', async () => {
    const own = cornerHere()
    const sender = own.open()
    const seen: string[] = []
    for (let round = 0; round < 5; round++) {
      const transport = own.open()
      const { ids } = await read(transport, async (batch) => void seen.push(...batch.map(({ id }) => id)))
      await sender.publish(channel, [message(`m${round}`)])
      await until('it is handled', patienceMs, () => ids.has(`m${round}`))
      await transport.close()
    }
    expect(seen).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
  })
})
