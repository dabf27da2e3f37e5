import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import type { Store } from '../../stores/store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Message } from '../../transports/transport.ts'
import { startEngine } from './engine.ts'
import { shopkeeper, shopSaga } from './shop.testkit.ts'

test('an input found stale in one lane is decided again, whatever another lane took meanwhile', async () => {
  const memory = memoryStore()
  let release: (() => void) | null = null
  // The first move is held back, and then told stale: another process was faster.
  const store: Store = {
    ...memory,
    async commit(batch) {
      if (batch.moves.length === 0 || release !== null) return memory.commit(batch)
      await new Promise<void>((resolve) => (release = resolve))
      return { starts: [], moves: batch.moves.map(() => 'stale') }
    },
  }
  const transport = memoryTransport()
  const { seen } = await shopkeeper(transport, { reserve: 'nothing', pay: 'nothing' })
  const engine = await startEngine({ store, transport, definitions: [shopSaga], lanes: 2 })
  const { saga } = await engine.start(shopSaga, { item: 'milk' })
  await expect.poll(() => seen.length).toBe(1)
  const reply: Message = {
    id: 'reply',
    type: 'reserve.done',
    correlationId: saga.id,
    causationId: seen[0]?.id ?? '',
    timestamp: new Date(0).toISOString(),
    payload: { ref: 'r-1' },
  }

  const first = engine.deliver(reply)
  await expect.poll(() => release).not.toBeNull()
  const again = engine.deliver(reply) // of the same saga: the second lane must leave it to the first
  for (let turns = 0; turns < 5; turns += 1) await turn()
  release!()

  expect(await Promise.all([first, again])).toEqual([true, true])
  await expect.poll(() => seen.map(({ type }) => type)).toEqual(['reserve', 'pay'])
  await engine.stop()
})
