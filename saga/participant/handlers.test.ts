import { describe, expect, test } from 'vitest'
import { UnavailableError, type Message } from '../transports/transport.ts'
import { book, cancel, message, bookHandler, cancelHandler, said, serving } from './hotel.testkit.ts'
import { memoryInbox, type MemoryTx } from './memory-inbox.ts'
import { done, handle, handleAll, rejected } from './participant.ts'

describe('a command with a preparation', () => {
  interface Gate {
    readonly open: () => void
    readonly opened: Promise<void>
  }
  const gate = (): Gate => {
    const { promise, resolve } = withResolvers()
    return { open: resolve, opened: promise }
  }

  test('is prepared outside the transaction, at most as many at once as allowed, and not again for a repeat', async () => {
    let running = 0
    let most = 0
    const prepared: string[] = []
    const handled = handle(book, {
      async prepare(command) {
        most = Math.max(most, ++running)
        await new Promise(setImmediate)
        running--
        prepared.push(command.id)
        return `gateway-${command.id}`
      },
      apply: async (_tx: MemoryTx, _command, ticket: string) => done({ booking: ticket }),
    })
    const { transport } = await serving([handled])
    const batch = Array.from({ length: 9 }, (_, i) => message(`c${i}`, 'book', { correlationId: `saga-${i}` }))
    await transport.deliver(batch)
    await transport.deliver(batch)
    expect(most).toBe(2)
    expect(prepared).toHaveLength(9)
    expect(transport.published[17]?.payload).toEqual({ booking: 'gateway-c8' })
  })

  test('fails alone where its preparation throws', async () => {
    const handled = handle(book, {
      async prepare(command) {
        if (command.id === 'c1') throw new Error('gateway timed out')
        return null
      },
      apply: async (_tx: MemoryTx, command) => done({ booking: command.id }),
    })
    const { transport, inbox } = await serving([handled])
    const failed = await transport.deliver([message('c1', 'book'), message('c2', 'book', { correlationId: 'saga-2' })])
    expect(failed).toEqual([{ messageId: 'c1', reason: 'gateway timed out' }])
    expect([...inbox.replies.keys()]).toEqual(['c2'])
  })

  test('blames no command where its preparation says "unavailable", and prepares no more of them', async () => {
    const prepared: string[] = []
    let running = 0
    const handled = handle(book, {
      async prepare(command) {
        prepared.push(command.id)
        running++
        await new Promise(setImmediate)
        if (command.id !== 'c1') await new Promise(setImmediate)
        running--
        if (command.id === 'c1') throw new UnavailableError('the gateway is away')
      },
      apply: async (_tx: MemoryTx, command) => done({ booking: command.id }),
    })
    const { transport, inbox, problems } = await serving([handled])
    const batch = Array.from({ length: 9 }, (_, i) => message(`c${i + 1}`, 'book', { correlationId: `saga-${i}` }))
    await expect(transport.deliver(batch)).rejects.toThrow('the gateway is away')
    expect([prepared, running, problems, inbox.replies.size]).toEqual([['c1', 'c2'], 0, [], 0])
  })

  test('is prepared after the commands of its saga before it are committed', async () => {
    const seen: unknown[] = []
    const undoing = handle(cancel, {
      prepare: async (command) => seen.push(command.original?.payload),
      apply: async (_tx: MemoryTx) => done({}),
    })
    const { transport } = await serving([bookHandler, undoing])
    await transport.deliver([message('c1', 'book'), message('u1', 'cancel', { undoes: 'c1' })])
    expect(seen).toEqual([{ booking: 'b-c1' }])
  })

  test('is refused, not applied, where its undo came while it was prepared', async () => {
    const waiting = gate()
    const entered = gate()
    let applied = 0
    const slow = handle(book, {
      async prepare() {
        entered.open()
        await waiting.opened
      },
      async apply(_tx: MemoryTx) {
        applied++
        return done({ booking: 'x' })
      },
    })
    const inbox = memoryInbox()
    const [one, two] = [await serving([slow, cancelHandler], inbox), await serving([slow, cancelHandler], inbox)]
    const delivery = one.transport.deliver([message('c1', 'book')])
    await entered.opened
    await two.transport.deliver([message('u1', 'cancel', { undoes: 'c1' })])
    waiting.open()
    await delivery
    expect(applied).toBe(0)
    expect(said(one.transport.published)).toEqual([
      ['c1:reply', 'hotel.refused', { error: 'it was undone before it arrived' }],
    ])
  })

  test('of an undo is repeated where its command arrived meanwhile', async () => {
    const waiting = gate()
    const entered = gate()
    const seen: (string | undefined)[] = []
    const undoing = handle(cancel, {
      async prepare(command) {
        entered.open()
        await waiting.opened
        return command.original?.kind
      },
      async apply(_tx: MemoryTx, _command, kind) {
        seen.push(kind)
        return done({})
      },
    })
    const inbox = memoryInbox()
    const [one, two] = [await serving([undoing], inbox), await serving([bookHandler], inbox)]
    const undo = message('u1', 'cancel', { undoes: 'c1' })
    const delivery = one.transport.deliver([undo])
    await entered.opened
    await two.transport.deliver([message('c1', 'book')])
    waiting.open()
    expect(await delivery).toMatchObject([{ messageId: 'u1' }])
    expect(await one.transport.deliver([undo])).toEqual([])
    expect(seen).toEqual(['done'])
  })
})

describe('a handler of many', () => {
  /** Books for each, and remembers which commands came together. */
  function bookings() {
    const calls: string[][] = []
    const bookAll = handleAll(book, async (tx: MemoryTx, commands) => {
      calls.push(commands.map(({ id }) => id))
      if (commands.some(({ payload }) => payload.seats === 3)) throw new Error('three is unlucky')
      for (const { id } of commands) tx.set(`effect:${id}`, ((tx.get(`effect:${id}`) as number | undefined) ?? 0) + 1)
      return commands.map(({ id, payload }) =>
        payload.seats > 4 ? rejected('hotel is full') : done({ booking: `b-${id}` }),
      )
    })
    return { calls, bookAll }
  }
  const of = (id: string, saga: string, payload: object = { seats: 2 }): Message =>
    message(id, 'book', { correlationId: saga, payload })

  test('gets all that came together, and its answers go to their commands', async () => {
    const { calls, bookAll } = bookings()
    const { transport } = await serving([bookAll, cancelHandler])
    await transport.deliver([of('c1', 's1'), of('c2', 's2', { seats: 5 }), of('c3', 's3', {}), of('c4', 's4')])
    expect(calls).toEqual([['c1', 'c2', 'c4']])
    expect(said(transport.published)).toEqual([
      ['c1:reply', 'hotel.booked', { booking: 'b-c1' }],
      ['c2:reply', 'hotel.refused', { error: 'hotel is full' }],
      ['c3:reply', 'hotel.refused', { error: expect.stringContaining('the payload of book') as string }],
      ['c4:reply', 'hotel.booked', { booking: 'b-c4' }],
    ])
  })

  test('gets one command of a saga at a time, and an undo after its command', async () => {
    const { calls, bookAll } = bookings()
    const { transport, inbox } = await serving([bookAll, cancelHandler])
    const undo = message('u1', 'cancel', { correlationId: 's1', undoes: 'c1' })
    await transport.deliver([of('c1', 's1'), of('c2', 's1'), undo, of('c3', 's2')])
    expect(calls).toEqual([['c1'], ['c2', 'c3']])
    expect(inbox.table.get('effect:c1')).toBe(0)
    expect(said(transport.published).map((reply) => (reply as unknown[])[0])).toEqual([
      'c1:reply',
      'c2:reply',
      'u1:reply',
      'c3:reply',
    ])
  })

  test('is not asked again for a repeat', async () => {
    const { calls, bookAll } = bookings()
    const { transport } = await serving([bookAll])
    await transport.deliver([of('c1', 's1')])
    await transport.deliver([of('c1', 's1'), of('c2', 's2')])
    expect(calls).toEqual([['c1'], ['c2']])
  })

  test('that throws is asked again for one at a time, and only the one that makes it throw fails', async () => {
    const { calls, bookAll } = bookings()
    const { transport, inbox } = await serving([bookAll])
    const failed = await transport.deliver([of('c1', 's1'), of('c2', 's2', { seats: 3 }), of('c3', 's3')])
    expect(failed).toEqual([{ messageId: 'c2', reason: 'three is unlucky' }])
    expect(calls).toEqual([['c1', 'c2', 'c3'], ['c1'], ['c2'], ['c3']])
    expect(['c1', 'c2', 'c3'].map((id) => inbox.table.get(`effect:${id}`))).toEqual([1, undefined, 1])
  })

  test('that gives fewer answers than it got commands answers none of them', async () => {
    const lazy = handleAll(book, async () => [])
    const { transport } = await serving([lazy])
    expect(await transport.deliver([of('c1', 's1')])).toEqual([
      { messageId: 'c1', reason: 'the handler of book gave 0 answers to 1 commands' },
    ])
    expect(transport.published).toEqual([])
  })
})

/** `Promise.withResolvers` of newer Nodes. */
function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((given) => (resolve = given))
  return { promise, resolve }
}
