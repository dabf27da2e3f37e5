/** Builds with other definitions over one store: what is refused, what is left, what is handed over, what a gate tells. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { defineSaga } from '../../declare/define.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Problem } from '../../problem.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { EngineOptions } from './engine.ts'
import { startEngine } from './engine.ts'
import { arrived, milk, passing, shared, started, until } from './engine.testkit.ts'
import { checkRollout } from './rollout.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

const [reserve, pay, ship] = shopSaga.steps

/** The shop's saga with other steps, under whatever version. */
function shop(
  version: number,
  names: readonly string[],
  more: { attemptMs?: number } = {},
): SagaDefinition<typeof milk> {
  const begin = defineSaga('shop', { version, input: shopSaga.input })
  const undo = { undo: reserve!.undo!, undoWith: () => ({}) }
  const all = names.reduce(
    (builder, name, index) =>
      builder.step(name, {
        do: [reserve, pay, ship][index % 3]!.do!,
        with: () => ({}),
        ...undo,
        ...more,
      }) as typeof builder,
    begin,
  )
  return all.end()
}

const one = shop(1, ['reserve', 'pay'])
const two = shop(2, ['reserve', 'pay', 'ship'])

/** A store with a saga of version 1 that waits for its first answer, as a process left it that has stopped. */
async function left() {
  const store = memoryStore()
  const engine = await started({ store, definitions: [one] })
  const { saga } = await engine.start(one, milk)
  await engine.stop()
  return { store, saga }
}

/** The same, with an event that cancels a completed saga by the undo of the step. */
function following(decider: 'reserve' | 'pay'): SagaDefinition<typeof milk> {
  const step = (contract: typeof reserve) =>
    ({ do: contract!.do!, with: () => ({}), undo: reserve!.undo!, undoWith: () => ({}) }) as const
  return defineSaga('shop', { version: 1, input: shopSaga.input })
    .step('reserve', step(reserve))
    .step('pay', step(pay))
    .end({
      cancelDecidedBy: decider,
      follows: [{ event: { type: 'gone', data: shopSaga.input }, by: 'shop', reason: 'gone', reaction: 'cancel' }],
    })
}

/** A store with a saga that has completed, as a process left it that has stopped. */
async function completed(definition: SagaDefinition<typeof milk>) {
  const store = memoryStore()
  const transport = memoryTransport()
  await shopkeeper(transport)
  const engine = await started({ store, transport, definitions: [definition] })
  const { saga } = await engine.start(definition, milk)
  await engine.result(saga.id)
  await engine.stop()
  return store
}

/** The error of an engine that does not start. */
async function refused(options: Pick<EngineOptions, 'store' | 'definitions'>): Promise<unknown> {
  return startEngine({ transport: memoryTransport(), ...options }).then(
    () => 'it started',
    (error: unknown) => error,
  )
}

describe('another structure under a known version', () => {
  test.each([
    ['a step renamed', ['reserve', 'charge'], /step pay is gone; step charge is new/],
    ['a step removed', ['reserve'], /step pay is gone/],
    ['a step inserted', ['reserve', 'pay', 'ship'], /step ship is new/],
    ['steps moved', ['pay', 'reserve'], /the order was reserve, pay and is pay, reserve/],
  ])('is refused at the start while sagas of it live: %s', async (_what, names, says) => {
    const { store } = await left()
    expect(await refused({ store, definitions: [shop(1, names)] })).toMatchObject({
      code: 'structure_changed',
      message: expect.stringMatching(says) as string,
    })
    expect(await refused({ store, definitions: [shop(1, names)] })).toMatchObject({
      message: expect.stringMatching(
        /1 of its sagas are not over.*Give the changed definition a new version/,
      ) as string,
    })
  })

  test('leaves the store as it was: the old build goes on', async () => {
    const { store, saga } = await left()
    expect(await refused({ store, definitions: [shop(1, ['pay'])] })).toMatchObject({ code: 'structure_changed' })
    const transport = memoryTransport()
    await shopkeeper(transport)
    const again = await started({ store, transport, definitions: [one] })
    expect((await again.result(saga.id)).status).toBe('COMPLETED')
  })

  test('is taken once no saga of it lives', async () => {
    const { store, saga } = await left()
    const transport = memoryTransport()
    await shopkeeper(transport)
    const again = await started({ store, transport, definitions: [one] })
    await again.result(saga.id)
    await again.stop()
    const other = shop(1, ['reserve', 'ship'])
    const changed = await started({ store, transport, definitions: [other] })
    const { saga: fresh } = await changed.start(other, milk)
    expect((await changed.result(fresh.id)).status).toBe('COMPLETED')
  })

  test('is refused while completed sagas of it can still be cancelled', async () => {
    const store = memoryStore()
    const transport = memoryTransport()
    await shopkeeper(transport)
    const engine = await started({ store, transport })
    const { saga } = await engine.start(shopSaga, milk)
    await engine.result(saga.id)
    await engine.stop()
    expect(await refused({ store, definitions: [one] })).toMatchObject({ code: 'structure_changed' })
  })

  test.each([
    ['an event can still move', () => following('reserve'), () => following('pay')],
    ['only the new one lets be cancelled', () => one, () => shopSaga],
  ])('is refused while there are completed sagas that %s', async (_what, before, after) => {
    const store = await completed(before())
    expect(await refused({ store, definitions: [after()] })).toMatchObject({ code: 'structure_changed' })
    expect((await checkRollout({ store, definitions: [after()] })).lines).toMatchObject([
      { status: 'COMPLETED', sagas: 1, verdict: 'breaks' },
    ])
  })

  test('is refused while another process runs it as it was, although none of its sagas lives yet', async () => {
    const clock = handClock()
    const store = shared(memoryStore(clock.now))
    await started({ store, clock, definitions: [one] })
    const starting = startEngine({ store, clock, transport: memoryTransport(), definitions: [shop(1, ['pay'])] })
    const outcome = starting.then(
      () => 'started',
      (error: unknown) => String(error),
    )
    let said: string | null = null
    void outcome.then((text) => (said = text))
    await passing(clock, 500, () => expect(said).toMatch(/another process runs it as it was/))
  })

  test('that differs only in timings passes', async () => {
    const { store, saga } = await left()
    const transport = memoryTransport()
    await shopkeeper(transport)
    const again = await started({ store, transport, definitions: [shop(1, ['reserve', 'pay'], { attemptMs: 77 })] })
    expect((await again.result(saga.id)).status).toBe('COMPLETED')
  })

  test('in one process is refused: two definitions under one name and version', async () => {
    expect(await refused({ store: memoryStore(), definitions: [one, shop(1, ['pay'])] })).toMatchObject({
      code: 'invalid_definition',
      message: expect.stringMatching(/holds shop version 1 twice/) as string,
    })
  })
})

describe('of a saga that has ended, and whose version has other steps by now,', () => {
  async function changed(say: 'done' | 'nothing') {
    const store = memoryStore()
    const clock = handClock()
    const transport = memoryTransport({ clock })
    await shopkeeper(transport, { reserve: say })
    const engine = await started({ store, clock, transport, definitions: [one] })
    const { saga } = await engine.start(one, milk)
    await passing(clock, 60_000, async () => expect((await engine.get(saga.id))?.state.endedAt).not.toBeNull())
    await engine.stop()
    const told: Problem[] = []
    const definitions = [shop(1, ['reserve', 'ship'])]
    const next = await started({ store, definitions, onProblem: (problem) => told.push(problem) })
    return { id: saga.id, next, told }
  }

  test('a cancel, an action and an answer are refused at once, with the reason', async () => {
    const { id, next, told } = await changed('done')
    const reason = expect.stringMatching(
      /has ended COMPLETED, and shop version 1 is declared with other steps/,
    ) as string
    expect(await next.cancel(id, 'ann', 'no')).toMatchObject({ accepted: false, reason })
    expect(await next.act(id, { kind: 'retry' }, 'ann', 'x')).toMatchObject({ accepted: false, reason })
    expect(await next.deliver(arrived(id))).toEqual({ outcome: 'refused', reason })
    expect(told).toEqual([])
  })

  test('a late answer to a step that was undone blind is told of, since it may show an effect left behind', async () => {
    const { id, next, told } = await changed('nothing')
    await next.deliver(arrived(id))
    expect(told).toMatchObject([
      {
        needsPerson: true,
        sagaId: id,
        what: expect.stringMatching(/Step reserve was undone without knowing/) as string,
      },
    ])
  })
})

test('a build without the version of live sagas starts, runs what it knows, and says what it leaves', async () => {
  const { store, saga } = await left()
  const transport = memoryTransport()
  await shopkeeper(transport)
  const told: Problem[] = []
  const next = await started({ store, transport, definitions: [two], onProblem: (problem) => told.push(problem) })
  expect(told).toMatchObject([{ needsPerson: true, what: expect.stringMatching(/1 of shop version 1/) as string }])
  const { saga: fresh } = await next.start(two, milk)
  expect((await next.result(fresh.id)).status).toBe('COMPLETED')
  expect((await next.get(saga.id))?.state.status).toBe('STARTED')
  await next.stop()
  const both = await started({ store, transport, definitions: [one, two] })
  expect((await both.result(saga.id)).status).toBe('COMPLETED')
})

describe('in a rolling upgrade', () => {
  /** An old build and a new one over one store; the old one reads all answers. */
  async function upgrading() {
    const store = shared(memoryStore())
    const transport = memoryTransport()
    const shopkeeping = await shopkeeper(transport)
    const told: Problem[] = []
    const old = await started({ store, transport, definitions: [one], onProblem: (problem) => told.push(problem) })
    const nobody = memoryTransport()
    const fresh = await started({
      store,
      transport: { ...nobody, publish: (...how) => transport.publish(...how) },
      definitions: [one, two],
      heartbeatMs: 20,
    })
    return { store, transport, shopkeeping, old, fresh, told }
  }

  test('an answer that the old build reads is handed to the new one: 24 of 24 sagas complete, none is undone', async () => {
    const { fresh, shopkeeping, told } = await upgrading()
    const sagas = await Promise.all(Array.from({ length: 24 }, () => fresh.start(two, milk)))
    for (const { saga } of sagas) expect((await fresh.result(saga.id)).status).toBe('COMPLETED')
    expect(shopkeeping.seen).toHaveLength(3 * 24)
    expect(told).toMatchObject([{ what: expect.stringMatching(/sagas of shop version 2 come here/) as string }])
  })

  test('cancels and actions that reach the old build are carried out by the new one, and answered', async () => {
    const { old, fresh, shopkeeping } = await upgrading()
    shopkeeping.say.reserve = 'nothing'
    const { saga } = await fresh.start(two, milk)
    expect(await old.act(saga.id, { kind: 'retry' }, 'ann', 'x')).toMatchObject({
      accepted: false,
      reason: 'it is not parked but STARTED',
    })
    expect(await old.cancel(saga.id, 'ann', 'changed my mind')).toMatchObject({
      accepted: true,
      state: { status: 'CANCELLING', cancel: { by: 'ann' } },
    })
  })

  test('an event that is handed in at the old build is kept for the new one, and counts once', async () => {
    const { old, fresh, shopkeeping } = await upgrading()
    shopkeeping.say.reserve = 'nothing'
    const { saga } = await fresh.start(two, milk)
    for (let times = 0; times < 2; times += 1)
      expect(await old.deliver(arrived(saga.id))).toMatchObject({ outcome: 'handed over' })
    await until(async () => expect((await fresh.result(saga.id)).status).toBe('COMPLETED'))
  })

  test('with nobody who runs the version, a request is kept, and says so', async () => {
    const clock = handClock()
    const { store, saga } = await left()
    const next = await started({ store, clock, definitions: [two], onProblem: () => undefined })
    const asked = next.cancel(saga.id, 'ann', 'no').catch((error: unknown) => error)
    let answer: unknown
    void asked.then((error) => (answer = error))
    await passing(clock, 1000, () => expect(answer).toMatchObject({ code: 'handed_over', retryable: false }))
    await next.stop()
    const both = await started({ store, definitions: [one, two] })
    await until(async () => expect((await both.get(saga.id))?.state.cancel?.by).toBe('ann'))
  })
})

test('two orchestrators with stores of their own and one participant take each their own answers', async () => {
  const transport = memoryTransport()
  await shopkeeper(transport)
  const engines = [await started({ transport }), await started({ transport })]
  for (const engine of engines) {
    const sagas = await Promise.all(Array.from({ length: 24 }, () => engine.start(shopSaga, milk)))
    for (const { saga } of sagas) expect((await engine.result(saga.id)).status).toBe('COMPLETED')
  }
})

test('two engines on one embedded store in one process: the second is refused, with what to do', async () => {
  const store = memoryStore()
  const first = await started({ store })
  expect(await refused({ store, definitions: [shopSaga] })).toMatchObject({ code: 'locked' })
  await first.stop()
  const next = await started({ store })
  onTestFinished(() => next.stop())
})

describe('the gate before a rollout', () => {
  test('tells of each version and step what becomes of its sagas', async () => {
    const store = memoryStore()
    const transport = memoryTransport()
    const keeper = await shopkeeper(transport, { pay: 'nothing' })
    const engine = await started({ store, transport, definitions: [one, two] })
    await engine.start(one, milk)
    await engine.start(one, milk)
    await engine.start(two, milk)
    await until(() => expect(keeper.seen).toHaveLength(6))
    keeper.say.reserve = 'nothing'
    await engine.start(two, milk)
    const line = { definition: 'shop', status: 'STARTED' } as const
    const unchanged = { verdict: 'unchanged', why: '' } as const
    expect(await checkRollout({ store, definitions: [one, two] })).toEqual({
      safe: true,
      lines: expect.arrayContaining([
        { ...line, version: 1, step: 'pay', sagas: 2, ...unchanged },
        { ...line, version: 2, step: 'pay', sagas: 1, ...unchanged },
        { ...line, version: 2, step: 'reserve', sagas: 1, ...unchanged },
      ]) as unknown,
    })
    const changed = await checkRollout({ store, definitions: [shop(1, ['reserve', 'charge'])] })
    expect(changed.safe).toBe(false)
    expect(changed.lines).toContainEqual({
      ...line,
      version: 1,
      step: 'pay',
      sagas: 2,
      verdict: 'breaks',
      why: expect.stringMatching(/step pay is gone; step charge is new. Give the changed/) as string,
    })
    expect(changed.lines).toContainEqual({
      ...line,
      version: 2,
      step: 'pay',
      sagas: 1,
      verdict: 'keep',
      why: 'register shop version 2 beside the others until its sagas are over',
    })
  })

  test('counts completed sagas that can still be cancelled', async () => {
    const store = memoryStore()
    const transport = memoryTransport()
    await shopkeeper(transport)
    const engine = await started({ store, transport })
    const { saga } = await engine.start(shopSaga, milk)
    await engine.result(saga.id)
    expect((await checkRollout({ store, definitions: [one] })).lines).toMatchObject([
      { status: 'COMPLETED', step: 'completed', sagas: 1, verdict: 'breaks' },
    ])
  })
})
