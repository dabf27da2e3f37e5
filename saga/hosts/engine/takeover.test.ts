import type { Problem } from '../../problem.ts'
import { describe, expect, test } from 'vitest'
import { defineSaga } from '../../declare/define.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { startOf, testVersions } from '../../stores/sagas.testkit.ts'
import type { DamagedSaga, Store } from '../../stores/store.ts'
import { StoreError } from '../../stores/store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { away, milk, passing, shared, started, turns, until } from './engine.testkit.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'
import { Takeover } from './takeover.ts'

test('while it takes many sagas over, a process goes on saying that it lives', async () => {
  const clock = handClock()
  const memory = memoryStore(clock.now)
  await memory.commit({ starts: Array.from({ length: 10_000 }, () => startOf({ owner: 'gone' })), moves: [] })
  const beats: number[] = []
  const store: Store = {
    ...shared(memory),
    heartbeat(...how) {
      beats.push(clock.now())
      return memory.heartbeat(...how)
    },
    claim(...how) {
      clock.advance(1_000)
      return memory.claim(...how)
    },
  }
  let resumed = 0
  const takeover = new Takeover({
    store,
    owner: () => 'heir',
    rename: () => undefined,
    clock,
    heartbeatMs: 2_000,
    silentMs: 6_000,
    versions: testVersions,
    resume: () => void (resumed += 1),
    onBeat: () => undefined,
    onProblem: () => undefined,
  })
  await takeover.begin()
  await takeover.stop()
  expect(resumed).toBe(10_000)
  const pauses = [...beats.slice(1), clock.now()].map((at, index) => at - (beats[index] ?? 0))
  expect(Math.max(...pauses)).toBeLessThanOrEqual(2_000)
})

test('a process leaves the sagas of a version that it does not have to one that has', async () => {
  const next = defineSaga('shop', { version: 2, input: shopSaga.input })
    .step('only', { do: shopSaga.steps[2]!.do!, with: () => ({}), effect: 'none' })
    .end()
  const clock = handClock()
  const store = shared(memoryStore(clock.now))
  const old = await started({ store, clock })
  const first = await started({ store, clock, definitions: [shopSaga, next] })
  const { saga } = await first.start(next, milk)
  await first.stop()
  clock.advance(2_000) // the old one looks for sagas without an owner
  const transport = memoryTransport()
  await shopkeeper(transport)
  const second = await started({ store, clock, transport, definitions: [shopSaga, next] })
  expect(await second.result(saga.id)).toMatchObject({ status: 'COMPLETED' })
  expect((await second.get(saga.id))?.owner).not.toBe(old.owner)
})

test('what is to be asked once is not asked again by whoever takes its saga over: silence settles it', async () => {
  const [reserve] = shopSaga.steps
  const once = defineSaga('once', { version: 1, input: shopSaga.input })
    .step('reserve', {
      do: reserve!.do!,
      with: () => ({}),
      undo: reserve!.undo!,
      undoWith: () => ({}),
      onUnknown: 'undo',
      attemptMs: 1_000,
    })
    .end()
  const clock = handClock()
  const store = shared(memoryStore(clock.now))
  const earlier = memoryTransport()
  const silent = await shopkeeper(earlier, { reserve: 'nothing' })
  const first = await started({ store, clock, transport: earlier, definitions: [once] })
  const { saga } = await first.start(once, milk)
  await until(() => expect(silent.types()).toEqual(['reserve']))
  await first.stop()
  const transport = memoryTransport()
  const shop = await shopkeeper(transport)
  const second = await started({ store, clock, transport, definitions: [once] })
  await passing(clock, 500, async () => expect((await second.get(saga.id))?.state.status).toBe('COMPENSATED'))
  expect(shop.types()).toEqual(['unreserve'])
})

describe('a damaged saga', () => {
  /** Sagas that a process left behind, one of them damaged. */
  async function leftBehind() {
    const memory = memoryStore()
    const before = await started({ store: shared(memory) })
    const sagas = await Promise.all([1, 2, 3].map(() => before.start(shopSaga, milk)))
    const ids = sagas.map(({ saga }) => saga.id)
    await before.stop()
    const [broken = '', ...others] = ids
    const problem = new StoreError('damaged', `Saga ${broken} is damaged`)
    const damaged: readonly DamagedSaga[] = [{ id: broken, problem }]
    const store: Store = {
      ...shared(memory),
      async load(asked) {
        const { sagas: found } = await memory.load(asked.filter((id) => id !== broken))
        return { sagas: found, damaged: asked.includes(broken) ? damaged : [] }
      },
      async claim(...how) {
        const { sagas: taken } = await memory.claim(...how)
        const sound = taken.filter(({ id }) => id !== broken)
        return { sagas: sound, damaged: sound.length < taken.length ? damaged : [] }
      },
      async list(...how) {
        const page = await memory.list(...how)
        return { ...page, items: page.items.filter(({ id }) => id !== broken), damaged }
      },
    }
    return { store, broken, others, problem }
  }

  test('keeps no engine from starting and no other saga from running, and is told of', async () => {
    const { store, broken, others, problem } = await leftBehind()
    const transport = memoryTransport()
    await shopkeeper(transport)
    const problems: Problem[] = []
    const engine = await started({ store, transport, onProblem: (told) => problems.push(told) })
    for (const id of others) expect(await engine.result(id)).toMatchObject({ status: 'COMPLETED' })
    const told = { needsPerson: true, sagaId: broken, cause: problem }
    expect(problems).toEqual([{ what: `saga ${broken} cannot be run`, ...told }])
    expect((await engine.list({})).items).toHaveLength(others.length)
    expect(problems.slice(1)).toEqual([{ what: `saga ${broken} cannot be listed`, ...told }])
  })

  test('refuses alone what comes for it, and says why', async () => {
    const { store, broken, others, problem } = await leftBehind()
    const engine = await started({ store, cached: 1 })
    const [refused, ...taken] = await Promise.allSettled([broken, ...others].map((id) => engine.cancel(id, 'me', 'no')))
    expect(refused).toEqual({ status: 'rejected', reason: problem })
    for (const each of taken) expect(each).toMatchObject({ status: 'fulfilled', value: { accepted: true } })
    await expect(engine.get(broken)).rejects.toBe(problem)
  })
})

test('sagas of a claim whose answer was lost are taken again with the next beat, not when a heartbeat is missed', async () => {
  const clock = handClock()
  const store = shared(memoryStore(clock.now))
  let lost = 0
  const deaf: Store = {
    ...store,
    async claim(...args) {
      const taken = await store.claim(...args)
      const [saga] = (await store.list({})).items
      if (saga?.owner !== args[0] || lost > 0) return taken
      lost += 1
      throw away('the answer was lost')
    },
  }
  const transport = memoryTransport()
  await shopkeeper(transport)
  const first = await started({ store, clock })
  const second = await started({ store: deaf, transport, clock })
  const { saga } = await first.start(shopSaga, milk)
  await first.stop()
  clock.advance(2000)
  await until(() => expect(lost).toBe(1))
  await turns()
  clock.advance(2000)
  await until(async () => expect((await second.get(saga.id))?.state.status).toBe('COMPLETED'))
})
