import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { readReply } from '../core/contract.ts'
import { participantContract } from '../declare/contract.ts'
import type { Transport } from '../transports/transport.ts'
import { book, message, bookHandler, said, serving } from './hotel.testkit.ts'
import { memoryInbox, type MemoryTx } from './memory-inbox.ts'
import {
  done,
  handle,
  handleAll,
  participant,
  rejected,
  type KitRefusal,
  type ParticipantOptions,
} from './participant.ts'

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
