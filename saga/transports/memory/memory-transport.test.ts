import { describe, expect, test, vi } from 'vitest'
import type { Problem } from '../../problem.ts'
import { handClock } from '../hand-clock.testkit.ts'
import { message, transportContract } from '../transport.contract.ts'
import { UnavailableError } from '../transport.ts'
import { memoryTransport } from './memory-transport.ts'

transportContract('memory', async () => {
  const retry = { tries: 5, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 }
  const transport = memoryTransport({ retry, onProblem: () => undefined })
  return {
    sender: transport,
    receiver: transport,
    deadLetters: async () => transport.deadLetters(),
    dispose: () => transport.close(),
  }
})

const turns = (count: number): Promise<void> =>
  Array.from({ length: count }).reduce<Promise<void>>(
    (before) => before.then(() => new Promise((resolve) => setImmediate(resolve))),
    Promise.resolve(),
  )

describe('memory transport', () => {
  test('the pauses between tries grow, and the last try is followed by none', async () => {
    const clock = handClock()
    const transport = memoryTransport({ clock: clock.clock })
    let tries = 0
    await transport.subscribe('c', 'g', async () => {
      tries++
      throw new Error(`no ${tries}`)
    })
    await transport.publish('c', [message('m')])
    const pauses: number[] = []
    for (let i = 1; i < 5; i++) {
      await expect.poll(() => clock.delays()).toHaveLength(1)
      pauses.push(clock.delays()[0] ?? 0)
      clock.ring()
    }
    await expect.poll(() => transport.deadLetters()).toHaveLength(1)
    expect(pauses).toEqual([100, 400, 1_600, 6_400])
    expect(transport.deadLetters()).toEqual([{ channel: 'c', reason: 'no 5', message: message('m') }])
    expect(clock.delays()).toHaveLength(0)
  })

  test('a handler that is unavailable is waited for, in order and with no try charged', async () => {
    const clock = handClock()
    const transport = memoryTransport({ clock: clock.clock })
    let away = 30
    const batches: (readonly string[])[] = []
    await transport.subscribe('c', 'g', async (batch) => {
      if (away-- > 0) throw new UnavailableError('the database is away')
      batches.push(batch.map(({ id }) => id))
    })
    await transport.publish('c', [message('a'), message('b')])
    const pauses: number[] = []
    for (let outage = 1; outage <= 30; outage++) {
      await expect.poll(() => clock.delays()).toHaveLength(1)
      pauses.push(clock.delays()[0] ?? 0)
      if (outage === 30) await transport.publish('c', [message('c')])
      clock.ring()
    }
    await expect.poll(() => batches).toEqual([['a', 'b', 'c']])
    expect(pauses.slice(0, 3)).toEqual([100, 400, 1_600])
    expect(transport.deadLetters()).toEqual([])
  })

  test('a message in its pause holds up nobody', async () => {
    const clock = handClock()
    const transport = memoryTransport({ clock: clock.clock })
    const handled: string[] = []
    await transport.subscribe('c', 'g', async ([first]) => {
      if (first?.id === 'bad') throw new Error('no')
      handled.push(first?.id ?? '')
    })
    await transport.publish('c', [message('bad')])
    await expect.poll(() => clock.delays()).toHaveLength(1)
    await transport.publish('c', [message('good')])
    await expect.poll(() => handled).toEqual(['good'])
  })

  test('a batch has at most maxBatch messages', async () => {
    const transport = memoryTransport({ maxBatch: 7 })
    const sizes: number[] = []
    await transport.subscribe('c', 'g', async (batch) => void sizes.push(batch.length))
    await transport.publish(
      'c',
      Array.from({ length: 20 }, (_, n) => message(`m${n}`)),
    )
    await expect.poll(() => sizes).toEqual([7, 7, 6])
  })

  test('a full queue rejects the publisher and takes nothing of it for any group', async () => {
    const transport = memoryTransport({ maxQueued: 3 })
    const got: string[] = []
    await transport.subscribe('c', 'fast', async (batch) => void got.push(...batch.map(({ id }) => id)))
    await transport.subscribe('c', 'stuck', () => new Promise(() => undefined))
    await transport.publish('c', [message('in hand')])
    await expect.poll(() => got).toEqual(['in hand'])
    await transport.publish('c', [message('m0'), message('m1')])
    await expect.poll(() => got).toHaveLength(3)
    await expect(transport.publish('c', [message('m2'), message('m3')])).rejects.toThrow(
      '3 messages wait for group stuck on c, which is the most allowed: publish again later, or raise maxQueued',
    )
    await transport.publish('c', [message('m4')])
    await expect.poll(() => got).toEqual(['in hand', 'm0', 'm1', 'm4'])
  })

  test('what came before anybody read the channel waits for the first groups; a later one gets the newest', async () => {
    const transport = memoryTransport({ historyPerChannel: 2 })
    const read = async (group: string) => {
      const got: string[] = []
      await transport.subscribe('c', group, async (batch) => void got.push(...batch.map(({ id }) => id)))
      return got
    }
    await transport.publish('c', [message('m0'), message('m1'), message('m2')])
    for (const group of ['first', 'second']) {
      const got = await read(group)
      await expect.poll(() => got).toEqual(['m0', 'm1', 'm2'])
    }
    await transport.publish('c', [message('m3'), message('m4')])
    const late = await read('late')
    await expect.poll(() => late).toEqual(['m3', 'm4'])
  })

  test('a group that nobody reads any more does not hold up the publisher; what it misses is a dead letter', async () => {
    const transport = memoryTransport({ maxQueued: 2 })
    const subscription = await transport.subscribe('c', 'g', async () => undefined)
    await subscription.close()
    await transport.publish('c', [message('m0'), message('m1'), message('m2')])
    expect(transport.deadLetters()).toMatchObject([{ message: { id: 'm0' } }])
  })

  test('other work of the process gets its turn between batches', async () => {
    const transport = memoryTransport({ maxBatch: 1 })
    let handled = 0
    await transport.subscribe('c', 'g', async () => void handled++)
    await transport.publish(
      'c',
      Array.from({ length: 1_000 }, (_, n) => message(`m${n}`)),
    )
    await turns(10)
    expect(handled).toBeGreaterThan(0)
    expect(handled).toBeLessThan(1_000)
  })

  test('closing calls off the pauses', async () => {
    const clock = handClock()
    const transport = memoryTransport({ clock: clock.clock })
    await transport.subscribe('c', 'g', async () => {
      throw new Error('no')
    })
    await transport.publish('c', [message('m')])
    await expect.poll(() => clock.delays()).toHaveLength(1)
    await transport.close()
    expect(clock.delays()).toHaveLength(0)
  })

  test('closing begins no pause for a handler that is unavailable meanwhile', async () => {
    const clock = handClock()
    const transport = memoryTransport({ clock: clock.clock })
    let fail = (_why: Error): void => undefined
    const inHand = new Promise<void>((_resolve, reject) => (fail = reject))
    let taken = 0
    await transport.subscribe('c', 'g', (batch) => {
      taken += batch.length
      return inHand
    })
    await transport.publish('c', [message('m')])
    await expect.poll(() => taken).toBe(1)
    const closing = transport.close()
    fail(new UnavailableError('asleep'))
    await closing
    expect(clock.delays()).toHaveLength(0)
  })

  test('a message that may be tried only once waits for its handler, and for a reader, all the same', async () => {
    const clock = handClock()
    const retry = { tries: 1, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 }
    const transport = memoryTransport({ clock: clock.clock, retry })
    const first = await transport.subscribe('c', 'g', async () => {
      throw new UnavailableError('asleep')
    })
    await transport.publish('c', [message('m')])
    await expect.poll(() => clock.delays()).toHaveLength(1)
    await first.close()
    clock.ring()
    const seen: string[] = []
    await transport.subscribe('c', 'g', async (batch) => void seen.push(...batch.map(({ id }) => id)))
    await expect.poll(() => seen).toEqual(['m'])
    expect(transport.deadLetters()).toEqual([])
  })

  test('of a channel, no more of the newest are kept for late groups than it was told, a repeat once', async () => {
    const transport = memoryTransport({ historyPerChannel: 3 })
    await transport.subscribe('c', 'first', async () => undefined)
    await transport.publish(
      'c',
      ['m0', 'm1', 'm2', 'm2', 'm3', 'm4', 'm0'].map((id) => message(id)),
    )
    const got: string[] = []
    await transport.subscribe('c', 'late', async (batch) => void got.push(...batch.map(({ id }) => id)))
    await expect.poll(() => got).toEqual(['m3', 'm4', 'm0'])
  })

  describe('reports', () => {
    const reporting = () => {
      const [clock, problems] = [handClock(), [] as Problem[]]
      const onProblem = (problem: Problem): number => problems.push(problem)
      const retry = { tries: 1 }
      return { clock, problems, transport: memoryTransport({ clock: clock.clock, onProblem, retry }) }
    }

    test('a dead letter, with its message and reason', async () => {
      const { problems, transport } = reporting()
      await transport.subscribe('c', 'g', async () => {
        throw new Error('a bitter pill')
      })
      await transport.publish('c', [message('m')])
      await expect.poll(() => problems).toHaveLength(1)
      expect(problems).toEqual([
        {
          what: 'create_order on c is given up: it is a dead letter of this process',
          needsPerson: true,
          deadLetter: true,
          sagaId: 'saga-of-m',
          messageId: 'm',
          cause: 'a bitter pill',
        },
      ])
    })

    test('a channel that nobody reads, once and not at once; commands need a person', async () => {
      const { clock, problems, transport } = reporting()
      for (const channel of ['order_commands', 'order_events', 'order_commands']) {
        await transport.publish(channel, [message('m')])
      }
      expect([clock.delays(), problems]).toEqual([[5_000, 5_000], []])
      clock.ring()
      await transport.publish('order_commands', [message('m')])
      expect(clock.delays()).toEqual([])
      expect(problems).toEqual([
        {
          what: 'Nobody reads order_commands, which messages are published to: attach its participant, or mend the name of the channel',
          needsPerson: true,
        },
        {
          what: 'Nobody reads order_events, which messages are published to: subscribe to it, if it matters',
          needsPerson: false,
        },
      ])
    })

    test('nothing of a channel whose reader comes in time', async () => {
      const { clock, transport } = reporting()
      await transport.publish('c', [message('m')])
      await transport.subscribe('c', 'g', async () => undefined)
      expect(clock.delays()).toEqual([])
    })

    test('to a hook that throws, and goes on', async () => {
      const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
      const handled: string[] = []
      const transport = memoryTransport({
        retry: { tries: 1 },
        onProblem() {
          throw new Error('the pager is away')
        },
      })
      await transport.subscribe('c', 'g', async ([first]) => {
        if (first?.id === 'bad') throw new Error('a bitter pill')
        handled.push(first?.id ?? '')
      })
      await transport.publish('c', [message('bad')])
      await expect.poll(() => transport.deadLetters()).toHaveLength(1)
      await transport.publish('c', [message('good')])
      await expect.poll(() => handled).toEqual(['good'])
      expect(stderr).toHaveBeenCalledWith(expect.stringContaining('the pager is away'))
      stderr.mockRestore()
    })
  })
})
