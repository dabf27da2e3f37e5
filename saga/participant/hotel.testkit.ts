/** For tests of the kit: a hotel that takes bookings and cancels them, and a transport that keeps what it is given. */
import { type Schema } from '../core/contract.ts'
import { participantContract } from '../declare/contract.ts'
import type { Problem } from '../problem.ts'
import { RefusedError, type BatchHandler, type Message, type Transport } from '../transports/transport.ts'
import { memoryInbox, type MemoryTx } from './memory-inbox.ts'
import { done, handle, participant, rejected, type Handled, type ParticipantOptions } from './participant.ts'

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
export const seats = schema<{ seats: number }>('a number of seats', (value) => typeof value['seats'] === 'number')
export const booked = schema<{ booking: string }>('a booking', (value) => typeof value['booking'] === 'string')
const error = schema<{ error: string }>('an error', (value) => typeof value['error'] === 'string')
const anything = schema<object>('an object', () => true)

export const hotel = participantContract('hotel', { tombstones: true })
export const book = hotel.command('book', {
  payload: seats,
  done: ['hotel.booked', booked],
  rejected: ['hotel.refused', error],
})
export const cancel = hotel.command('cancel', {
  payload: anything,
  done: ['hotel.cancelled', anything],
  safeOnNothing: true,
})

export const free = hotel.command('look', { payload: anything, done: ['hotel.looked', anything] })

export const message = (id: string, type: string, more: Partial<Message> = {}): Message => ({
  id,
  type,
  correlationId: 'saga-1',
  timestamp: '2025-04-08T03:09:11.123Z',
  payload: { seats: 2 },
  ...more,
})

/** The border of the kit: hands batches in, and keeps what comes out. */
export function recorder(): Transport & {
  /** By the channel that was subscribed to last, unless another is named. */
  deliver: (batch: readonly Message[], channel?: string) => ReturnType<BatchHandler>
  published: Message[]
  channels: string[]
  down: boolean
  /** Messages that it can never carry. */
  refused: string[]
} {
  const readers = new Map<string, BatchHandler>()
  let last = ''
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
      readers.set(channel, given)
      last = channel
      return { close: async () => undefined }
    },
    deliver: async (batch, channel = last) => readers.get(channel)?.(batch) ?? [],
    ready: async () => true,
    close: async () => undefined,
  }
}

export const bookHandler = handle(book, async (tx: MemoryTx, command) => {
  if (command.payload.seats > 4) return rejected('hotel is full', { seats: command.payload.seats })
  tx.set(`effect:${command.id}`, ((tx.get(`effect:${command.id}`) as number | undefined) ?? 0) + 1)
  return done({ booking: `b-${command.id}` })
})
export const cancelHandler = handle(cancel, async (tx: MemoryTx, command) => {
  if (command.original !== null) tx.set(`effect:${command.undoes}`, 0)
  return done({ was: command.original?.kind ?? 'nothing' })
})

export async function serving(
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

export const said = (published: readonly Message[]): unknown[] =>
  published.map(({ id, type, payload }) => [id, type, payload])
