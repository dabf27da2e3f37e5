import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { participantContract, readReply, type Schema } from '../core/contract.ts'
import {
  RefusedError,
  UnavailableError,
  type BatchHandler,
  type FailedMessage,
  type Message,
  type Transport,
} from '../transports/transport.ts'
import type { Inbox, StoredReply } from './inbox.ts'
import { memoryInbox, type MemoryTx } from './memory-inbox.ts'
import type { Problem } from '../problem.ts'
import {
  done,
  handle,
  handleAll,
  participant,
  rejected,
  type Handled,
  type KitRefusal,
  type ParticipantOptions,
} from './participant.ts'

const schema = <T>(what: string, fits: (value: Record<string, unknown>) => boolean): Schema<T> => ({
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) =>
      typeof value === 'object' && value !== null && fits(value as Record<string, unknown>)
        ? { value: value as T }
        : { issues: [{ message: `expected ${what}` }] },
  },
})
const seats = schema<{ seats: number }>('a number of seats', (value) => typeof value['seats'] === 'number')
const booked = schema<{ booking: string }>('a booking', (value) => typeof value['booking'] === 'string')
const error = schema<{ error: string }>('an error', (value) => typeof value['error'] === 'string')
const anything = schema<object>('an object', () => true)

const hotel = participantContract('hotel', { tombstones: true })
const book = hotel.command('book', {
  payload: seats,
  done: ['hotel.booked', booked],
  rejected: ['hotel.refused', error],
})
const cancel = hotel.command('cancel', { payload: anything, done: ['hotel.cancelled', anything], safeOnNothing: true })

const free = hotel.command('look', { payload: anything, done: ['hotel.looked', anything] })

const message = (id: string, type: string, more: Partial<Message> = {}): Message => ({
  id,
  type,
  correlationId: 'saga-1',
  timestamp: '2025-04-08T03:09:11.123Z',
  payload: { seats: 2 },
  ...more,
})

/** The border of the kit: hands batches in, and keeps what comes out. */
function recorder(): Transport & {
  deliver: BatchHandler
  published: Message[]
  channels: string[]
  down: boolean
  /** Messages that it can never carry. */
  refused: string[]
} {
  let handler: BatchHandler | null = null
  return {
    published: [],
    channels: [],
    down: false,
    refused: [],
    async publish(channel, messages) {
      if (this.down) throw new Error('the broker is away')
      this.channels.push(channel)
      this.published.push(...messages.filter(({ id }) => !this.refused.includes(id)))
      const ids = messages.map(({ id }) => id).filter((id) => this.refused.includes(id))
      if (ids.length > 0) throw new RefusedError('larger than anything', ids)
    },
    async subscribe(channel, group, given) {
      this.channels.push(channel, group)
      handler = given
      return { close: async () => undefined }
    },
    deliver: async (batch) => (handler === null ? [] : handler(batch)),
    ready: async () => true,
    close: async () => undefined,
  }
}

const bookHandler = handle(book, async (tx: MemoryTx, command) => {
  if (command.payload.seats > 4) return rejected('hotel is full', { seats: command.payload.seats })
  tx.set(`effect:${command.id}`, ((tx.get(`effect:${command.id}`) as number | undefined) ?? 0) + 1)
  return done({ booking: `b-${command.id}` })
})
const cancelHandler = handle(cancel, async (tx: MemoryTx, command) => {
  if (command.original !== null) tx.set(`effect:${command.undoes}`, 0)
  return done({ was: command.original?.kind ?? 'nothing' })
})

async function serving(
  handlers: readonly Handled<MemoryTx>[] = [bookHandler, cancelHandler],
  inbox = memoryInbox(),
  more: Partial<ParticipantOptions<MemoryTx>> = {},
) {
  const transport = recorder()
  const problems: Problem[] = []
  const hotelService = participant({
    name: 'hotel',
    source: 'hotel-service',
    inbox,
    handlers,
    concurrency: 2,
    onProblem: (problem) => problems.push(problem),
    ...more,
  })
  await hotelService.attach(transport)
  return { transport, inbox, problems }
}

const said = (published: readonly Message[]): unknown[] => published.map(({ id, type, payload }) => [id, type, payload])

describe('a batch of commands', () => {
  test('is answered on the events channel, each reply naming its command, saga and source', async () => {
    const { transport, inbox } = await serving()
    expect(await transport.deliver([message('c1', 'book'), message('c2', 'book', { payload: { seats: 5 } })])).toEqual(
      [],
    )

    expect(transport.channels).toEqual(['hotel_commands', 'hotel-service-group', 'hotel_events'])
    expect(transport.published).toEqual([
      {
        id: 'c1:reply',
        type: 'hotel.booked',
        correlationId: 'saga-1',
        causationId: 'c1',
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
        source: 'hotel-service',
        payload: { booking: 'b-c1' },
      },
      expect.objectContaining({ causationId: 'c2', payload: { error: 'hotel is full', seats: 5 } }),
    ])
    expect(inbox.table.get('effect:c1')).toBe(1)
  })

  test('that came with a trace of its own is answered within it', async () => {
    const { transport } = await serving()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
    await transport.deliver([message('c1', 'book', { traceparent }), message('c2', 'book')])
    const [first, second] = transport.published.map((reply) => reply.traceparent)
    expect(first).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[\da-f]{16}-00$/)
    expect(first).not.toBe(traceparent)
    expect(second).toBeUndefined()
  })

  test('takes one transaction where nothing is prepared', async () => {
    const inbox = memoryInbox()
    let transactions = 0
    const counting: Inbox<MemoryTx> = {
      ...inbox,
      transaction: (work) => {
        transactions++
        return inbox.transaction(work)
      },
    }
    const { transport } = await serving(undefined, { ...inbox, ...counting })
    await transport.deliver(Array.from({ length: 50 }, (_, i) => message(`c${i}`, 'book')))
    expect(transactions).toBe(1)
    expect(transport.published).toHaveLength(50)
  })

  test('a repeat is answered from the inbox with the same reply and no second effect', async () => {
    const { transport, inbox } = await serving()
    await transport.deliver([message('c1', 'book'), message('c1', 'book')])
    await transport.deliver([message('c1', 'book')])
    expect(said(transport.published)).toEqual([
      ['c1:reply', 'hotel.booked', { booking: 'b-c1' }],
      ['c1:reply', 'hotel.booked', { booking: 'b-c1' }],
    ])
    expect(inbox.table.get('effect:c1')).toBe(1)
  })

  test('a bad payload is refused with a sentence, and the refusal is stored', async () => {
    const { transport, inbox } = await serving()
    await transport.deliver([message('c1', 'book', { payload: { seats: 'two' } })])
    await transport.deliver([message('c1', 'book', { payload: { seats: 2 } })])
    const refusal = { error: 'the payload of book is not what its contract asks for: expected a number of seats' }
    expect(said(transport.published)).toEqual([
      ['c1:reply', 'hotel.refused', refusal],
      ['c1:reply', 'hotel.refused', refusal],
    ])
    expect(inbox.replies.get('c1')).toEqual({
      commandId: 'c1',
      kind: 'rejected',
      type: 'hotel.refused',
      payload: refusal,
    })
  })

  test('a bad payload of a command without a refusal fails alone', async () => {
    const { transport } = await serving()
    const failed = await transport.deliver([message('c1', 'cancel', { payload: 7 }), message('c2', 'book')])
    expect(failed).toEqual([
      {
        messageId: 'c1',
        reason:
          'the payload of cancel is not what its contract asks for: expected an object, and its contract has no refusal',
      },
    ])
    expect(transport.published.map((reply) => reply.causationId)).toEqual(['c2'])
  })

  test('what is no command is dropped and reported', async () => {
    const { transport, problems } = await serving()
    const failed = await transport.deliver([
      message('', 'book'),
      message('c3', 'book', { correlationId: undefined as unknown as string }),
      null as unknown as Message,
    ])
    expect([failed, transport.published]).toEqual([[], []])
    const because = (why: string) =>
      `a message on hotel_commands is no command and was dropped, because ${why}: have its sender give id, type and correlationId`
    expect(problems).toEqual([
      { what: because('it has no id'), needsPerson: true, sagaId: 'saga-1' },
      { what: because('it has no correlationId'), needsPerson: true, messageId: 'c3' },
      { what: because('it is not an object'), needsPerson: true },
    ])
  })

  test('a type that nobody handles is left alone, and reported once', async () => {
    const { transport, problems } = await serving()
    const batch = [message('c1', 'paint_walls'), message('c2', 'paint_walls'), message('c3', 'paint_doors')]
    expect(await transport.deliver(batch)).toEqual([])
    await transport.deliver(batch)
    expect(transport.published).toEqual([])
    expect(problems).toEqual([
      {
        what: expect.stringMatching(
          /^nobody obeys paint_walls on hotel_commands, .*: give participant hotel a handler for it/,
        ) as string,
        needsPerson: true,
        messageId: 'c1',
        sagaId: 'saga-1',
      },
      expect.objectContaining({ messageId: 'c3' }),
    ])
  })

  test('on a channel that participants share, what is not ours is left to them without a word', async () => {
    const shared = participantContract('hotel', { commandChannel: 'trip_commands', eventChannel: 'trip_events' })
    const bookShared = shared.command('book', { payload: seats, done: ['hotel.booked', booked] })
    const { transport, problems } = await serving([handle(bookShared, async () => done({ booking: 'b' }))])
    await transport.deliver([message('c1', 'book'), message('c2', 'rent_a_car')])
    expect(transport.channels).toEqual(['trip_commands', 'hotel-service-group', 'trip_events'])
    expect([said(transport.published), problems]).toEqual([[['c1:reply', 'hotel.booked', { booking: 'b' }]], []])
  })

  test('commands of one type go to the handler whose contract is for their payload', async () => {
    const sized = (name: string, when: (payload: { seats: number }) => boolean) =>
      handle(hotel.command('book', { payload: seats, done: [`hotel.${name}`, booked], when }), async () =>
        done({ booking: name }),
      )
    const handlers = [sized('single', ({ seats: n }) => n <= 2), sized('group', ({ seats: n }) => n >= 2 && n < 9)]
    const { transport, problems } = await serving(handlers)
    const failed = await transport.deliver(
      [1, 2, 3, 10].map((n) => message(`c${n}`, 'book', { correlationId: `s${n}`, payload: { seats: n } })),
    )
    expect(said(transport.published)).toEqual([
      ['c1:reply', 'hotel.single', { booking: 'single' }],
      ['c3:reply', 'hotel.group', { booking: 'group' }],
    ])
    expect(failed).toEqual([
      {
        messageId: 'c2',
        reason: 'two handlers of hotel take this book: let the "when" of their contracts tell its payloads apart',
      },
    ])
    expect(problems).toMatchObject([{ messageId: 'c2' }, { what: expect.stringContaining('nobody obeys') as string }])
  })

  test('a notice is obeyed once, and nobody is answered', async () => {
    const tell = hotel.notice('tell', { payload: seats })
    const told: string[] = []
    const { transport, inbox } = await serving([
      handle(tell, async (_tx: MemoryTx, { id }) => {
        told.push(id)
        return done(null)
      }),
    ])
    await transport.deliver([message('c1', 'tell')])
    expect(await transport.deliver([message('c1', 'tell')])).toEqual([])
    expect([told, transport.published, inbox.replies.get('c1')?.kind]).toEqual([['c1'], [], 'done'])
  })

  test('is answered at the time that the clock says', async () => {
    const clock = { now: () => Date.UTC(2030, 0, 1), elapsed: () => 0, after: () => ({ cancel: () => undefined }) }
    const { transport } = await serving(undefined, undefined, { clock })
    await transport.deliver([message('c1', 'book')])
    expect(transport.published[0]?.timestamp).toBe('2030-01-01T00:00:00.000Z')
  })

  test('a hook that throws harms nothing', async () => {
    const printed = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    const { transport } = await serving(undefined, undefined, {
      onProblem: () => {
        throw new Error('the log is full')
      },
    })
    expect(await transport.deliver([message('', 'book'), message('c1', 'book')])).toEqual([])
    expect(transport.published).toHaveLength(1)
    expect(printed.mock.calls.join()).toContain('the log is full')
    printed.mockRestore()
  })

  test('is not acknowledged where its replies cannot be published; delivered again, it is answered from the inbox', async () => {
    const { transport, inbox } = await serving()
    transport.down = true
    await expect(transport.deliver([message('c1', 'book')])).rejects.toMatchObject({ code: 'unavailable' })
    transport.down = false
    await transport.deliver([message('c1', 'book')])
    expect(said(transport.published)).toEqual([['c1:reply', 'hotel.booked', { booking: 'b-c1' }]])
    expect(inbox.table.get('effect:c1')).toBe(1)
  })

  test('fails alone where its reply can never be published; the others are acknowledged', async () => {
    const { transport, inbox, problems } = await serving()
    transport.refused = ['c2:reply']
    const failed = [{ messageId: 'c2', reason: 'larger than anything' }]
    const batch = ['c1', 'c2', 'c3'].map((id) => message(id, 'book'))
    expect(await transport.deliver(batch)).toEqual(failed)
    expect(transport.published.map((reply) => reply.causationId)).toEqual(['c1', 'c3'])
    expect(problems).toMatchObject([{ needsPerson: true, messageId: 'c2', sagaId: 'saga-1' }])
    expect(await transport.deliver([message('c2', 'book')])).toEqual(failed)
    expect(inbox.table.get('effect:c2')).toBe(1)
  })
})

describe('a handler that fails', () => {
  const poison = handle(book, async (tx: MemoryTx, command) => {
    tx.set(`effect:${command.id}`, 1)
    if (command.payload.seats === 13) throw new Error('unlucky')
    return done({ booking: command.id })
  })

  test('hurts only its own command: the others are answered, it is named as failed and leaves no trace', async () => {
    const { transport, inbox, problems } = await serving([poison])
    const batch = [message('c1', 'book'), message('c2', 'book', { payload: { seats: 13 } }), message('c3', 'book')]
    expect(await transport.deliver(batch)).toEqual([{ messageId: 'c2', reason: 'unlucky' }])
    expect(transport.published.map((reply) => reply.causationId)).toEqual(['c1', 'c3'])
    expect([...inbox.table.keys()]).toEqual(['effect:c1', 'effect:c3'])
    expect([...inbox.replies.keys()]).toEqual(['c1', 'c3'])
    expect(problems).toMatchObject([
      { what: 'book could not be handled; it is delivered again', needsPerson: false, messageId: 'c2' },
    ])
  })

  test.each([
    [
      'an answer that its contract forbids',
      handle(book, async () => done({ booking: 7 } as unknown as { booking: string })),
      'the handler of book gives a hotel.booked that its contract forbids: expected a booking',
    ],
    [
      'an answer that is no plain JSON',
      handle(free, async () => done({ at: new Date(0) })),
      'the handler of look answers with what is no plain JSON: data.at is a Date, which no store gives back as it was; use plain JSON: text, finite numbers, booleans, null, lists and objects',
    ],
    [
      'details that are no plain JSON',
      handle(book, async () => rejected('full', { left: 0n })),
      'the handler of book answers with what is no plain JSON: details.left is a bigint, which no store gives back as it was; use plain JSON: text, finite numbers, booleans, null, lists and objects',
    ],
    [
      'no answer at all',
      handle(book, async () => undefined as unknown as ReturnType<typeof rejected>),
      'the handler of book answers with something else than done(data) or rejected(reason)',
    ],
    [
      'an answer of a kind that there is not',
      handle(book, async () => ({ kind: 'failed' }) as unknown as ReturnType<typeof rejected>),
      'the handler of book answers with something else than done(data) or rejected(reason)',
    ],
    [
      'no list of answers',
      handleAll(book, async () => done({ booking: 'b' }) as never),
      'the handler of book must answer with a list, one answer per command',
    ],
    [
      'a refusal where the contract has none',
      handle(cancel, async () => rejected('no')),
      'the handler of cancel refuses, but its contract has no refusal',
    ],
  ])('%s is a failure, not a message', async (_what, handled, reason) => {
    const { transport, inbox, problems } = await serving([handled])
    expect(await transport.deliver([message('c1', handled.contract.type)])).toEqual([{ messageId: 'c1', reason }])
    expect(transport.published).toEqual([])
    expect(inbox.replies.size).toBe(0)
    expect(problems).toMatchObject([{ needsPerson: true, messageId: 'c1', cause: { message: reason } }])
  })

  test('a database that is away blames no command: the batch as a whole is delivered again', async () => {
    const inbox = memoryInbox()
    let asked = 0
    const away = {
      ...inbox,
      transaction: async () => {
        asked++
        throw new Error('connection refused')
      },
    }
    const { transport, problems } = await serving(undefined, away)
    const batch = Array.from({ length: 100 }, (_, i) => message(`c${i}`, 'book'))
    await expect(transport.deliver(batch)).rejects.toMatchObject({ code: 'unavailable' })
    expect(asked).toBe(1)
    expect(problems).toEqual([])
  })

  /** As a store says it. */
  const away = async (): Promise<never> => {
    throw Object.assign(new Error('the disk is full'), { code: 'unavailable' })
  }
  const seeing = (calls: string[], found: () => Promise<void>) =>
    handle(book, async (_tx: MemoryTx, command) => {
      calls.push(command.id)
      await found()
      return done({ booking: command.id })
    })

  test.each<[what: string, found: () => Promise<void>, inbox: Partial<Inbox<MemoryTx>>, asked: number]>([
    ['a handler', away, {}, 1],
    ['the inbox when it looks for replies', async () => undefined, { find: away }, 0],
    ['the inbox when it saves them', async () => undefined, { save: away }, 3],
  ])('%s that says "unavailable" blames no command, and no other is tried', async (_what, found, broken, asked) => {
    const calls: string[] = []
    const inbox = memoryInbox()
    const { transport, problems } = await serving([seeing(calls, found)], { ...inbox, ...broken })
    const batch = ['c1', 'c2', 'c3'].map((id) => message(id, 'book'))
    await expect(transport.deliver(batch)).rejects.toThrow('the disk is full')
    expect([calls.length, problems]).toEqual([asked, []])
  })

  test('one that comes to be unavailable after another failed blames nobody either', async () => {
    const calls: string[] = []
    const found = async (): Promise<void> => {
      if (calls.length === 1) throw new Error('lost a race')
      if (calls.length === 3) await away()
    }
    const { transport } = await serving([seeing(calls, found)])
    const batch = ['c1', 'c2', 'c3'].map((id) => message(id, 'book'))
    await expect(transport.deliver(batch)).rejects.toMatchObject({ code: 'unavailable' })
    expect(calls).toEqual(['c1', 'c1', 'c2'])
  })
})

describe('an undo', () => {
  const undo = message('u1', 'cancel', { undoes: 'c1' })

  test('sees what became of its command, in the same batch too', async () => {
    const { transport, inbox } = await serving()
    await transport.deliver([message('c1', 'book'), undo])
    expect(said(transport.published)[1]).toEqual(['u1:reply', 'hotel.cancelled', { was: 'done' }])
    expect(inbox.table.get('effect:c1')).toBe(0)
  })

  test('that comes first keeps its command out, which is then refused without an effect', async () => {
    const { transport, inbox } = await serving()
    await transport.deliver([undo])
    await transport.deliver([message('c1', 'book')])
    await transport.deliver([message('c1', 'book'), message('u1', 'cancel', { undoes: 'c1' })])
    const refused = ['c1:reply', 'hotel.refused', { error: 'it was undone before it arrived' }]
    const undone = ['u1:reply', 'hotel.cancelled', { was: 'nothing' }]
    expect(said(transport.published)).toEqual([undone, refused, refused, undone])
    expect(inbox.table.size).toBe(0)
  })

  test('a second undo under a new id finds the tombstone and still no command', async () => {
    const { transport } = await serving()
    await transport.deliver([undo])
    await transport.deliver([message('u2', 'cancel', { undoes: 'c1' })])
    expect(said(transport.published)[1]).toEqual(['u2:reply', 'hotel.cancelled', { was: 'nothing' }])
  })

  test('keeps out a command that has no refusal without any reply', async () => {
    const { transport, inbox } = await serving()
    await transport.deliver([message('u1', 'cancel', { undoes: 'x1' }), message('x1', 'cancel')])
    expect(transport.published.map((reply) => reply.causationId)).toEqual(['u1'])
    expect(inbox.replies.get('x1')?.kind).toBe('tombstone')
  })

  test('that throws leaves no tombstone', async () => {
    const broken = handle(cancel, async (): Promise<never> => {
      throw new Error('no')
    })
    const { transport, inbox } = await serving([bookHandler, broken])
    await transport.deliver([undo])
    expect(inbox.replies.size).toBe(0)
  })
})

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

describe('mistakes in the declaration', () => {
  test('two handlers for one command are refused', () => {
    expect(() =>
      participant({ name: 'hotel', source: 's', inbox: memoryInbox(), handlers: [bookHandler, bookHandler] }),
    ).toThrow('participant hotel has two handlers for book: remove one')
  })

  const given = { name: 'hotel', source: 's', inbox: memoryInbox(), handlers: [bookHandler] }

  test.each([
    [null, 'participant takes one object of options'],
    [{ ...given, name: '' }, 'the option name of participant must be the name of a contract, such as "order"'],
    [{ ...given, inbox: new Map() }, 'the option inbox of participant must be an inbox, such as memoryInbox()'],
    [
      { ...given, handlers: [() => done({})] },
      'the option handlers of participant must be a list of what handle(...) and handleAll(...) give',
    ],
    [{ ...given, concurrency: 0 }, 'the option concurrency of participant must be a whole number of at least 1'],
    [{ ...given, onProblem: 'log' }, 'the option onProblem of participant must be a function'],
    [{ ...given, handler: [] }, 'participant has no option handler: it has name, source, group'],
  ])('options that types would refuse are refused with a sentence: %#', (options, sentence) => {
    expect(() => participant(options as unknown as ParticipantOptions<MemoryTx>)).toThrow(sentence)
  })

  test('a handler that is none is refused with its command', () => {
    const wrong = { apply: async () => done({ booking: 'b' }) } as unknown as () => Promise<never>
    expect(() => handle(book, wrong)).toThrow(
      'the handler of book must be a function, or an object with the methods prepare and apply',
    )
    expect(() => handleAll(book, undefined as unknown as () => Promise<never>)).toThrow('prepare and applyAll')
    expect(() => handle({} as unknown as typeof book, async () => done({ booking: 'b' }))).toThrow(
      'handle takes a command of a contract first',
    )
  })

  test('what is no transport is refused', async () => {
    await expect(participant(given).attach({} as unknown as Transport)).rejects.toThrow('attach takes a transport')
  })

  test('a command of another participant is refused', () => {
    expect(() => participant({ name: 'flight', source: 's', inbox: memoryInbox(), handlers: [bookHandler] })).toThrow(
      'participant flight cannot handle book: its contract names participant hotel',
    )
  })
})

describe('what the kit refuses by itself', () => {
  test('is put into words by the service, which is told the cause, the sentence and the command', async () => {
    const told: KitRefusal[] = []
    const refuse = (refusal: KitRefusal) => {
      told.push(refusal)
      return rejected(refusal.cause, { of: refusal.command.id })
    }
    const { transport } = await serving(undefined, undefined, { refuse })
    await transport.deliver([
      message('u1', 'cancel', { undoes: 'c1' }),
      message('c1', 'book'),
      message('c2', 'book', { payload: { seats: 'two' } }),
    ])
    expect(said(transport.published).slice(1)).toEqual([
      ['c1:reply', 'hotel.refused', { error: 'undone_before', of: 'c1' }],
      ['c2:reply', 'hotel.refused', { error: 'bad_payload', of: 'c2' }],
    ])
    expect(told).toContainEqual({
      cause: 'bad_payload',
      why: 'the payload of book is not what its contract asks for: expected a number of seats',
      command: { id: 'c2', sagaId: 'saga-1', payload: { seats: 'two' }, undoes: null, original: null },
    })
  })
})

describe('schemas that fill in and transform', () => {
  const trip = participantContract('hotel')
  const reserve = trip.command('reserve', {
    payload: z.object({ nights: z.number().default(1), day: z.string().transform((text) => Number(text)) }),
    done: [
      'hotel.reserved',
      z.object({ room: z.string().transform((text) => text.length), floor: z.number().default(0) }),
    ],
  })

  test('the handler reads what the schema makes of the payload, and its answer goes out as it was given', async () => {
    const seen: unknown[] = []
    const { transport } = await serving([
      handle(reserve, async (_tx: MemoryTx, { payload }) => {
        const read: { nights: number; day: number } = payload
        seen.push(read)
        return done({ room: 'blue' })
      }),
    ])
    await transport.deliver([message('c1', 'reserve', { payload: { day: '24' } })])
    expect(seen).toEqual([{ nights: 1, day: 24 }])
    expect(said(transport.published)).toEqual([['c1:reply', 'hotel.reserved', { room: 'blue' }]])
    expect(readReply(reserve, {}, { type: 'hotel.reserved', payload: { room: 'blue' } })).toEqual({
      kind: 'done',
      data: { room: 4, floor: 0 },
    })
  })

  test('an answer as the saga would read it does not compile', () => {
    // @ts-expect-error the room is text when it is given
    handle(reserve, async () => done({ room: 4, floor: 0 }))
  })
})

/**
 * A database where transactions really overlap: each sees what was committed when it read, and the unique command id
 * makes the later of two committers fail. The scheduler decides who goes when.
 */
function racingInbox(scheduler: fc.Scheduler) {
  const replies = new Map<string, StoredReply>()
  const effects = new Map<string, number>()
  interface Tx {
    readonly saved: StoredReply[]
    readonly effects: [id: string, by: number][]
  }
  const inbox: Inbox<Tx> = {
    async transaction(work) {
      const tx: Tx = { saved: [], effects: [] }
      const result = await work(tx)
      await scheduler.schedule(Promise.resolve(), 'commit')
      if (tx.saved.some((reply) => replies.has(reply.commandId))) throw new Error('duplicate key')
      for (const reply of tx.saved) replies.set(reply.commandId, reply)
      for (const [id, by] of tx.effects) effects.set(id, (effects.get(id) ?? 0) + by)
      return result
    },
    async find(_tx, ids) {
      await scheduler.schedule(Promise.resolve(), 'find')
      return ids.flatMap((id) => replies.get(id) ?? [])
    },
    async save(tx, saved) {
      tx.saved.push(...saved)
    },
  }
  return { inbox, effects }
}

/** Deliveries of three sagas' commands and their undos: any order, any number of times, cut into batches anyhow. */
const deliveries = fc.array(
  fc.array(fc.record({ saga: fc.integer({ min: 0, max: 2 }), undo: fc.boolean() }), { minLength: 1, maxLength: 5 }),
  { minLength: 1, maxLength: 8 },
)

describe('properties', () => {
  test('in any order, with repeats, failures and races of two processes: one effect at most, none once undone, one reply each', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        deliveries,
        fc.array(fc.boolean(), { maxLength: 12 }),
        async (scheduler, batches, throwing) => {
          const { inbox, effects } = racingInbox(scheduler)
          const flaky = (): void => {
            if (throwing.pop() === true) throw new Error('flaky')
          }
          const handlers = [
            handle(book, async (tx: Parameters<typeof inbox.find>[0], command) => {
              flaky()
              tx.effects.push([command.id, 1])
              return done({ booking: command.id })
            }),
            handle(cancel, async (tx: Parameters<typeof inbox.find>[0], command) => {
              flaky()
              if (command.original?.kind === 'done') tx.effects.push([command.undoes ?? '', -1])
              return done({ was: command.original?.kind ?? 'nothing' })
            }),
          ]
          const published: Message[] = []
          const handled = new Set<string>()
          const processes = await Promise.all(
            [0, 1].map(async () => {
              const transport = recorder()
              transport.published = published
              await participant({ name: 'hotel', source: 'hotel', inbox, handlers }).attach(transport)
              return transport
            }),
          )
          const send = async (batch: readonly Message[], to: number): Promise<void> => {
            const failed = (await processes[to]?.deliver(batch)) as readonly FailedMessage[]
            for (const { id } of batch) if (!failed.some(({ messageId }) => messageId === id)) handled.add(id)
          }
          const wire = batches.map((batch) =>
            batch.map(({ saga, undo }) =>
              undo
                ? message(`u${saga}`, 'cancel', { correlationId: `s${saga}`, undoes: `c${saga}` })
                : message(`c${saga}`, 'book', { correlationId: `s${saga}` }),
            ),
          )
          await scheduler.waitFor(Promise.all(wire.map((batch, i) => send(batch, i % 2))))

          for (const id of ['0', '1', '2']) {
            const effect = effects.get(`c${id}`) ?? 0
            expect(effect).toBeGreaterThanOrEqual(0)
            expect(effect).toBeLessThanOrEqual(handled.has(`u${id}`) ? 0 : 1)
          }
          const answers = new Map<string, string>()
          for (const { id, type, payload } of published) {
            const answer = JSON.stringify([type, payload])
            expect(answers.get(id) ?? answer).toBe(answer)
            answers.set(id, answer)
          }
          for (const id of handled) expect(answers.has(`${id}:reply`)).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })
})

/** `Promise.withResolvers` of newer Nodes. */
function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((given) => (resolve = given))
  return { promise, resolve }
}
