/** The moves of all sagas: every one, once, in order, from wherever the last reader stopped. */
import { expect, test } from 'vitest'
import type { StoredMove } from '../../stores/store.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Engine } from './engine.ts'
import { milk, shared, started, until } from './engine.testkit.ts'
import { shopkeeper, shopSaga } from './shop.testkit.ts'

/** Follows until the signal, and remembers where it got. */
function follow(engine: Engine, after: string | null) {
  const ending = new AbortController()
  const reader = { moves: [] as StoredMove[], next: after, done: Promise.resolve() }
  reader.done = (async () => {
    for await (const page of engine.moves(after, ending.signal)) {
      reader.moves.push(...page.moves)
      reader.next = page.next
    }
  })()
  return Object.assign(reader, { end: () => (ending.abort(), reader.done) })
}

const keys = (moves: readonly StoredMove[]) => moves.map(({ sagaId, seq }) => `${sagaId} ${seq}`)

test('a reader sees past moves, then live ones; the next goes on where it stopped', async () => {
  const transport = memoryTransport()
  await shopkeeper(transport)
  const engine = await started({ transport })
  const sagas = await Promise.all([1, 2, 3].map(() => engine.start(shopSaga, milk)))
  await engine.result(sagas[0]!.id)
  const first = follow(engine, null)
  for (const { id } of sagas) await engine.result(id)
  await until(() => expect(first.moves.filter(({ status }) => status === 'COMPLETED')).toHaveLength(3))
  await first.end()
  const { id } = await engine.start(shopSaga, milk)
  await engine.result(id)
  const second = follow(engine, first.next)
  await until(() => expect(second.moves.at(-1)?.status).toBe('COMPLETED'))
  const all = [...sagas.map((saga) => saga.id), id]
  const expected = await Promise.all(all.map((each) => engine.history(each)))
  expect(keys([...first.moves, ...second.moves]).toSorted()).toEqual(
    expected.flatMap((entries) => entries.map(({ sagaId, seq }) => `${sagaId} ${seq}`)).toSorted(),
  )
  expect(second.moves[0]).toMatchObject({ definition: 'shop', version: 1, businessKey: 'milk', seq: 1 })
})

test('what another process moves is seen too', async () => {
  const store = shared(memoryStore())
  const transport = memoryTransport()
  await shopkeeper(transport)
  const here = await started({ store, heartbeatMs: 20 })
  const there = await started({ store, transport })
  const reader = follow(here, null)
  const { id } = await there.start(shopSaga, milk)
  await there.result(id)
  await until(() => expect(reader.moves.at(-1)).toMatchObject({ sagaId: id, status: 'COMPLETED' }))
})

test('a reader is ended by the engine', async () => {
  const engine = await started()
  const reader = follow(engine, null)
  await engine.stop()
  await reader.done
  expect(reader.moves).toEqual([])
})
