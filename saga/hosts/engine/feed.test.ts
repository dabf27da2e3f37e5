import { expect, test } from 'vitest'
import { transition } from '../../core/decide.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import type { HistoryEntry, Store, StoredSaga } from '../../stores/store.ts'
import { arrived, milk, shared, started, taken, turns, until } from './engine.testkit.ts'
import { Feed } from './feed.ts'
import { handClock, shopSaga } from './shop.testkit.ts'

/** A store of sagas that have begun, which counts what it is asked. */
async function setUp(sagas: number) {
  const memory = memoryStore()
  const asked = { loads: [] as number[], histories: 0 }
  const store: Store = {
    ...memory,
    load(ids) {
      asked.loads.push(ids.length)
      return memory.load(ids)
    },
    history(...args) {
      asked.histories += 1
      return memory.history(...args)
    },
  }
  const ids = Array.from({ length: sagas }, (_, index) => `saga-${index}`)
  const begun = ids.map((id) => {
    const { events, state } = transition(shopSaga, null, { type: 'start', id, input: milk, seed: 1 }, 0)
    const entry: HistoryEntry = { sagaId: id, seq: 1, at: 0, inputId: 'start', events, status: 'STARTED' }
    const saga: StoredSaga = {
      id,
      definition: 'shop',
      version: 1,
      seq: 1,
      state: state!,
      owner: 'elsewhere',
      key: null,
      fingerprint: '',
      businessKey: null,
      createdAt: 0,
      updatedAt: 0,
    }
    return { saga, entry, live: true }
  })
  await memory.commit({ starts: begun, moves: [] })
  /** Another process cancels it, and says nothing. */
  const cancel = async (id: string): Promise<void> => {
    const state = begun.find(({ saga }) => saga.id === id)!.saga.state
    const cancelled = transition(shopSaga, state, { type: 'cancel', by: 'ann', reason: 'no' }, 1)
    const entry: HistoryEntry = {
      sagaId: id,
      seq: 2,
      at: 1,
      inputId: 'cancel',
      events: cancelled.events,
      status: 'CANCELLING',
    }
    const move = { id, fromSeq: 1, toSeq: 2, state: cancelled.state!, businessKey: null, owner: 'elsewhere' }
    await memory.commit({ starts: [], moves: [{ ...move, live: true, updatedAt: 1, entries: [entry] }] })
  }
  const feed = new Feed(store)
  const seen = new Map<string, number>()
  for (const id of ids)
    void (async () => {
      for await (const { seq } of feed.updates(id, 0)) seen.set(id, seq)
    })()
  await until(() => expect(seen.size).toBe(sagas))
  asked.histories = 0
  return { feed, asked, ids, cancel, seen }
}

test('followers of sagas that do not move cost one bounded question a look, however many they are', async () => {
  const { feed, asked } = await setUp(1000)
  for (let looks = 0; looks < 6; looks += 1) await feed.look()
  await turns()
  expect(asked).toEqual({ loads: [200, 200, 200, 200, 200], histories: 0 }) // the first look only notes who follows
  feed.stop()
})

test('a move that no hint told of is found in turn, and only its saga is read', async () => {
  const { feed, asked, ids, cancel, seen } = await setUp(1000)
  await cancel('saga-777')
  for (let looks = 0; looks < 6; looks += 1) await feed.look()
  await until(() => expect(seen.get('saga-777')).toBe(2))
  expect(asked.histories).toBe(1)
  expect(ids.filter((id) => seen.get(id) !== 1)).toEqual(['saga-777'])
  feed.stop()
  await turns()
  await feed.look()
  await feed.look()
  expect(asked.loads).toHaveLength(5) // nobody follows any more
})

test('a follower misses nothing where another process moved the saga between two moves of this one', async () => {
  const clock = handClock()
  const store = shared(memoryStore(clock.now))
  const [here, there] = [await started({ store, clock }), await started({ store, clock })]
  const { saga } = await here.start(shopSaga, milk)
  const seen: number[] = []
  void (async () => {
    for await (const { seq, events, status } of here.updates(saga.id)) {
      seen.push(seq)
      if (seq === 2) expect(events[0]).toMatchObject({ type: 'StepDone', step: 'reserve' })
      if (seq === 3) expect(status).toBe('CANCELLING')
    }
  })()
  await until(() => expect(seen).toEqual([1]))
  expect(await there.deliver(arrived(saga.id))).toEqual(taken)
  await turns()
  expect(seen).toEqual([1]) // no hint came
  await here.cancel(saga.id, 'customer', 'no')
  await until(() => expect(seen).toEqual([1, 2, 3]))
})
