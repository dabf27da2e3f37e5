import { describe, expect, test, vi } from 'vitest'
import type { Timer } from '../delivery.ts'
import { message, transportContract } from '../transport.contract.ts'
import { UnavailableError } from '../transport.ts'
import { memoryTransport } from './memory-transport.ts'

transportContract('memory', async () => {
  const transport = memoryTransport({ retry: { tries: 5, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 } })
  return {
    sender: transport,
    receiver: transport,
    deadLetters: async () => transport.deadLetters(),
    dispose: () => transport.close(),
  }
})

/** A clock that stands still until it is told to ring. */
function handClock() {
  const armed: { readonly ms: number; readonly work: () => void }[] = []
  const timer: Timer = (work, ms) => {
    const alarm = { ms, work }
    armed.push(alarm)
    return () => armed.splice(armed.indexOf(alarm), 1)
  }
  return { timer, armed, ring: () => armed.splice(0).forEach(({ work }) => work()) }
}

const turns = (count: number): Promise<void> =>
  Array.from({ length: count }).reduce<Promise<void>>(
    (before) => before.then(() => new Promise((resolve) => setImmediate(resolve))),
    Promise.resolve(),
  )

describe('memory transport', () => {
  test('the pauses between tries grow, and the last try is followed by none', async () => {
    const clock = handClock()
    const transport = memoryTransport({ timer: clock.timer })
    let tries = 0
    await transport.subscribe('c', 'g', async () => {
      tries++
      throw new Error(`no ${tries}`)
    })
    await transport.publish('c', [message('m')])
    const pauses: number[] = []
    for (let i = 1; i < 5; i++) {
      await vi.waitFor(() => expect(clock.armed).toHaveLength(1))
      pauses.push(clock.armed[0]?.ms ?? 0)
      clock.ring()
    }
    await vi.waitFor(() => expect(transport.deadLetters()).toHaveLength(1))
    expect(pauses).toEqual([100, 400, 1_600, 6_400])
    expect(transport.deadLetters()).toEqual([{ channel: 'c', reason: 'no 5', message: message('m') }])
    expect(clock.armed).toHaveLength(0)
  })

  test('a handler that is unavailable is waited for, in order and with no try charged', async () => {
    const clock = handClock()
    const transport = memoryTransport({ timer: clock.timer })
    let away = 30
    const batches: (readonly string[])[] = []
    await transport.subscribe('c', 'g', async (batch) => {
      if (away-- > 0) throw new UnavailableError('the database is away')
      batches.push(batch.map(({ id }) => id))
    })
    await transport.publish('c', [message('a'), message('b')])
    const pauses: number[] = []
    for (let outage = 1; outage <= 30; outage++) {
      await vi.waitFor(() => expect(clock.armed).toHaveLength(1))
      pauses.push(clock.armed[0]?.ms ?? 0)
      if (outage === 30) await transport.publish('c', [message('c')])
      clock.ring()
    }
    await vi.waitFor(() => expect(batches).toEqual([['a', 'b', 'c']]))
    expect(pauses.slice(0, 3)).toEqual([100, 400, 1_600])
    expect(transport.deadLetters()).toEqual([])
  })

  test('a message in its pause holds up nobody', async () => {
    const clock = handClock()
    const transport = memoryTransport({ timer: clock.timer })
    const handled: string[] = []
    await transport.subscribe('c', 'g', async ([first]) => {
      if (first?.id === 'bad') throw new Error('no')
      handled.push(first?.id ?? '')
    })
    await transport.publish('c', [message('bad')])
    await vi.waitFor(() => expect(clock.armed).toHaveLength(1))
    await transport.publish('c', [message('good')])
    await vi.waitFor(() => expect(handled).toEqual(['good']))
  })

  test('a batch has at most maxBatch messages', async () => {
    const transport = memoryTransport({ maxBatch: 7 })
    const sizes: number[] = []
    await transport.subscribe('c', 'g', async (batch) => void sizes.push(batch.length))
    await transport.publish(
      'c',
      Array.from({ length: 20 }, (_, n) => message(`m${n}`)),
    )
    await vi.waitFor(() => expect(sizes).toEqual([7, 7, 6]))
  })

  test('a full queue rejects the publisher and takes nothing of it for any group', async () => {
    const transport = memoryTransport({ maxQueued: 3 })
    const got: string[] = []
    await transport.subscribe('c', 'fast', async (batch) => void got.push(...batch.map(({ id }) => id)))
    await transport.subscribe('c', 'stuck', () => new Promise(() => undefined))
    await transport.publish('c', [message('in hand')])
    await vi.waitFor(() => expect(got).toEqual(['in hand']))
    await transport.publish('c', [message('m0'), message('m1')])
    await vi.waitFor(() => expect(got).toHaveLength(3))
    await expect(transport.publish('c', [message('m2'), message('m3')])).rejects.toThrow(
      '3 messages wait for group stuck on c, which is the most allowed: publish again later, or raise maxQueued',
    )
    await transport.publish('c', [message('m4')])
    await vi.waitFor(() => expect(got).toEqual(['in hand', 'm0', 'm1', 'm4']))
  })

  test('of a channel that nobody has read yet, the newest are kept', async () => {
    const transport = memoryTransport({ maxQueued: 2 })
    await transport.publish('c', [message('m0'), message('m1'), message('m2')])
    const got: string[] = []
    await transport.subscribe('c', 'g', async (batch) => void got.push(...batch.map(({ id }) => id)))
    await vi.waitFor(() => expect(got).toEqual(['m1', 'm2']))
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
    const transport = memoryTransport({ timer: clock.timer })
    await transport.subscribe('c', 'g', async () => {
      throw new Error('no')
    })
    await transport.publish('c', [message('m')])
    await vi.waitFor(() => expect(clock.armed).toHaveLength(1))
    await transport.close()
    expect(clock.armed).toHaveLength(0)
  })

  test('closing begins no pause for a handler that is unavailable meanwhile', async () => {
    const clock = handClock()
    const transport = memoryTransport({ timer: clock.timer })
    let fail = (_why: Error): void => undefined
    const inHand = new Promise<void>((_resolve, reject) => (fail = reject))
    let taken = 0
    await transport.subscribe('c', 'g', (batch) => {
      taken += batch.length
      return inHand
    })
    await transport.publish('c', [message('m')])
    await vi.waitFor(() => expect(taken).toBe(1))
    const closing = transport.close()
    fail(new UnavailableError('asleep'))
    await closing
    expect(clock.armed).toHaveLength(0)
  })

  test('a message that may be tried only once waits for its handler, and for a reader, all the same', async () => {
    const clock = handClock()
    const retry = { tries: 1, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 }
    const transport = memoryTransport({ timer: clock.timer, retry })
    const first = await transport.subscribe('c', 'g', async () => {
      throw new UnavailableError('asleep')
    })
    await transport.publish('c', [message('m')])
    await vi.waitFor(() => expect(clock.armed).toHaveLength(1))
    await first.close()
    clock.ring()
    const seen: string[] = []
    await transport.subscribe('c', 'g', async (batch) => void seen.push(...batch.map(({ id }) => id)))
    await vi.waitFor(() => expect(seen).toEqual(['m']))
    expect(transport.deadLetters()).toEqual([])
  })
})
