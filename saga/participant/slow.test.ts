/** A command that waits long for somebody else, such as a card's bank, keeps no other saga's command waiting. */
import { expect, test, vi } from 'vitest'
import { memoryTransport } from '../transports/memory/memory-transport.ts'
import type { Message } from '../transports/transport.ts'
import { book, message } from './hotel.testkit.ts'
import { memoryInbox, type MemoryTx } from './memory-inbox.ts'
import { done, handle, participant, type ReceivedCommand } from './participant.ts'

/** Prepares at once, but for sagas called `slow`, which wait until they are let go; counts transactions that answer. */
async function serving(concurrency = 16) {
  const inbox = memoryInbox()
  const transport = memoryTransport()
  const answered: string[] = []
  const commits: number[] = []
  let letGo = (): void => undefined
  const gone = new Promise<void>((resolve) => (letGo = resolve))
  let waiting = 0
  const prepare = async ({ sagaId }: ReceivedCommand<unknown>): Promise<void> => {
    if (!sagaId.startsWith('slow')) return
    waiting += 1
    await gone
  }
  const service = await participant({
    name: 'hotel',
    source: 'hotel-service',
    concurrency,
    inbox: {
      ...inbox,
      async save(tx: MemoryTx, replies) {
        commits.push(replies.length)
        return inbox.save(tx, replies)
      },
    },
    handlers: [handle(book, { prepare, apply: async () => done({ booking: '7' }) })],
  }).attach(transport)
  await transport.subscribe('hotel_events', 'reader', async (batch) => {
    answered.push(...batch.map(({ correlationId }) => correlationId))
  })
  const command = (saga: string): Message => message(`${saga}:book`, 'book', { correlationId: saga })
  return {
    answered,
    commits,
    waiting: () => waiting,
    letGo: () => letGo(),
    ask: (...sagas: readonly string[]) => transport.publish('hotel_commands', sagas.map(command)),
    async close() {
      letGo()
      await service.close()
      await transport.close()
    },
  }
}

const until = (assertion: () => void): Promise<void> => vi.waitFor(assertion, { timeout: 10_000, interval: 2 })

test('the others of its batch are answered before it', async () => {
  const { answered, ask, letGo, close } = await serving()
  await ask('slow', 'a', 'b')
  await until(() => expect(answered).toEqual(['a', 'b']))
  letGo()
  await until(() => expect(answered).toEqual(['a', 'b', 'slow']))
  await close()
})

test('what comes after it is answered before it, however many are slow', async () => {
  const { answered, waiting, ask, letGo, close } = await serving()
  for (let count = 1; count < 16; count++) {
    await ask(`slow-${count}`)
    await until(() => expect(waiting()).toBe(count))
  }
  for (const saga of ['a', 'b', 'c']) {
    await ask(saga)
    await until(() => expect(answered.at(-1)).toBe(saga))
  }
  letGo()
  await until(() => expect(answered).toHaveLength(18))
  await close()
})

test('those that are ready together share a transaction', async () => {
  const { answered, commits, ask, close } = await serving()
  await ask(...Array.from({ length: 50 }, (_, index) => `saga-${index}`))
  await until(() => expect(answered).toHaveLength(50))
  expect(commits).toEqual([50])
  await close()
})

test('no more are waited for at once than allowed, over all batches', async () => {
  const { answered, waiting, ask, letGo, close } = await serving(2)
  for (const saga of ['slow-1', 'slow-2', 'slow-3']) await ask(saga)
  await until(() => expect(waiting()).toBe(2))
  letGo()
  await until(() => expect(answered).toHaveLength(3))
  await close()
})
