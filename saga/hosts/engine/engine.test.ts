import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineSaga } from '../../declare/define.ts'
import { stepOf } from '../../core/evolve.ts'
import type { SagaStatus } from '../../core/state.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import type { Store } from '../../stores/store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Engine } from './engine.ts'
import { away, milk, passing, shared, started, taken, until } from './engine.testkit.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

const statusOf = async (engine: Engine, id: string): Promise<SagaStatus | undefined> =>
  (await engine.get(id))?.state.status

describe('a saga', () => {
  test('runs its steps in order to COMPLETED', async () => {
    const transport = memoryTransport()
    const shop = await shopkeeper(transport)
    const engine = await started({ transport })
    const { saga } = await engine.start(shopSaga, milk)
    expect((await engine.result(saga.id)).status).toBe('COMPLETED')
    expect(shop.types()).toEqual(['reserve', 'pay', 'ship'])
  })

  test('undoes what was done, newest first, when a step is refused', async () => {
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { ship: 'refused' })
    const engine = await started({ transport })
    const { saga } = await engine.start(shopSaga, milk)
    expect(await engine.result(saga.id)).toMatchObject({ status: 'COMPENSATED', error: { reason: 'no ship' } })
    expect(shop.types()).toEqual(['reserve', 'pay', 'ship', 'refund', 'unreserve'])
    expect(shop.seen[3]?.undoes).toBe(shop.seen[1]?.id)
  })

  test.each(['twice', 'garbage', 'wrong saga'] as const)(
    'is not misled by a participant that answers %s',
    async (say) => {
      const transport = memoryTransport()
      const shop = await shopkeeper(transport, { reserve: say, pay: say, ship: say })
      const engine = await started({ transport })
      const { saga } = await engine.start(shopSaga, milk)
      expect((await engine.result(saga.id)).status).toBe('COMPLETED')
      expect(shop.types()).toEqual(['reserve', 'pay', 'ship'])
    },
  )

  test('repeats a command without an answer under the same id, then undoes it, since nobody knows', async () => {
    const transport = memoryTransport()
    const clock = handClock()
    const shop = await shopkeeper(transport, { pay: 'nothing' })
    const engine = await started({ transport, clock })
    const { saga } = await engine.start(shopSaga, milk)
    await passing(clock, 1000, async () => expect(await statusOf(engine, saga.id)).toBe('COMPENSATED'))
    const pays = shop.seen.filter((message) => message.type === 'pay')
    expect(pays).toHaveLength(3)
    expect(new Set(pays.map((message) => message.id)).size).toBe(1)
    expect(shop.types().slice(-2)).toEqual(['refund', 'unreserve'])
  })

  test('parks when an undo is refused to its limit, and goes on when an operator has it retried', async () => {
    const transport = memoryTransport()
    const clock = handClock()
    const shop = await shopkeeper(transport, { ship: 'refused', refund: 'refused' })
    const engine = await started({ transport, clock })
    const { saga } = await engine.start(shopSaga, milk)
    await passing(clock, 1000, async () => expect(await statusOf(engine, saga.id)).toBe('PARKED'))
    expect(await engine.result(saga.id)).toMatchObject({ parked: { step: 'pay', from: 'COMPENSATING' } })
    shop.say.refund = 'done'
    const answer = await engine.act(saga.id, { kind: 'retry' }, 'ann', 'the bank is back')
    expect(answer).toMatchObject({ accepted: true })
    await until(async () => expect(await statusOf(engine, saga.id)).toBe('COMPENSATED'))
    expect(await engine.act(saga.id, { kind: 'retry' }, 'ann', 'again')).toMatchObject({ accepted: false })
  })
})

describe('starting', () => {
  test('is idempotent by key: the same key and input give the same saga', async () => {
    const engine = await started()
    const first = await engine.start(shopSaga, milk, { key: 'k' })
    const [second, third] = await Promise.all([
      engine.start(shopSaga, { item: 'milk' }, { key: 'k' }),
      engine.start(shopSaga, milk, { key: 'k' }),
    ])
    expect([second.saga.id, third.saga.id]).toEqual([first.saga.id, first.saga.id])
    expect([first.fresh, second.fresh, third.fresh]).toEqual([true, false, false])
    await expect(engine.start(shopSaga, { item: 'tea' }, { key: 'k' })).rejects.toMatchObject({ code: 'key_reused' })
    expect(await engine.count({})).toBe(1)
  })

  test('can be asked about by its key, whatever has become of the saga, and starts nothing', async () => {
    const engine = await started()
    expect(await engine.startedUnder('k', shopSaga, milk)).toBeNull()
    const { id } = await engine.start(shopSaga, milk, { key: 'k' })
    await engine.result(id)
    expect(await engine.startedUnder('k', shopSaga, { item: 'milk' })).toEqual(await engine.get(id))
    await expect(engine.startedUnder('k', shopSaga, { item: 'tea' })).rejects.toMatchObject({ code: 'key_reused' })
    await expect(engine.startedUnder('', shopSaga, milk)).rejects.toMatchObject({ code: 'invalid_input' })
    expect([await engine.startedUnder('other', shopSaga, milk), await engine.count({})]).toEqual([null, 1])
  })

  test('with one key at the same moment starts one saga', async () => {
    const engine = await started()
    const all = await Promise.all(Array.from({ length: 20 }, () => engine.start(shopSaga, milk, { key: 'k' })))
    expect(new Set(all.map(({ saga }) => saga.id)).size).toBe(1)
    expect(all.filter(({ fresh }) => fresh)).toHaveLength(1)
  })

  test('refuses an input that would be another after a restart', async () => {
    const dated = defineSaga('dated', { version: 1, input: z.object({ day: z.coerce.date() }) })
      .step('a', { do: shopSaga.steps[2]!.do!, with: () => ({}), effect: 'none' })
      .end()
    const engine = await started({ definitions: [dated] })
    await expect(engine.start(dated, { day: new Date(0) })).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('input.day is a Date') as string,
    })
  })

  test('refuses an input that does not fit, an unregistered definition, and too many at once', async () => {
    const engine = await started({ maxQueued: 2 })
    await expect(engine.start(shopSaga, { item: 1 } as never)).rejects.toMatchObject({ code: 'invalid_input' })
    const other = defineSaga('other', { version: 1, input: shopSaga.input })
      .step('a', { do: shopSaga.steps[2]!.do!, with: () => ({}), effect: 'none' })
      .end()
    await expect(engine.start(other, milk)).rejects.toMatchObject({ code: 'unknown_definition' })
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => engine.start(shopSaga, milk)))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused.map(({ reason }) => (reason as { code: string }).code)).toEqual(['busy', 'busy', 'busy'])
  })

  test('is refused while too many sagas wait for participants, and taken again once one of them has its answer', async () => {
    const transport = memoryTransport()
    const clock = handClock()
    const shop = await shopkeeper(transport, { ship: 'nothing' })
    const engine = await started({ transport, clock, maxRunning: 2 })
    const sagas = [await engine.start(shopSaga, milk), await engine.start(shopSaga, milk)]
    await until(() => expect(shop.types().filter((type) => type === 'ship')).toHaveLength(2))
    await expect(engine.start(shopSaga, milk)).rejects.toMatchObject({ code: 'busy', retryable: true })
    expect(engine.figures()).toMatchObject({ running: 2 })
    shop.say.ship = 'done'
    await passing(clock, 1000, async () => {
      for (const { saga } of sagas) expect(await statusOf(engine, saga.id)).toBe('COMPLETED')
    })
    expect(engine.figures()).toMatchObject({ running: 0 })
    expect((await engine.start(shopSaga, milk)).fresh).toBe(true)
  })

  test('is not refused for sagas that another process has ended, once their wake-ups have shown it', async () => {
    const clock = handClock()
    const store = shared(memoryStore(clock.now))
    const mute = await started({ store, clock, maxRunning: 1 })
    const { saga } = await mute.start(shopSaga, milk)
    const transport = memoryTransport()
    await shopkeeper(transport)
    const other = await started({ store, transport, clock })
    const reserved = {
      id: 'r',
      type: 'reserve.done',
      sagaId: saga.id,
      causationId: `${saga.id}:reserve:do`,
      payload: { ref: 'r-1' },
    }
    expect(await other.deliver(reserved)).toEqual(taken)
    expect((await other.result(saga.id)).status).toBe('COMPLETED')
    await expect(mute.start(shopSaga, milk)).rejects.toMatchObject({ code: 'busy' })
    await passing(clock, 1000, async () => expect((await mute.start(shopSaga, milk)).fresh).toBe(true))
  })

  test('is refused by an engine that stops', async () => {
    const engine = await started()
    await engine.stop()
    await expect(engine.start(shopSaga, milk)).rejects.toMatchObject({ code: 'stopped', retryable: true })
  })
})

describe('a cancel', () => {
  test('before the first answer settles and undoes the step in flight', async () => {
    const transport = memoryTransport()
    const clock = handClock()
    const shop = await shopkeeper(transport, { reserve: 'nothing' })
    const engine = await started({ transport, clock })
    const { saga } = await engine.start(shopSaga, milk)
    expect(await engine.cancel(saga.id, 'customer', 'changed my mind')).toMatchObject({ accepted: true })
    expect(await statusOf(engine, saga.id)).toBe('CANCELLING')
    shop.say.reserve = 'done'
    await passing(clock, 1000, async () => expect(await statusOf(engine, saga.id)).toBe('CANCELLED'))
    expect(shop.types()).toEqual(['reserve', 'reserve', 'unreserve'])
  })

  test('after completion is decided by the step that was named; refused, nothing changes', async () => {
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { unreserve: 'refused' })
    const engine = await started({ transport })
    const { saga } = await engine.start(shopSaga, milk)
    await engine.result(saga.id)
    expect(await engine.cancel(saga.id, 'customer', 'too slow')).toMatchObject({ accepted: true })
    await until(async () => expect(await statusOf(engine, saga.id)).toBe('COMPLETED'))
    expect(shop.types()).toEqual(['reserve', 'pay', 'ship', 'unreserve'])
    shop.say.unreserve = 'done'
    await engine.cancel(saga.id, 'customer', 'really')
    await until(async () => expect(await statusOf(engine, saga.id)).toBe('CANCELLED'))
    expect(shop.types().slice(4)).toEqual(['unreserve', 'refund'])
  })

  test('of an unknown saga says so', async () => {
    const engine = await started()
    await expect(engine.cancel('nope', 'a', 'b')).rejects.toMatchObject({ code: 'not_found' })
    await expect(engine.result('nope')).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('updates', () => {
  test('bring every move in order, to early and to late subscribers alike, without gaps', async () => {
    const transport = memoryTransport()
    await shopkeeper(transport, { ship: 'refused' })
    const engine = await started({ transport })
    const { saga } = await engine.start(shopSaga, milk)
    const follow = async (after = 0): Promise<number[]> => {
      const seqs: number[] = []
      for await (const { seq, status } of engine.updates(saga.id, after)) {
        seqs.push(seq)
        if (status === 'COMPENSATED') return seqs
      }
      return seqs
    }
    const early = await Promise.all([follow(), follow(2)])
    const late = await follow()
    expect(early).toEqual([
      [1, 2, 3, 4, 5, 6],
      [3, 4, 5, 6],
    ])
    expect(late).toEqual([1, 2, 3, 4, 5, 6])
  })

  test('end when the subscriber or the engine ends them', async () => {
    const engine = await started()
    const { saga } = await engine.start(shopSaga, milk)
    const ending = new AbortController()
    const seen: number[] = []
    const following = (async () => {
      for await (const { seq } of engine.updates(saga.id, 0, ending.signal)) {
        seen.push(seq)
        ending.abort()
      }
    })()
    await following
    expect(seen).toEqual([1])
    const waiting = engine.result(saga.id)
    await Promise.all([expect(waiting).rejects.toMatchObject({ code: 'stopped' }), engine.stop()])
  })
})

describe('several processes on one store', () => {
  test('a process that falls silent loses its sagas to another, which finishes them', async () => {
    const clock = handClock()
    const store = shared(memoryStore(clock.now))
    const dead = memoryTransport()
    const first = await started({ store, transport: dead, clock })
    const { saga } = await first.start(shopSaga, milk)
    await first.stop()
    const transport = memoryTransport()
    await shopkeeper(transport)
    const second = await started({ store, transport, clock })
    expect((await second.result(saga.id)).status).toBe('COMPLETED')
    expect((await second.get(saga.id))?.owner).toBe(second.owner)
  })

  test('sagas that were taken over without the answer being heard are taken again', async () => {
    const clock = handClock()
    const store = shared(memoryStore(clock.now))
    let lost = 0
    const deaf: Store = {
      ...store,
      async claim(...args) {
        const taken = await store.claim(...args)
        if (taken.sagas.length > 0 && lost++ === 0) throw away('the answer was lost')
        return taken
      },
    }
    const first = await started({ store, transport: memoryTransport(), clock })
    const transport = memoryTransport()
    await shopkeeper(transport)
    const second = await started({ store: deaf, transport, clock })
    const name = second.owner
    const { saga } = await first.start(shopSaga, milk)
    await first.stop()
    await passing(clock, 2000, async () => expect(await statusOf(second, saga.id)).toBe('COMPLETED'))
    expect(lost).toBeGreaterThan(1)
    expect(second.owner).not.toBe(name)
  })

  test('a result is found although another process ended the saga and no hint came', async () => {
    const clock = handClock()
    const store = shared(memoryStore(clock.now))
    const transport = memoryTransport()
    const working = await started({ store, transport, clock })
    const watching = await started({ store, transport: memoryTransport(), clock })
    const { saga } = await working.start(shopSaga, milk)
    const result = watching.result(saga.id)
    await shopkeeper(transport)
    await working.result(saga.id)
    let ended: SagaStatus | null = null
    void result.then(({ status }) => (ended = status))
    await passing(clock, 2000, () => expect(ended).toBe('COMPLETED'))
  })

  test('two that both believe they own a saga do no harm', async () => {
    const store = shared(memoryStore())
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { ship: 'nothing' })
    const first = await started({ store, transport, group: 'a' })
    const second = await started({ store, transport, group: 'b' })
    const all = await Promise.all(Array.from({ length: 50 }, () => first.start(shopSaga, milk)))
    shop.say.ship = 'done'
    await until(async () => {
      for (const { saga } of all) {
        const state = (await second.get(saga.id))?.state
        expect(state && stepOf(state, 'pay').phase).toBe('done')
      }
    })
    for (const { saga } of all) {
      const seqs = (await second.history(saga.id)).map(({ seq }) => seq)
      expect(seqs).toEqual(seqs.map((_seq, index) => index + 1))
      const phases = (await second.history(saga.id))
        .flatMap(({ events }) => events)
        .filter((event) => event.type === 'StepDone')
      expect(new Set(phases.map((event) => event.step)).size).toBe(phases.length)
    }
  })
})

test('ended sagas are removed when their time is up; live ones stay', async () => {
  const clock = handClock()
  const store = memoryStore(clock.now)
  const transport = memoryTransport()
  const shop = await shopkeeper(transport)
  const engine = await started({ store, transport, clock, retainMs: 60_000 })
  const ended = await engine.start(shopSaga, milk, { key: 'k' })
  await engine.result(ended.saga.id)
  shop.say.reserve = 'nothing'
  const live = await engine.start(shopSaga, milk)
  expect(await engine.count({})).toBe(2)
  await passing(clock, 2000, async () => expect(await engine.get(ended.saga.id)).toBeNull())
  expect(await engine.get(live.saga.id)).not.toBeNull()
  expect((await engine.start(shopSaga, milk, { key: 'k' })).fresh).toBe(true)
})

test('stopping finishes what was taken in: every accepted start is stored', async () => {
  const store = memoryStore()
  const engine = await started({ store })
  const starts = Promise.all(Array.from({ length: 1000 }, () => engine.start(shopSaga, milk)))
  await engine.stop()
  const all = await starts
  expect(await store.count({})).toBe(all.length)
})

test('more live sagas than memory holds go on as well', async () => {
  const transport = memoryTransport()
  const shop = await shopkeeper(transport)
  const engine = await started({ transport, cached: 1 })
  const sagas = await Promise.all(Array.from({ length: 20 }, () => engine.start(shopSaga, milk)))
  const ends = await Promise.all(sagas.map(({ saga }) => engine.result(saga.id)))
  expect(ends.map(({ status }) => status)).toEqual(sagas.map(() => 'COMPLETED'))
  expect(shop.seen).toHaveLength(3 * sagas.length) // no command had to be repeated
})
