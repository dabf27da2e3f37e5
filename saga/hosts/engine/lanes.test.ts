import { stepOf } from '../../core/evolve.ts'
import type { SagaState } from '../../core/state.ts'
import type { Incoming } from '../host.ts'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import type { Store } from '../../stores/store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { startEngine } from './engine.ts'
import { arrived, holding, milk, reserved, started, taken, turns, until } from './engine.testkit.ts'
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
  const reply: Incoming = {
    id: 'reply',
    type: 'reserve.done',
    sagaId: saga.id,
    causationId: seen[0]?.id ?? '',
    payload: { ref: 'r-1' },
  }

  const first = engine.deliver(reply)
  await expect.poll(() => release).not.toBeNull()
  const again = engine.deliver(reply) // of the same saga: the second lane must leave it to the first
  for (let turns = 0; turns < 5; turns += 1) await turn()
  release!()

  expect((await Promise.all([first, again])).map(({ outcome }) => outcome)).toEqual(['taken', 'refused'])
  await expect.poll(() => seen.map(({ type }) => type)).toEqual(['reserve', 'pay'])
  await engine.stop()
})

test('a saga is in one lane at a time: its inputs are decided one after the other, other sagas go on', async () => {
  const { gate, store } = holding(memoryStore())
  const engine = await started({ store, lanes: 2 })
  const [one, other] = [await engine.start(shopSaga, milk), await engine.start(shopSaga, milk)]
  gate.close()
  const first = engine.deliver(arrived(one.saga.id))
  await until(() => expect(gate.held).toHaveLength(1))
  const second = engine.cancel(one.saga.id, 'customer', 'no')
  const beside = engine.cancel(other.saga.id, 'customer', 'no')
  await until(() => expect(gate.held).toHaveLength(2))
  await turns()
  expect(gate.held.map(({ moves }) => moves.map(({ id }) => id))).toEqual([[one.saga.id], [other.saga.id]])
  gate.release()
  expect(await Promise.all([first, second, beside])).toMatchObject([taken, { saga: { seq: 3 } }, { accepted: true }])
})

test('brokers are not read on while too many inputs wait', async () => {
  const transport = memoryTransport()
  const { gate, store } = holding(memoryStore())
  const engine = await started({ transport, store, lanes: 1, maxQueued: 3 })
  const sagas = await Promise.all(Array.from({ length: 3 }, () => engine.start(shopSaga, milk)))
  gate.close()
  const asked = [engine.cancel(sagas[0]!.saga.id, 'customer', 'no')]
  await until(() => expect(gate.held).toHaveLength(1))
  for (const { saga } of sagas) asked.push(engine.cancel(saga.id, 'customer', 'no'))
  expect(engine.figures().queued).toBe(3)
  await transport.publish('shop_events', [reserved(sagas[0]!.saga.id)])
  const delivered = engine.deliver(arrived(sagas[1]!.saga.id))
  await turns()
  expect(engine.figures().queued).toBe(3)
  gate.release()
  await Promise.all(asked)
  expect(await delivered).toEqual(taken)
  const settled = async (id: string) => stepOf((await engine.state(id)) as SagaState, 'reserve').phase
  await until(async () => expect(await settled(sagas[0]!.saga.id)).toBe('undoing'))
})
