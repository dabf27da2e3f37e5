import { describe, expect, test, vi } from 'vitest'
import { participantContract } from '../declare/contract.ts'
import type { Message } from '../transports/transport.ts'
import {
  seats,
  booked,
  hotel,
  book,
  cancel,
  free,
  message,
  bookHandler,
  cancelHandler,
  said,
  serving,
} from './hotel.testkit.ts'
import type { Inbox } from './inbox.ts'
import { memoryInbox, type MemoryTx } from './memory-inbox.ts'
import { done, handle, handleAll, participant, rejected } from './participant.ts'

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
      message('c4', 'book', { correlationId: 'x'.repeat(1_001) }), // its answer could not be sent
    ])
    expect([failed, transport.published]).toEqual([[], []])
    const because = (why: string) =>
      `a message on hotel_commands is no command and was dropped, because ${why}: have its sender give id, type and correlationId`
    expect(problems).toEqual([
      { what: because('it has no id'), needsPerson: true, sagaId: 'saga-1' },
      { what: because('it has no correlationId'), needsPerson: true, messageId: 'c3' },
      { what: because('it is not an object'), needsPerson: true },
      {
        what: because('its correlationId has more than 1000 characters'),
        needsPerson: true,
        messageId: 'c4',
        sagaId: 'x'.repeat(1_000),
      },
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

  test('on a channel that participants share, what is none of the neighbours either is reported', async () => {
    const place = { commandChannel: 'trip_commands', eventChannel: 'trip_events' }
    const bookShared = participantContract('hotel', place).command('book', { payload: seats, done: ['b', booked] })
    const rent = participantContract('cars', place).command('rent_a_car', { payload: seats, done: ['r', booked] })
    const { transport, problems } = await serving([handle(bookShared, async () => done({ booking: 'b' }))], undefined, {
      neighbours: [rent],
    })
    await transport.deliver([message('c1', 'rent_a_car'), message('c2', 'fly_to_the_moon')])
    expect(problems).toMatchObject([{ messageId: 'c2', what: expect.stringMatching(/^nobody obeys fly_to/) as string }])
  })

  test('in a service that holds several participants each has a group of its own', async () => {
    const guide = participantContract('guide').command('show', { payload: seats, done: ['shown', booked] })
    const { transport } = await serving([handle(guide, async () => done({ booking: 'b' }))], undefined, {
      name: 'guide',
    })
    expect(transport.channels).toEqual(['guide_commands', 'hotel-service-guide-group'])
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

  test('a type that comes by two channels goes to the handler of its channel', async () => {
    const place = { commandChannel: 'trip_commands', eventChannel: 'trip_events' }
    const bookTrip = participantContract('hotel', place).command('book', {
      payload: seats,
      done: ['trip.booked', booked],
    })
    const { transport, problems } = await serving([
      handle(book, async () => done({ booking: 'own' })),
      handle(bookTrip, async () => done({ booking: 'trip' })),
    ])
    await transport.deliver([message('c1', 'book')], 'trip_commands')
    await transport.deliver([message('c2', 'book')], 'hotel_commands')
    expect(said(transport.published)).toEqual([
      ['c1:reply', 'trip.booked', { booking: 'trip' }],
      ['c2:reply', 'hotel.booked', { booking: 'own' }],
    ])
    expect(problems).toEqual([])
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

describe('a command that comes by another way than a transport', () => {
  const { inbox, handlers } = { inbox: memoryInbox(), handlers: [bookHandler, cancelHandler] }
  const asked = participant({ name: 'hotel', source: 'hotel-service', inbox, handlers })

  test('is answered to whoever hands it in, a repeat from the store', async () => {
    const answer = await asked.obey(message('c1', 'book'))
    expect(answer).toMatchObject({ type: 'hotel.booked', causationId: 'c1', payload: { booking: 'b-c1' } })
    expect((await asked.obey(message('c1', 'book')))?.payload).toEqual(answer?.payload)
    expect(inbox.table.get('effect:c1')).toBe(1)
  })

  test('is kept out by its undo, also where that came by a transport', async () => {
    const { transport } = await serving(handlers, inbox)
    await transport.deliver([message('u2', 'cancel', { undoes: 'c2' })])
    expect(await asked.obey(message('c2', 'book'))).toMatchObject({ type: 'hotel.refused' })
    expect(inbox.table.get('effect:c2')).toBeUndefined()
  })

  test('whose handler throws has no answer, and is obeyed when it comes again', async () => {
    let isBroken = true
    const breaking = handle(book, async () => {
      if (isBroken) throw new Error('the key cabinet is stuck')
      return done({ booking: 'b' })
    })
    const hotelOf = participant({ name: 'hotel', source: 'hotel-service', inbox, handlers: [breaking] })
    await expect(hotelOf.obey(message('c3', 'book'))).rejects.toThrow(
      'book could not be handled: the key cabinet is stuck',
    )
    isBroken = false
    expect(await hotelOf.obey(message('c3', 'book'))).toMatchObject({ payload: { booking: 'b' } })
  })

  test('that nobody here handles has no answer', async () => {
    expect(await asked.obey(message('c4', 'look'))).toBeNull()
  })
})
