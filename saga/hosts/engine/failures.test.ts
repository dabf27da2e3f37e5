/** What a store does to an engine when it fails, and what becomes of the sagas. */
import { describe, expect, test } from 'vitest'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import type { HistoryEntry, Store } from '../../stores/store.ts'
import { StoreError } from '../../stores/store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { arrived, failing, milk, passing, started, taken, turns, until } from './engine.testkit.ts'
import type { Problem } from '../../problem.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

describe('a store that is away', () => {
  test.each([
    ['before the commit', { before: 3 }],
    ['after the commit', { after: 3 }],
  ])('%s loses nothing and does nothing twice', async (_when, plan) => {
    const transport = memoryTransport()
    const shop = await shopkeeper(transport)
    const broken = failing(memoryStore())
    const engine = await started({ transport, store: broken.store })
    Object.assign(broken.plan, plan)
    const [{ saga }, other] = await Promise.all([
      engine.start(shopSaga, milk, { key: 'a' }),
      engine.start(shopSaga, milk),
    ])
    expect((await engine.result(saga.id)).status).toBe('COMPLETED')
    expect((await engine.result(other.saga.id)).status).toBe('COMPLETED')
    expect(await engine.count({})).toBe(2)
    const ids = shop.seen.map((message) => message.id)
    expect(new Set(ids).size).toBe(6)
    const history = await engine.history(saga.id)
    expect(history.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
  })

  test('after the commit of a cancel gives the true answer', async () => {
    const broken = failing(memoryStore())
    const engine = await started({ store: broken.store })
    const { saga } = await engine.start(shopSaga, milk)
    broken.plan.after = 1
    expect(await engine.cancel(saga.id, 'customer', 'no')).toMatchObject({ accepted: true })
    expect(await engine.history(saga.id)).toHaveLength(2)
  })
})

describe('a store that can store nothing now', () => {
  const full = new StoreError('unwritable', 'the disk is full')

  test('refuses requests at once and keeps answers, which take effect when there is room', async () => {
    const clock = handClock()
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { reserve: 'nothing' })
    const broken = failing(memoryStore())
    const problems: Problem[] = []
    const engine = await started({ transport, clock, store: broken.store, onProblem: (one) => problems.push(one) })
    const { saga } = await engine.start(shopSaga, milk)
    await until(() => expect(shop.types()).toEqual(['reserve']))
    Object.assign(broken.plan, { before: Infinity, error: full })

    await expect(engine.start(shopSaga, milk, { key: 'a' })).rejects.toBe(full)
    const delivered = engine.deliver(arrived(saga.id))
    await until(() => expect(engine.figures().queued).toBe(1))
    // While the answer waits to be tried again, which takes a turn of the clock here.
    await expect(engine.start(shopSaga, milk, { key: 'a' })).rejects.toBe(full)
    await expect(engine.cancel(saga.id, 'customer', 'no')).rejects.toBe(full)
    expect(await engine.ready()).toBe(false)
    expect(problems).toEqual([expect.objectContaining({ needsPerson: true, cause: full })])

    broken.plan.before = 0
    await passing(clock, 1000, () => expect(engine.figures().queued).toBe(0))
    expect(await delivered).toEqual(taken)
    expect(await engine.ready()).toBe(true)
    expect((await engine.result(saga.id)).status).toBe('COMPLETED')
    expect((await engine.start(shopSaga, milk, { key: 'a' })).fresh).toBe(true)
    expect(await engine.count({})).toBe(2)
  })

  test('does not refuse a request that an earlier commit may have carried out: it waits for the truth', async () => {
    const clock = handClock()
    const broken = failing(memoryStore())
    const engine = await started({ clock, store: broken.store })
    broken.plan.after = 1
    const starting = engine.start(shopSaga, milk, { key: 'a' })
    await until(() => expect(broken.plan.after).toBe(0))
    Object.assign(broken.plan, { before: 1, error: full })
    await passing(clock, 1000, () => {
      expect(broken.plan.before).toBeLessThan(0) // refused once, and tried again
    })
    expect([(await starting).fresh, await engine.count({})]).toEqual([true, 1])
  })
})

describe('a wake-up', () => {
  test.each([
    ['a wrong password', new StoreError('unusable', 'PostgreSQL cannot be used: password authentication failed')],
    ['a bug of a driver', new TypeError('undefined is not a function')],
  ])('that a store could not take for %s comes again after a pause', async (_why, error) => {
    const clock = handClock()
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { pay: 'nothing' })
    const broken = failing(memoryStore())
    const engine = await started({ transport, clock, store: broken.store, maxRunning: 1 })
    const { saga } = await engine.start(shopSaga, milk)
    await until(() => expect(shop.types()).toEqual(['reserve', 'pay']))
    Object.assign(broken.plan, { before: 1, error })
    clock.advance(1000)
    await until(() => expect(broken.plan.before).toBe(0))
    await turns()
    shop.say.pay = 'done'
    clock.advance(9999)
    await turns()
    expect(shop.types()).toEqual(['reserve', 'pay'])
    await passing(clock, 100, async () => expect((await engine.get(saga.id))?.state.status).toBe('COMPLETED'))
    expect(engine.figures()).toMatchObject({ running: 0, waking: 0 })
  })

  test('for which nothing is due, since the clock was set back meanwhile, comes again at its time', async () => {
    const clock = handClock()
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { reserve: 'nothing' })
    const engine = await started({ transport, clock })
    await engine.start(shopSaga, milk)
    await until(() => expect(shop.types()).toEqual(['reserve']))
    clock.advance(1000)
    clock.advance(-600)
    await turns()
    expect(engine.figures()).toMatchObject({ queued: 0, waking: 1 })
    clock.advance(599)
    await turns()
    clock.advance(1)
    await turns()
    clock.advance(100) // the pause before the second attempt
    await until(() => expect(shop.types()).toEqual(['reserve', 'reserve']))
  })
})

describe('a commit whose answer is lost', () => {
  test('that ended a saga is told to those who wait for it and follow it', async () => {
    const transport = memoryTransport()
    await shopkeeper(transport, { reserve: 'nothing' })
    const broken = failing(memoryStore())
    const engine = await started({ transport, store: broken.store })
    const { saga } = await engine.start(shopSaga, milk)
    const result = engine.result(saga.id)
    const followed: HistoryEntry[] = []
    void (async () => {
      for await (const update of engine.updates(saga.id)) followed.push(update)
    })()
    broken.plan.refuse = ({ moves }) => {
      if (moves[0]?.state.status === 'COMPLETED') broken.plan.after = 1
      return false
    }
    await engine.deliver(arrived(saga.id))
    expect((await result).status).toBe('COMPLETED')
    await until(() => expect(followed.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]))
  })

  test('has what it asked for sent, once it is known to have taken effect', async () => {
    const clock = handClock()
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { reserve: 'nothing', pay: 'nothing' })
    const broken = failing(memoryStore())
    const engine = await started({ transport, clock, store: broken.store })
    const { saga } = await engine.start(shopSaga, milk)
    broken.plan.after = 1
    const delivered = engine.deliver(arrived(saga.id))
    await until(() => expect(broken.plan.after).toBe(0))
    await turns()
    clock.advance(50) // before the batch is run again; no attempt's time is up
    expect(await delivered).toEqual(taken)
    await until(() => expect(shop.types()).toEqual(['reserve', 'pay']))
    expect(await engine.history(saga.id)).toHaveLength(2)
  })

  test.each([undefined, 'a key'])('of a start under key %s finds its own saga, which is fresh', async (key) => {
    const broken = failing(memoryStore())
    const engine = await started({ store: broken.store })
    broken.plan.after = 1
    const first = await engine.start(shopSaga, milk, { key })
    expect(first.fresh).toBe(true)
    expect(await engine.count({})).toBe(1)
    expect((await engine.start(shopSaga, milk, { key })).fresh).toBe(key === undefined)
  })
})

test('a start whose key was held by a saga that is just being removed is asked again for', async () => {
  const transport = memoryTransport()
  await shopkeeper(transport)
  const memory = memoryStore()
  const store: Store = {
    ...memory,
    async commit(batch) {
      const result = await memory.commit(batch)
      if (result.starts[0]?.kind === 'exists') await memory.prune(0, 1)
      return result
    },
  }
  const engine = await started({ transport, store })
  const { saga } = await engine.start(shopSaga, milk, { key: 'k' })
  await engine.result(saga.id)
  await expect(engine.start(shopSaga, milk, { key: 'k' })).rejects.toMatchObject({
    code: 'busy',
    retryable: true,
    message: expect.stringMatching(/being removed\. Ask again\./) as string,
  })
  expect((await engine.start(shopSaga, milk, { key: 'k' })).fresh).toBe(true)
})

describe('a row that the store refuses', () => {
  test('parks its saga alone, with the reason; the rest of its batch goes on', async () => {
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { reserve: 'nothing' })
    const broken = failing(memoryStore())
    const told: string[] = []
    const engine = await started({ transport, store: broken.store, onProblem: ({ what }) => told.push(what) })
    const sagas = await Promise.all(Array.from({ length: 20 }, () => engine.start(shopSaga, milk)))
    const ids = sagas.map(({ saga }) => saga.id)
    const [poison = ''] = ids.splice(7, 1)
    const refused: number[] = []
    broken.plan.refuse = ({ moves }) => {
      const hit = moves.some(({ id, state }) => id === poison && state.status !== 'PARKED')
      if (hit) refused.push(moves.length)
      return hit
    }
    await until(() => expect(shop.types()).toHaveLength(20))
    const replies = await Promise.allSettled([...ids, poison].map((id) => engine.deliver(arrived(id, `reply-${id}`))))
    const rejected = replies.filter((reply) => reply.status === 'rejected')
    expect(rejected.map(({ reason }) => reason as unknown)).toEqual([expect.objectContaining({ code: 'refused' })])
    expect(await engine.result(poison)).toMatchObject({
      status: 'PARKED',
      parked: { reason: 'the store refused the move: a row is refused' },
    })
    for (const id of ids) expect((await engine.result(id)).status).toBe('COMPLETED')
    expect(refused).toEqual([20, 10, 5, 3, 2, 1])
    expect(told).toEqual([
      `the store refused a move of saga ${poison}`,
      expect.stringMatching(`saga ${poison} .* is parked at step reserve: the store refused the move`),
    ])
  })

  test('also where it would park its saga has it tried again later, and not over and over', async () => {
    const clock = handClock()
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { reserve: 'nothing' })
    const broken = failing(memoryStore())
    const engine = await started({ transport, clock, store: broken.store })
    const { saga } = await engine.start(shopSaga, milk)
    await until(() => expect(shop.types()).toHaveLength(1))
    let refused = 0
    broken.plan.refuse = () => {
      refused += 1
      return true
    }
    await expect(engine.deliver(arrived(saga.id))).rejects.toMatchObject({ code: 'refused' })
    await turns()
    expect(refused).toBe(2)
    broken.plan.refuse = () => false
    shop.say.reserve = 'done'
    await passing(clock, 100, async () => expect((await engine.get(saga.id))?.state.status).toBe('COMPLETED'))
  })

  test('of a start is refused alone; the other starts of its batch go on', async () => {
    const transport = memoryTransport()
    await shopkeeper(transport)
    const broken = failing(memoryStore())
    broken.plan.refuse = ({ starts }) =>
      starts.some(({ saga }) => (saga.state.input as { item: string }).item === 'poison')
    const engine = await started({ transport, store: broken.store })
    const items = Array.from({ length: 20 }, (_, index) => (index === 7 ? 'poison' : 'milk'))
    const starts = await Promise.allSettled(items.map((item) => engine.start(shopSaga, { item })))
    const sagas = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value.saga] : []))
    expect(starts.findIndex(({ status }) => status === 'rejected')).toBe(7)
    expect(starts[7]).toMatchObject({ reason: { code: 'refused' } })
    expect(sagas).toHaveLength(19)
    for (const { id } of sagas) expect((await engine.result(id)).status).toBe('COMPLETED')
  })
})
