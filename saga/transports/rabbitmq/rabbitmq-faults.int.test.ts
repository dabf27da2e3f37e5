/** What the RabbitMQ transport does when its server, its connections or its process die: on a server of its own. */
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startChild, type Child } from '../../../tests/kit/child.ts'
import { installedPart, startPrivatePart, type PrivatePart } from '../../../tests/kit/private-part.ts'
import { until } from '../../../tests/kit/until.ts'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { message } from '../transport.contract.ts'
import { UnavailableError, type Message, type Transport } from '../transport.ts'
import { noteOn } from './last-try.ts'
import { corner, type Corner } from './rabbitmq.testkit.ts'
import { PublishError, type RabbitmqTransportOptions } from './rabbitmq-transport.ts'
import { tcpProxy, type TcpProxy } from './tcp-proxy.testkit.ts'

const program = fileURLToPath(import.meta.resolve('./consumer.testkit.ts'))
const channel = 'order_commands'
const patienceMs = 60_000

/** Two deaths and recoveries of a broker, on a machine that others use too. */
const twiceKilledMs = 180_000

/**
 * RabbitMQ 3.10 writes its register of quorum queues half a second late and cannot be asked about it. Killed before, it
 * loses the new queue with all that it confirmed, and the queue answers nobody until it is deleted.
 */
const registered = (): Promise<void> => delay(3_000)

type Kind = 'quorum queues' | 'classic queues' | 'a plain queue'

const optionsOf: Readonly<Record<Kind, Partial<RabbitmqTransportOptions>>> = {
  'quorum queues': { queueType: 'quorum' },
  'classic queues': { queueType: 'classic' },
  'a plain queue': {},
}

let server: PrivatePart
const corners: Corner[] = []
const children: Child[] = []
const proxies: TcpProxy[] = []

function cornerFor(kind: Kind = 'quorum queues'): Corner {
  const made = corner(server.url, kind === 'a plain queue' ? { order_commands: 'orders_queue' } : {})
  corners.push(made)
  return made
}

async function proxy(): Promise<TcpProxy> {
  const made = await tcpProxy(server.url)
  proxies.push(made)
  return made
}

/** Another process that reads the channel for the group. */
async function startConsumer(
  own: Corner,
  options: Partial<RabbitmqTransportOptions>,
  onHandled: (id: string) => void,
): Promise<Child> {
  let reads = false
  const child = startChild(program, [JSON.stringify({ ...own.options, ...options })], {}, (line) => {
    if (line === 'reads') reads = true
    else if (line.startsWith('handled ')) onHandled(line.slice('handled '.length))
  })
  children.push(child)
  await until('the consumer reads', patienceMs, () => reads || child.ended() !== null, child.tail)
  return child
}

/** What a subscriber has seen. */
interface Seen {
  readonly ids: Set<string>
  readonly batches: (readonly Message[])[]
}

async function read(
  transport: Transport,
  handle: (batch: readonly Message[]) => Promise<void> = async () => undefined,
) {
  const seen: Seen = { ids: new Set(), batches: [] }
  const subscription = await transport.subscribe(channel, 'g', async (batch) => {
    seen.batches.push(batch)
    await handle(batch)
    for (const { id } of batch) seen.ids.add(id)
  })
  return { ...seen, subscription }
}

/** Publishes batches without end, and knows what was confirmed. */
function load(transport: Transport) {
  const confirmed: string[] = []
  const errors: unknown[] = []
  let stopped = false
  const running = (async () => {
    for (let n = 0; !stopped; n++) {
      const batch = Array.from({ length: 10 }, (_, i) => message(`m${n}.${i}`))
      try {
        await transport.publish(channel, batch)
        confirmed.push(...batch.map(({ id }) => id))
      } catch (error) {
        errors.push(error)
      }
      await delay(5)
    }
  })()
  return {
    confirmed,
    errors,
    async stop() {
      stopped = true
      await running
    },
  }
}

/** Publishes until it is confirmed, where the transport gives up sooner than a busy server answers. */
const untilSent = (transport: Transport, id: string): Promise<void> =>
  until('it is sent', patienceMs, () =>
    transport.publish(channel, [message(id)]).then(
      () => true,
      () => false,
    ),
  )

const missing = (ids: ReadonlySet<string>, confirmed: readonly string[]): readonly string[] =>
  confirmed.filter((id) => !ids.has(id))

suiteOn('RabbitMQ', await installedPart('rabbitmq'), 'the RabbitMQ transport among faults', () => {
  beforeAll(async () => {
    server = await startPrivatePart('rabbitmq')
  })
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.kill()))
    await Promise.all(corners.splice(0).map((made) => made.dispose()))
    await Promise.all(proxies.splice(0).map((made) => made.close()))
  })
  afterAll(() => server.remove())

  describe.each(['quorum queues', 'classic queues', 'a plain queue'] as const)('on %s', (kind) => {
    test(
      'what was confirmed is read, though the server is killed twice under load',
      async () => {
        const own = cornerFor(kind)
        const [sender, receiver] = [await own.open(optionsOf[kind]), await own.open(optionsOf[kind])]
        const { confirmed, errors, stop } = load(sender)
        const moreAreConfirmed = (): Promise<void> => {
          const before = confirmed.length
          return until('messages are confirmed', patienceMs, () => confirmed.length >= before + 300)
        }
        await registered()
        await moreAreConfirmed()
        await server.kill()
        await server.start()
        const { ids } = await read(receiver)
        await moreAreConfirmed()
        await registered()
        await server.kill()
        await server.start()
        await moreAreConfirmed()
        await stop()
        await until(
          'all that was confirmed is read',
          patienceMs,
          () => missing(ids, confirmed).length === 0,
          () => `missing: ${missing(ids, confirmed).slice(0, 20).join(' ')}`,
        )
        expect(errors.every((error) => error instanceof PublishError)).toBe(true)
        const queue = kind === 'a plain queue' ? 'orders_queue' : `${channel}.g`
        expect(await own.look(`${queue}.dead`)).toEqual([])
      },
      twiceKilledMs,
    )

    test('a killed consumer is taken over by the one that stands by', async () => {
      const own = cornerFor(kind)
      const handled = new Set<string>()
      await startConsumer(own, optionsOf[kind], (id) => handled.add(id))
      const [sender, receiver] = [await own.open(optionsOf[kind]), await own.open(optionsOf[kind])]
      const { ids } = await read(receiver)
      const { confirmed, stop } = load(sender)
      await until('the first consumer reads', patienceMs, () => handled.size >= 200)
      expect(ids.size).toBe(0)
      const killed = performance.now()
      await Promise.all(children.splice(0).map((child) => child.kill()))
      await until('the other consumer reads', 10_000, () => ids.size > 0)
      expect(performance.now() - killed).toBeLessThan(10_000)
      await stop()
      await until('all is read', patienceMs, () => missing(new Set([...ids, ...handled]), confirmed).length === 0)
    })
  })
  test('messages of one saga keep their order while consumers come and go', async () => {
    const own = cornerFor()
    const sender = await own.open()
    const handled: string[] = []
    let inHand = 0
    let most = 0
    const join = async (): Promise<Transport> => {
      const receiver = await own.open()
      await read(receiver, async (batch) => {
        most = Math.max(most, ++inHand)
        await new Promise(setImmediate)
        handled.push(...batch.map(({ id }) => id))
        inHand--
      })
      return receiver
    }
    let active = await join()
    const ids = Array.from({ length: 400 }, (_, n) => `m${n}`)
    for (let from = 0; from < ids.length; from += 100) {
      const next = await join()
      const batch = ids.slice(from, from + 100).map((id) => message(id, { correlationId: 'one' }))
      await sender.publish(channel, batch)
      await active.close()
      active = next
    }
    await until('all is read', patienceMs, () => handled.length >= ids.length)
    expect(handled).toEqual(ids)
    expect(most).toBe(1)
  })

  test('a message that kills whoever has it ends among the dead letters, its neighbours do not', async () => {
    const own = cornerFor()
    const sender = await own.open()
    const { subscription } = await read(sender)
    await subscription.close()
    const ids = ['m0', 'm1', 'm2', 'killer', 'm3', 'm4', 'm5']
    await sender.publish(
      channel,
      ids.map((id) => message(id)),
    )
    const handled = new Set<string>()
    let deaths = 0
    const innocent = ids.filter((id) => id !== 'killer')
    while (missing(handled, innocent).length > 0) {
      const child = await startConsumer(own, { maxReturns: 5 }, (id) => handled.add(id))
      await until('it dies, or all is handled', patienceMs, () => {
        return child.ended() !== null || missing(handled, innocent).length === 0
      })
      if (child.ended() !== null) deaths++
    }
    expect(deaths).toBe(6) // five returns, and the last try
    await until('the killer is given up', patienceMs, async () => (await own.look(`${channel}.g.dead`)).length > 0)
    const dead = await own.deadLetters(`${channel}.g`)
    expect(dead.map((letter) => letter.message)).toMatchObject([{ id: 'killer' }])
    expect(dead[0]?.reason).toContain('it came back 6 times, at last as the only one in hand')
  })

  describe('of messages at their last try', () => {
    test.each<[what: string, handle: (gate: Promise<void>) => Promise<void>, dead: readonly string[]]>([
      ['only the one in hand when its process was lost is given up', (gate) => gate, ['m0']],
      [
        'none is given up where the handler of the lost process was unavailable',
        async () => {
          throw new UnavailableError('the database is away')
        },
        [],
      ],
    ])('%s', async (_what, handle, dead) => {
      const own = cornerFor()
      const between = await proxy()
      const noReturns = { maxReturns: 0, retry: { tries: 5, firstMs: 60_000, factor: 1, maxMs: 60_000, jitter: 0 } }
      const lost = await own.open({ ...noReturns, url: between.url, timeoutMs: 2_000 })
      let open = (): void => undefined
      const gate = new Promise<void>((resolve) => (open = resolve))
      const { batches } = await read(lost, () => handle(gate))
      const sender = await own.open()
      await sender.publish(channel, [message('m0'), message('m1')])
      await until('the first is in hand', patienceMs, () => batches.length > 0)
      const noted = async () => (await own.count(noteOn(`${channel}.g`, 'm0')).catch(() => null)) !== null
      await until('the note is as it is to be', patienceMs, async () => (await noted()) === dead.includes('m0'))
      between.mute(true)
      between.cut()
      const { ids } = await read(await own.open(noReturns))
      await until('the last is read', patienceMs, () => ids.has('m1')).finally(() => open())
      expect([...ids]).toEqual(['m0', 'm1'].filter((id) => !dead.includes(id)))
      await until('the dead are there', patienceMs, async () => {
        return (await own.look(`${channel}.g.dead`)).length === dead.length
      })
      expect(own.problems.filter(({ what }) => what.includes(' goes to ')).map(({ messageId }) => messageId)).toEqual(
        dead,
      )
    })

    test('the one in hand when only the connection was lost is handled by its process', async () => {
      const own = cornerFor()
      const between = await proxy()
      const transport = await own.open({ maxReturns: 0, url: between.url })
      let open = (): void => undefined
      const gate = new Promise<void>((resolve) => (open = resolve))
      const { batches, ids } = await read(transport, () => gate)
      await transport.publish(channel, [message('m')])
      await until('it is in hand', patienceMs, () => batches.length === 1)
      between.cut()
      await until('it reads again', patienceMs, () => transport.ready())
      open()
      await until('it has come again', patienceMs, () => batches.length === 2)
      expect([...ids]).toEqual(['m'])
      expect(await own.look(`${channel}.g.dead`)).toEqual([])
    })
  })

  test('a frozen consumer is taken over; thawed, it takes over again when the other leaves', async () => {
    const own = cornerFor()
    const handled = new Set<string>()
    const child = await startConsumer(own, { url: `${server.url}?heartbeat=2` }, (id) => handled.add(id))
    const [sender, receiver] = [await own.open(), await own.open()]
    const { ids, subscription } = await read(receiver)
    const { confirmed, stop } = load(sender)
    await until('the first consumer reads', patienceMs, () => handled.size >= 50)
    child.signal('SIGSTOP')
    await until('the other consumer reads', patienceMs, () => ids.size >= 50)
    child.signal('SIGCONT')
    const before = handled.size
    await subscription.close()
    await until('the first consumer reads again', patienceMs, () => handled.size >= before + 50)
    await stop()
    await until('all is read', patienceMs, () => missing(new Set([...ids, ...handled]), confirmed).length === 0)
  })

  test('connections that are cut again and again lose nothing, and give nothing up', async () => {
    const own = cornerFor()
    const between = await proxy()
    const through = { url: between.url, maxReturns: 3 }
    const [sender, receiver] = [await own.open(through), await own.open(through)]
    const { ids } = await read(receiver)
    const { confirmed, stop } = load(sender)
    for (let cuts = 0; cuts < 10; cuts++) {
      const [before, seen] = [confirmed.length, ids.size]
      await until('it works again', patienceMs, () => confirmed.length >= before + 50 && ids.size >= seen + 50)
      between.cut()
    }
    await stop()
    await until('all that was confirmed is read', patienceMs, () => missing(ids, confirmed).length === 0)
    expect(await own.look(`${channel}.g.dead`)).toEqual([])
  })

  test('connections that are cut while a new group reads the past lose nothing of it', async () => {
    const own = cornerFor()
    const between = await proxy()
    const sender = await own.open()
    const past = Array.from({ length: 500 }, (_, n) => `m${n}`)
    await sender.publish(
      channel,
      past.map((id) => message(id)),
    )
    const receiver = own.begin({ url: between.url, prefetch: 20 })
    let cuts = 0
    const { ids } = await read(receiver, async (batch) => {
      if (cuts < 5 && batch.some(({ id }) => id === past[50 * (cuts + 1)])) {
        cuts++
        between.cut()
      }
    })
    const { confirmed, stop } = load(sender)
    await until('all of the past is read', patienceMs, () => missing(ids, past).length === 0)
    await stop()
    await until('all that is new is read', patienceMs, () => missing(ids, confirmed).length === 0)
    expect(cuts).toBe(5)
  })

  test('connections that go silent are found and replaced, and what was sent on them is of unknown outcome', async () => {
    const own = cornerFor()
    const between = await proxy()
    const transport = await own.open({ url: `${between.url}?heartbeat=2`, timeoutMs: 2_000 })
    const { ids } = await read(transport)
    await untilSent(transport, 'before')
    await until('it is read', patienceMs, () => ids.has('before'))
    between.freeze()
    const lost = await transport.publish(channel, [message('lost')]).catch((error: unknown) => error)
    expect(lost).toMatchObject({ code: 'outcome_unknown' })
    expect(String(lost)).toContain('1 message to order_commands were sent but not confirmed')
    await until('it connects again', patienceMs, () => transport.ready())
    await until('what is sent is read', patienceMs, async () => {
      await transport.publish(channel, [message('after')]).catch(() => undefined)
      return ids.has('after')
    })
  })

  test('a server that takes the connection and says nothing is tried again', async () => {
    const own = cornerFor()
    const between = await proxy()
    between.mute(true)
    const transport = own.begin({ url: between.url, timeoutMs: 2_000 })
    const { ids } = await read(transport)
    await expect(transport.publish(channel, [message('m')])).rejects.toThrow('not sent')
    between.mute(false)
    await until('it is ready', patienceMs, () => transport.ready())
    await untilSent(transport, 'm')
    await until('it is read', patienceMs, () => ids.has('m'))
  })

  test('a handler slower than the heartbeat keeps its message', async () => {
    const own = cornerFor()
    const transport = await own.open({ url: `${server.url}?heartbeat=2` })
    const began = performance.now()
    const { batches, ids } = await read(transport, () =>
      until('time has passed', patienceMs, () => performance.now() - began > 8_000),
    )
    await transport.publish(channel, [message('m')])
    await until('it is handled', patienceMs, () => ids.has('m'))
    await transport.publish(channel, [message('next')])
    await until('the next is handled', patienceMs, () => ids.has('next'))
    expect(batches.flat().map(({ id }) => id)).toEqual(['m', 'next'])
    expect(own.problems).toEqual([])
  })

  test('what waited here when the connection was lost is handled once, after the message in hand', async () => {
    const own = cornerFor()
    const between = await proxy()
    const [sender, receiver] = [await own.open(), await own.open({ url: between.url, prefetch: 10 })]
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => (open = resolve))
    const { batches, ids } = await read(receiver, () => gate)
    await sender.publish(channel, [message('in hand', { correlationId: 'one' })])
    await until('it is in hand', patienceMs, () => batches.length === 1)
    await sender.publish(channel, [message('waits', { correlationId: 'one' })])
    await until('the next has come too', patienceMs, async () => (await own.count(`${channel}.g`)) === 0)
    between.cut()
    await until('it reads again', patienceMs, () => receiver.ready())
    await sender.publish(channel, [message('new', { correlationId: 'one' })])
    open()
    await until('all is handled', patienceMs, () => ids.has('new'))
    expect(batches.flat().map(({ id }) => id)).toEqual(['in hand', 'in hand', 'waits', 'new'])
  })

  test('a queue that is deleted is declared again', async () => {
    const own = cornerFor()
    const transport = await own.open()
    const { ids } = await read(transport)
    await transport.subscribe(channel, 'other', async () => undefined)
    await own.remove(`${channel}.g`)
    await until('messages arrive again', patienceMs, async () => {
      await transport.publish(channel, [message('m')])
      return ids.has('m')
    })
  })

  test('a message that no queue takes is not taken for published', async () => {
    const own = cornerFor('a plain queue')
    const transport = await own.open()
    await transport.publish(channel, [message('m0')])
    await own.remove('orders_queue')
    const refused = await Promise.allSettled([1, 2].map(() => transport.publish(channel, [message('m1')])))
    expect(refused.map((each) => each.status === 'rejected' && (each.reason as PublishError).code)).toEqual([
      'unroutable',
      'unroutable',
    ])
    await transport.publish(channel, [message('m2')])
    expect((await own.look('orders_queue')).map(({ properties }) => properties.messageId as string)).toEqual(['m2'])
  })

  test('a queue of another kind is named as the problem, and what is read besides goes on', async () => {
    const own = cornerFor()
    const [classic, quorum] = [await own.open({ queueType: 'classic' }), await own.open()]
    await classic.subscribe('payment_commands', 'g', async () => undefined)
    void quorum.subscribe('payment_commands', 'g', async () => undefined) // waits for what cannot be
    const { ids } = await read(quorum)
    await quorum.publish(channel, [message('m')])
    await until('the other channel is read', patienceMs, () => ids.has('m'))
    await until('it is told', patienceMs, () => own.problems.length > 0)
    const [problem, ...more] = own.problems
    expect(more).toEqual([])
    expect(problem?.what).toContain('payment_commands.g cannot be read; it is tried again until it can')
    expect(String(problem?.cause)).toContain("inequivalent arg 'x-queue-type'")
    await quorum.publish('payment_commands', [message('m')]) // whoever reads it, in whatever queue
  })

  describe('while the server is away', () => {
    beforeEach(() => server.kill())
    afterEach(() => server.start())

    test('publishing ends within its bound and says that nothing was sent', async () => {
      const transport = cornerFor().begin({ timeoutMs: 300 })
      const began = performance.now()
      await expect(transport.publish(channel, [message('m')])).rejects.toMatchObject({
        code: 'not_sent',
        message: expect.stringMatching(
          /^1 message to order_commands were not sent \(.+\): publish again later$/,
        ) as string,
      })
      expect(performance.now() - began).toBeLessThan(10_000)
      expect(await transport.ready()).toBe(false)
    })

    test('a subscription is kept in mind: when the server comes, it reads', async () => {
      const own = cornerFor()
      const transport = own.begin({ timeoutMs: 2_000 })
      const { ids } = await read(transport)
      const unsent = transport.publish(channel, [message('m0')])
      await expect(unsent).rejects.toThrow('not sent')
      await server.start()
      await until('it is ready', patienceMs, () => transport.ready())
      await until('messages go through', patienceMs, async () => {
        await transport.publish(channel, [message('m1')]).catch(() => undefined)
        return ids.has('m1')
      })
      expect([...ids]).toEqual(['m1'])
      const told = own.problems.map(({ what }) => what).filter((what) => what.startsWith('RabbitMQ cannot be reached'))
      expect(told).toEqual([
        'RabbitMQ cannot be reached for ordersaga, publishing; it is tried again until it can',
        'RabbitMQ cannot be reached for ordersaga, reading; it is tried again until it can',
      ])
    })

    test('closing takes no longer than what is in hand', async () => {
      const transport = cornerFor().begin({ timeoutMs: 300 })
      const { subscription } = await read(transport)
      const began = performance.now()
      await subscription.close()
      await transport.close()
      expect(performance.now() - began).toBeLessThan(10_000)
      await expect(transport.publish(channel, [message('m')])).rejects.toThrow('closed')
    })
  })

  test('closing waits for the batch in hand, also when the server has gone meanwhile', async () => {
    const own = cornerFor()
    const transport = await own.open({ timeoutMs: 2_000 })
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => (open = resolve))
    const replies: unknown[] = []
    const { batches, ids } = await read(transport, async () => {
      await gate
      await transport.publish('order_events', [message('reply')]).catch((error: unknown) => replies.push(error))
    })
    await untilSent(transport, 'm')
    await until('it is in hand', patienceMs, () => batches.length === 1)
    await registered()
    await server.kill()
    let closed = false
    const closing = transport.close().then(() => (closed = true))
    await until('its connections are gone', patienceMs, async () => own.problems.length >= 2)
    expect(closed).toBe(false)
    open()
    await closing
    expect([...ids]).toEqual(['m'])
    expect(replies).toMatchObject([{ code: 'not_sent' }])
    await server.start()
    const next = await own.open()
    const again = await read(next)
    await until('what could not be acknowledged comes again', patienceMs, () => again.ids.has('m'))
  })
})
