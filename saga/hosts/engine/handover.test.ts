/** Inputs that wait in the store for a process that runs their saga, some of which cannot be carried out. */
import { expect, test } from 'vitest'
import { z } from 'zod'
import { stepOf } from '../../core/evolve.ts'
import { defineSaga } from '../../declare/define.ts'
import type { Problem } from '../../problem.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { StoreError, type HandedInput, type Store } from '../../stores/store.ts'
import type { Engine } from './engine.ts'
import { milk, passing, shared, started, turns, until } from './engine.testkit.ts'
import { handClock, shopSaga } from './shop.testkit.ts'

const answer = (sagaId: string, inputId: string): HandedInput => ({
  sagaId,
  inputId,
  input: {
    type: 'reply',
    reply: {
      id: inputId,
      type: 'reserve.done',
      payload: { ref: 'r-1' },
      causationId: `${sagaId}:reserve:do`,
    },
  },
})

async function phaseOf(engine: Engine, id: string) {
  const state = await engine.state(id)
  return state && stepOf(state, 'reserve').phase
}

/** Sagas that wait for their first answer, of which `bad` cannot be loaded or moved; each answer is kept in the store. */
async function left(count: number) {
  const inner = shared(memoryStore())
  const first = await started({ store: inner })
  const sagas = await Promise.all(Array.from({ length: count }, () => first.start(shopSaga, milk)))
  await first.stop()
  const ids = sagas.map(({ id }) => id)
  const damaged = new Set<string>()
  const refused = new Set<string>()
  let reads = 0
  const store: Store = {
    ...inner,
    async load(wanted) {
      const found = await inner.load(wanted.filter((id) => !damaged.has(id)))
      const broken = wanted.filter((id) => damaged.has(id))
      return { ...found, damaged: broken.map((id) => ({ id, problem: new StoreError('damaged', 'rows are missing') })) }
    },
    async claim(...how) {
      const { sagas: claimed } = await inner.claim(...how)
      return { sagas: claimed.filter(({ id }) => !damaged.has(id)), damaged: [] }
    },
    async commit(batch) {
      if (batch.moves.some(({ entries }) => entries.some(({ inputId }) => refused.has(inputId))))
        throw new StoreError('refused', 'a row is refused')
      return inner.commit(batch)
    },
    handed: (...how) => {
      reads += 1
      return inner.handed(...how)
    },
  }
  const clock = handClock()
  const told: Problem[] = []
  const run = () => started({ store, clock, onProblem: (problem) => told.push(problem) })
  return { store, clock, told, run, ids, damaged, refused, reads: () => reads }
}

test('one that cannot be carried out is read once a heartbeat, not for ever', async () => {
  const { store, clock, told, run, ids, damaged, reads } = await left(1)
  damaged.add(ids[0]!)
  await store.hand([answer(ids[0]!, 'a')])
  await run()
  await until(() => expect(told).toHaveLength(1))
  for (let beat = 0; beat < 10; beat += 1) {
    clock.advance(2_000)
    await turns()
  }
  expect(reads()).toBeLessThan(30)
  expect(told.length).toBeLessThan(6) // after 2, 6, 14 seconds
  expect(await store.handed([{ definition: 'shop', version: 1 }], 10)).toHaveLength(1)
})

test('those behind more than a portion of such ones are carried out', async () => {
  const { store, run, ids, damaged } = await left(2)
  damaged.add(ids[0]!)
  await store.hand(Array.from({ length: 600 }, (_, index) => answer(ids[0]!, `bad-${index}`)))
  await store.hand([answer(ids[1]!, 'good')])
  const engine = await run()
  await until(async () => expect(await phaseOf(engine, ids[1]!)).toBe('done'))
})

test('one that the store refuses parks its saga alone, is tried once more, and is dropped with a report', async () => {
  const { store, clock, told, run, ids, refused } = await left(2)
  refused.add('bad')
  await store.hand([answer(ids[0]!, 'bad'), answer(ids[1]!, 'good')])
  const engine = await run()
  const mine = [{ definition: 'shop', version: 1 }]
  await until(async () => expect((await engine.state(ids[0]!))?.status).toBe('PARKED'))
  expect((await store.handed(mine, 10)).map(({ inputId }) => inputId)).toEqual(['bad'])
  await passing(clock, 2_000, async () => expect(await store.handed(mine, 10)).toEqual([]))
  expect(told).toContainEqual(
    expect.objectContaining({
      needsPerson: true,
      sagaId: ids[0],
      messageId: 'bad',
      what: expect.stringMatching(/^input bad.*is dropped, since the store refuses it/) as string,
    }),
  )
  expect((await engine.state(ids[1]!))?.status).toBe('STARTED')
})

test('a good one beside one that the store refuses takes its effect', async () => {
  const { store, clock, run, ids, refused } = await left(1)
  refused.add('bad')
  await store.hand([answer(ids[0]!, 'bad'), answer(ids[0]!, 'good')])
  const engine = await run()
  await passing(clock, 1_000, async () =>
    expect((await engine.history(ids[0]!)).map(({ inputId }) => inputId)).toContain('good'),
  )
  expect(await phaseOf(engine, ids[0]!)).toBe('done')
})

/** A saga that waits for two events, of one type or of two. */
const waiting = (version: number, types: readonly [string, string]) =>
  defineSaga('waiting', { version, input: z.object({}) })
    .wait('first', { for: { type: types[0], data: z.object({}) }, withinMs: 60_000 })
    .wait('second', { for: { type: types[1], data: z.object({}) }, withinMs: 60_000 })
    .step('done', { do: shopSaga.steps[0]!.do!, with: () => ({}), effect: 'none' })
    .end()

test.each<[string, [string, string], [string, string]]>([
  ['of two types under one id', ['paid', 'shipped'], ['order-42', 'order-42']],
  ['with long ids that begin alike', ['paid', 'paid'], ['x'.repeat(300) + '1', 'x'.repeat(300) + '2']],
  ['with ids of 6,000 characters', ['paid', 'paid'], ['x'.repeat(6000) + '1', 'x'.repeat(6000) + '2']],
  ['with NUL in the id', ['paid', 'paid'], ['a\0', 'a\ufffd']],
  ['with half a surrogate pair in the id', ['paid', 'paid'], ['a\ud800', 'a\ud801']],
])('two events %s are both handed over and taken, once each', async (_what, types, ids) => {
  const store = shared(memoryStore())
  const [old, fresh] = [waiting(1, types), waiting(2, types)]
  const first = await started({ store, definitions: [fresh] })
  const { id: sagaId } = await first.start(fresh, {})
  await first.stop()
  const other = await started({ store, definitions: [old], onProblem: () => undefined })
  for (let times = 0; times < 2; times += 1)
    for (const index of [0, 1] as const)
      expect(await other.deliver({ sagaId, type: types[index], id: ids[index], payload: {} })).toMatchObject({
        outcome: 'handed over',
      })
  const next = await started({ store, definitions: [old, fresh] })
  await until(async () => expect((await next.state(sagaId))?.stage).toBe(2))
  const events = (await next.history(sagaId)).flatMap((move) => move.events)
  expect(events.filter(({ type }) => type === 'StepDone')).toHaveLength(2)
})
