/** What the Kafka transport does when its server, its connections or its process die: on a server of its own. */
import { subscribe } from 'node:diagnostics_channel'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startChild, type Child } from '../../../tests/kit/child.ts'
import { installedPart, startPrivatePart, type PrivatePart } from '../../../tests/kit/private-part.ts'
import { until } from '../../../tests/kit/until.ts'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { message } from '../transport.contract.ts'
import type { Message, Transport } from '../transport.ts'
import { PublishError, type KafkaTransportOptions } from './kafka-transport.ts'
import { corner, read, type Corner } from './kafka.testkit.ts'

const program = fileURLToPath(import.meta.resolve('./consumer.testkit.ts'))
const channel = 'order_commands'
const minute = 60_000
/** A server that was killed takes its time, and groups deal their partitions anew. */
const patienceMs = 60_000

let server: PrivatePart
const corners: Corner[] = []
const children: Child[] = []

function cornerHere(): Corner {
  const made = corner(server.url)
  corners.push(made)
  return made
}

/** Also the last of its threads: until then its port may still take connections. */
async function killServer(): Promise<void> {
  await server.kill()
  const refuses = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: server.port })
      socket.on('connect', () => resolve(false)).on('error', () => resolve(true))
      socket.on('connect', () => socket.destroy())
    })
  await until('its port is closed', patienceMs, refuses)
}

/** Another process that reads the channel for the group. */
async function startConsumer(
  own: Corner,
  onHandled: (id: string) => void,
  onProblem: (what: string) => void = () => undefined,
): Promise<Child> {
  let reads = false
  const child = startChild(program, [JSON.stringify(own.options)], {}, (line) => {
    if (line === 'reads') reads = true
    else if (line.startsWith('problem ')) onProblem(line.slice('problem '.length))
    else if (line.startsWith('handled ')) onHandled(line.slice('handled '.length))
  })
  children.push(child)
  await until('the consumer reads', patienceMs, () => reads || child.ended() !== null, child.tail)
  return child
}

/** Publishes batches without end, five messages for each of two sagas, and knows what was confirmed. */
function load(transport: Transport) {
  const confirmed: string[] = []
  const errors: unknown[] = []
  let stopped = false
  const running = (async () => {
    for (let n = 0; !stopped; n++) {
      const batch = Array.from({ length: 10 }, (_, i) =>
        message(`${n}.${i}`, { correlationId: `s${(2 * n + (i % 2)) % 40}` }),
      )
      try {
        await transport.publish(channel, batch)
        confirmed.push(...batch.map(({ id }) => id))
      } catch (error) {
        errors.push(error)
      }
      await new Promise((resolve) => setTimeout(resolve, 5)) // its pace: nothing is waited for
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

async function untilAllIsRead(ids: () => ReadonlySet<string>, confirmed: readonly string[]): Promise<void> {
  await until(
    'all that was confirmed is read',
    patienceMs,
    () => missing(ids(), confirmed).length === 0,
    () => `missing: ${missing(ids(), confirmed).slice(0, 20).join(' ')}`,
  )
}

/** The first time that each message of a saga came, they came in order. */
function expectOrder(messages: readonly Message[]): void {
  const bySaga = new Map<string, Set<number>>()
  for (const { id, correlationId } of messages) {
    const [batch, place] = id.split('.').map(Number)
    const own = bySaga.get(correlationId) ?? new Set()
    bySaga.set(correlationId, own.add((batch ?? 0) * 10 + (place ?? 0)))
  }
  for (const numbers of bySaga.values()) expect([...numbers]).toEqual([...numbers].toSorted((a, b) => a - b))
}

/** The server's process: paused by SIGSTOP it takes connections, and says nothing on any. */
function serverProcess(): number {
  const isServer = (pid: string): boolean => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      const settings = words[words.indexOf('kafka.Kafka') + 1] ?? ''
      return settings.endsWith('.properties') && readFileSync(settings, 'utf8').includes(`127.0.0.1:${server.port},`)
    } catch {
      return false
    }
  }
  return Number(readdirSync('/proc').find((pid) => /^\d+$/.test(pid) && isServer(pid)))
}

/** Every thread of the process is stopped: the signal reaches them one after the other. */
const standsStill = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every((thread) =>
    /^State:\s*[Tt]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')),
  )

/** All connections that this process has made and not ended. */
const sockets = new Set<Socket>()
subscribe('net.client.socket', (made) => {
  const { socket } = made as { readonly socket: Socket }
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
})

const parts = await installedPart('kafka')

suiteOn('Kafka', parts, 'the Kafka transport among faults', () => {
  beforeAll(async () => {
    server = await startPrivatePart('kafka')
  }, 2 * minute)
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.kill()))
    await Promise.all(corners.splice(0).map((made) => made.dispose()))
  }, minute)
  afterAll(() => server.remove(), minute)

  test(
    'what was confirmed is read, though the server is killed twice under load',
    { timeout: 5 * minute },
    async () => {
      const own = cornerHere()
      const { batches, ids } = await read(own.open())
      const { confirmed, errors, stop } = load(own.open())
      for (let round = 1; round <= 2; round++) {
        const [before, seen] = [confirmed.length, ids.size]
        await until('messages go through', patienceMs, () => confirmed.length >= before + 300 && ids.size >= seen + 100)
        await killServer()
        await server.start()
      }
      const before = confirmed.length
      await until('messages are confirmed again', patienceMs, () => confirmed.length >= before + 300)
      await stop()
      await untilAllIsRead(() => ids, confirmed)
      const repeats = batches.flat().length - ids.size
      process.stdout.write(
        `killed twice: ${confirmed.length} confirmed, ${errors.length} rejected, ${repeats} repeats\n`,
      )
      expect(errors.every((error) => error instanceof PublishError)).toBe(true)
      expect(await own.deadLetters(channel)).toEqual([])
    },
  )

  /** One in a process of its own, one in this, while records come in; both have read. */
  async function twoMembersUnderLoad(own: ReturnType<typeof cornerHere>) {
    const handled = new Set<string>()
    const problems: string[] = []
    const child = await startConsumer(
      own,
      (id) => handled.add(id),
      (what) => problems.push(what),
    )
    const { ids } = await read(own.open())
    const { confirmed, stop } = load(own.open())
    await until('both read', patienceMs, () => handled.size >= 200 && ids.size >= 200)
    return { child, handled, problems, confirmed, stop, all: () => new Set([...ids, ...handled]) }
  }

  test(
    'the partitions of a killed member are with the others within fifteen seconds',
    { timeout: 3 * minute },
    async () => {
      const { child, confirmed, stop, all } = await twoMembersUnderLoad(cornerHere())
      await child.kill()
      const [killed, before] = [performance.now(), confirmed.length]
      // Of each saga in turn ten more: some are on partitions that the killed one had.
      await until('more is confirmed', patienceMs, () => confirmed.length >= before + 400)
      const probe = confirmed.slice(0, before + 400)
      await until('all is read', 15_000, () => missing(all(), probe).length === 0)
      process.stdout.write(`taken over within ${Math.round(performance.now() - killed)} ms\n`)
      expect(performance.now() - killed).toBeLessThan(15_000)
      await stop()
      await untilAllIsRead(all, confirmed)
    },
  )

  test(
    'a member that is stopped for longer than its session goes on without harm',
    { timeout: 3 * minute },
    async () => {
      const { child, handled, problems, confirmed, stop, all } = await twoMembersUnderLoad(cornerHere())
      child.signal('SIGSTOP')
      const before = confirmed.length
      await until('more is confirmed', patienceMs, () => confirmed.length >= before + 400)
      const probe = confirmed.slice(0, before + 400)
      await until('the other reads all', patienceMs, () => missing(all(), probe).length === 0)
      child.signal('SIGCONT')
      const seen = handled.size
      await until('it reads again', patienceMs, () => handled.size > seen + 100, child.tail)
      await stop()
      await untilAllIsRead(all, confirmed)
      expect(await child.stop()).toBe(0)
      expect(problems).toEqual([])
    },
  )

  test('members that come and go lose nothing, and each saga keeps its order', { timeout: 4 * minute }, async () => {
    const own = cornerHere()
    const seen: Message[] = []
    const join = async () => {
      const transport = own.open()
      const reader = await read(transport, async (batch) => {
        await new Promise(setImmediate)
        seen.push(...batch)
      })
      await until('it reads', patienceMs, () => transport.ready())
      return reader
    }
    const { confirmed, errors, stop } = load(own.open())
    let members = [await join()]
    for (let round = 0; round < 4; round++) {
      members = [...members, await join()]
      const before = seen.length
      await until('messages go through', patienceMs, () => seen.length > before + 200)
      await members.shift()?.close()
    }
    await stop()
    await untilAllIsRead(() => new Set(seen.map(({ id }) => id)), confirmed)
    const repeats = seen.length - new Set(seen.map(({ id }) => id)).size
    process.stdout.write(`members came and went: ${confirmed.length} messages, ${repeats} repeats\n`)
    expect(errors).toEqual([])
    expectOrder(seen)
    expect(own.problems).toEqual([])
  })

  test('connections that are cut again and again lose nothing', { timeout: 3 * minute }, async () => {
    const own = cornerHere()
    const { batches, ids } = await read(own.open())
    const { confirmed, errors, stop } = load(own.open())
    for (let cuts = 0; cuts < 8; cuts++) {
      const [before, seen] = [confirmed.length, ids.size]
      await until('it works', patienceMs, () => confirmed.length >= before + 50 && ids.size >= seen + 50)
      expect(sockets.size).toBeGreaterThan(0)
      for (const socket of sockets) socket.destroy(new Error('read ECONNRESET'))
    }
    await stop()
    await untilAllIsRead(() => ids, confirmed)
    const repeats = batches.flat().length - ids.size
    process.stdout.write(`cut 8 times: ${confirmed.length} confirmed, ${errors.length} rejected, ${repeats} repeats\n`)
    expect(await own.deadLetters(channel)).toEqual([])
  })

  test('connections that go silent are found and replaced', { timeout: 3 * minute }, async () => {
    const own = cornerHere()
    const transport = own.open({ timeoutMs: 3_000 })
    const { ids } = await read(transport)
    await untilSent(transport, 'before')
    await until('it is read', patienceMs, () => ids.has('before'))
    // What the server says on them does not arrive any more; nobody hangs up.
    for (const socket of sockets) socket.pause()
    const lost = await transport.publish(channel, [message('lost')]).catch((error: unknown) => error)
    expect(lost).toMatchObject({ name: 'PublishError', code: 'outcome_unknown' })
    await until('what is sent is read', patienceMs, async () => {
      await transport.publish(channel, [message('after')]).catch(() => undefined)
      return ids.has('after')
    })
    await until('it is ready', patienceMs, () => transport.ready())
  })

  test(
    'a server that falls silent is found, nothing waits for it for ever, and it is used when it is back',
    {
      timeout: 4 * minute,
    },
    async () => {
      const own = cornerHere()
      const transport = own.open({ timeoutMs: 3_000 })
      const { ids } = await read(transport)
      await untilSent(transport, 'before')
      await until('it is read', patienceMs, () => ids.has('before'))
      const pid = serverProcess()
      process.kill(pid, 'SIGSTOP')
      await until('it stands still', patienceMs, () => standsStill(pid))
      try {
        const began = performance.now()
        const lost = await transport.publish(channel, [message('lost')]).catch((error: unknown) => error)
        expect(lost).toMatchObject({ name: 'PublishError', code: 'outcome_unknown' })
        expect(String(lost)).toContain('were sent but not confirmed (no answer within 3000 ms): publish again')
        expect(performance.now() - began).toBeLessThan(30_000)
        expect(await transport.ready()).toBe(false)
        const other = own.open({ timeoutMs: 3_000 })
        await other.subscribe(channel, 'other', async () => undefined)
        await expect(other.publish(channel, [message('m')])).rejects.toMatchObject({ code: 'not_sent' })
        const closing = performance.now()
        await other.close()
        expect(performance.now() - closing).toBeLessThan(30_000)
      } finally {
        process.kill(pid, 'SIGCONT')
      }
      await until('it is ready again', patienceMs, () => transport.ready())
      await until('what is sent is read', patienceMs, async () => {
        await transport.publish(channel, [message('after')]).catch(() => undefined)
        return ids.has('after')
      })
    },
  )

  describe('while the server is away', () => {
    let child: Child
    beforeAll(async () => {
      child = await startConsumer(cornerHere(), () => undefined)
      await killServer()
    }, 3 * minute)
    afterAll(() => server.start(), 2 * minute)

    test('a process that closes its transport ends by itself', async () => {
      const began = performance.now()
      expect(await child.stop()).toBe(0)
      expect(performance.now() - began).toBeLessThan(20_000)
    })

    const quick: Partial<KafkaTransportOptions> = { timeoutMs: 2_000 }

    test('publishing ends within its bound and says that nothing was sent', async () => {
      const transport = cornerHere().open(quick)
      const began = performance.now()
      await expect(transport.publish(channel, [message('m')])).rejects.toMatchObject({
        name: 'PublishError',
        code: 'not_sent',
        message: expect.stringMatching(
          /^1 message to .+order_commands were not sent \(.+\): publish again later$/,
        ) as string,
      })
      expect(performance.now() - began).toBeLessThan(30_000)
      expect(await transport.ready()).toBe(false)
    })

    test('closing ends within its bound', async () => {
      const transport = cornerHere().open(quick)
      const { close } = await read(transport)
      const unsent = transport.publish(channel, [message('m')]).catch((error: unknown) => error)
      const began = performance.now()
      await close()
      await transport.close()
      expect(performance.now() - began).toBeLessThan(30_000)
      expect(await unsent).toMatchObject({ code: 'not_sent' })
      await expect(transport.publish(channel, [message('m')])).rejects.toThrow('closed')
    })

    test('a subscription is kept in mind: when the server comes, it reads', { timeout: 2 * minute }, async () => {
      const own = cornerHere()
      const transport = own.open(quick)
      const { ids } = await read(transport)
      await expect(transport.publish(channel, [message('m0')])).rejects.toThrow('not sent')
      expect(await transport.ready()).toBe(false)
      await server.start()
      await until('it is ready', patienceMs, () => transport.ready())
      await untilSent(transport, 'm1')
      await until('it is read', patienceMs, () => ids.size > 0)
      expect([...ids]).toEqual(['m1'])
      const told = own.problems.map(({ what }) => what)
      expect(told).toContain(
        `${own.options.prefix}order_commands cannot be read for ${own.options.prefix}g; it is tried again until it can`,
      )
      expect(told.length).toBeLessThan(10)
    })
  })

  test(
    'closing waits for the batch in hand, also when the server has gone meanwhile',
    { timeout: 3 * minute },
    async () => {
      const own = cornerHere()
      const transport = own.open({ timeoutMs: 2_000 })
      let open = (): void => undefined
      const gate = new Promise<void>((resolve) => (open = resolve))
      const replies: unknown[] = []
      const { batches, ids } = await read(transport, async () => {
        await gate
        await transport.publish('order_events', [message('reply')]).catch((error: unknown) => replies.push(error))
      })
      await untilSent(transport, 'm')
      await until('it is in hand', patienceMs, () => batches.length === 1)
      await killServer()
      let closed = false
      const closing = transport.close().then(() => (closed = true))
      await until('its connections are gone', patienceMs, () => own.problems.length > 0)
      expect(closed).toBe(false)
      open()
      await closing
      expect([...ids]).toEqual(['m'])
      expect(replies).toMatchObject([{ code: 'not_sent' }])
      await server.start()
      const again = await read(own.open())
      await until('what could not be committed comes again', patienceMs, () => again.ids.has('m'))
    },
  )

  test('a process that closes its transport leaves its group and ends by itself', async () => {
    const child = await startConsumer(cornerHere(), () => undefined)
    expect(await child.stop()).toBe(0)
  })
})
