import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FailedMessage, Message } from '../transports/transport.ts'
import { book, cancel, message, recorder } from './hotel.testkit.ts'
import type { Inbox, StoredReply } from './inbox.ts'
import { done, handle, participant } from './participant.ts'

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
