/** What is said to remain of a saga, and what a request is said to do, against what then happens. */
import { expect, test } from 'vitest'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { milk, passing, started, until } from './engine.testkit.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

type Says = NonNullable<Parameters<typeof shopkeeper>[1]>

async function shopping(say: Says) {
  const transport = memoryTransport()
  const keeper = await shopkeeper(transport, say)
  const clock = handClock()
  const engine = await started({ transport, clock })
  const { id } = await engine.start(shopSaga, milk)
  return { engine, clock, id, say: keeper.say, types: keeper.types }
}

test('of a saga that waits it names what is outstanding, ahead, and undone where it turns back', async () => {
  const { engine, clock, id, types } = await shopping({ pay: 'nothing' })
  await until(() => expect(types()).toContain('pay'))
  expect(await engine.plan(id)).toEqual({
    outstanding: [{ id: `${id}:pay:do`, step: 'pay', direction: 'do', attempt: 1, participant: 'shop', type: 'pay' }],
    ahead: ['ship'],
    undo: [
      { step: 'pay', command: 'refund', certain: false },
      { step: 'reserve', command: 'unreserve', certain: true },
    ],
    wakeUps: [{ at: clock.now() + 1000, step: 'pay', why: 'the time for an answer to pay ends' }],
  })
  expect(engine.figures().waiting).toEqual([{ definition: 'shop', step: 'pay', direction: 'do', sagas: 1 }])
})

test('of a completed saga whose cancel a step decides, that step is undone first', async () => {
  const { engine, id } = await shopping({})
  await engine.result(id)
  expect(await engine.plan(id)).toEqual({
    outstanding: [],
    ahead: [],
    undo: [
      { step: 'reserve', command: 'unreserve', certain: true },
      { step: 'pay', command: 'refund', certain: true },
    ],
    wakeUps: [],
  })
  const { batches, inputs, waiting } = engine.figures()
  expect([batches > 0, inputs >= batches, waiting]).toEqual([true, true, []])
})

test('nothing remains of a saga that is undone, and there is no plan of one that is not there', async () => {
  const { engine, id } = await shopping({ ship: 'refused' })
  await engine.result(id)
  expect(await engine.plan(id)).toEqual({ outstanding: [], ahead: [], undo: [], wakeUps: [] })
  expect(await engine.plan('nowhere')).toBeNull()
})

test('a preview of a cancel is what the cancel then does, and does nothing itself', async () => {
  const { engine, id } = await shopping({ ship: 'nothing', refund: 'nothing' })
  await until(async () => expect(JSON.stringify(await engine.plan(id))).toContain('"step":"ship"'))
  const before = await engine.get(id)
  const preview = await engine.preview(id, { kind: 'cancel' }, 'ops', 'closing')
  expect(await engine.get(id)).toEqual(before)
  const { accepted, state } = await engine.cancel(id, 'ops', 'closing')
  expect([preview.accepted, preview.state]).toEqual([accepted, state])
  const entry = (await engine.history(id)).find(({ inputId }) => inputId.startsWith('cancel:'))
  expect(preview.events).toEqual(entry?.events)
})

test('a preview of an action tells what is sent, or why it is refused', async () => {
  const { engine, clock, id, types } = await shopping({ ship: 'refused', refund: 'refused' })
  await until(() => expect(types()).toContain('refund'))
  await passing(clock, 1000, async () => expect((await engine.state(id))?.status).toBe('PARKED'))
  const retry = await engine.preview(id, { kind: 'retry' }, 'ops', 'mended')
  expect(retry).toMatchObject({
    accepted: true,
    reason: null,
    state: { status: 'COMPENSATING' },
    plan: { outstanding: [{ step: 'pay', direction: 'undo', attempt: 1 }] },
  })
  const resolve = await engine.preview(id, { kind: 'resolve', reply: {} }, 'ops', 'seen')
  expect([resolve.accepted, resolve.reason]).toEqual([
    false,
    'only a command whose outcome is unknown can be resolved; retry or skip this one',
  ])
  const { state } = await engine.act(id, { kind: 'retry' }, 'ops', 'mended')
  expect(state).toMatchObject({ status: retry.state.status })
})

test('a preview for a saga that is not there is refused as the request is', async () => {
  const { engine } = await shopping({})
  await expect(engine.preview('nowhere', { kind: 'retry' }, 'ops', '')).rejects.toMatchObject({ code: 'not_found' })
})
