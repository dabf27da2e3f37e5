/** What the owner of a process is told: moves by a hook, problems by another, and by stderr where there is none. */
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { participantContract } from '../../declare/contract.ts'
import { defineSaga } from '../../declare/define.ts'
import { problemReporter, type OnProblem, type Problem } from '../../problem.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { SagaMoved } from './engine.ts'
import { milk, passing, started, until } from './engine.testkit.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

/** What is written to stderr until the test ends. */
function stderr(): string[] {
  const lines: string[] = []
  const spy = vi.spyOn(process.stderr, 'write').mockImplementation((line) => lines.push(String(line)) > 0)
  onTestFinished(() => spy.mockRestore())
  return lines
}

const failing = (onProblem?: OnProblem) => {
  const broken = defineSaga('broken', { version: 1, input: shopSaga.input })
    .step('reserve', {
      do: shopSaga.steps[0]!.do!,
      with: () => {
        throw new Error('a mistake\nof two lines')
      },
      effect: 'none',
    })
    .end()
  return started({ definitions: [broken], ...(onProblem === undefined ? {} : { onProblem }) }).then((engine) =>
    engine.start(broken, milk),
  )
}

test('a payload function that throws parks the saga, and a person is told by one line on stderr', async () => {
  const lines = stderr()
  const { saga } = await failing()
  expect(lines).toEqual([
    expect.stringMatching(
      new RegExp(
        `^ordersaga: saga ${saga.id} \\(broken version 1\\) is parked at step reserve: .*a mistake of two lines.*give up\n$`,
      ),
    ),
  ])
})

test('with a hook it is told there, and stderr stays silent', async () => {
  const lines = stderr()
  const told: Problem[] = []
  const { saga } = await failing((problem) => told.push(problem))
  expect(told).toMatchObject([{ needsPerson: true, sagaId: saga.id, what: expect.stringMatching('parked') as string }])
  expect(lines).toEqual([])
})

test('a hook that throws is told of, and harms nothing', async () => {
  const lines = stderr()
  const { state } = await failing(() => {
    throw new Error('no logger')
  })
  expect(state.status).toBe('PARKED')
  expect(lines).toEqual([expect.stringMatching(/is parked at step reserve.*onProblem hook failed on it: no logger/)])
})

// Types take it: what such a function returns is of no matter to them.
const rejecting: () => unknown = () => Promise.reject(new Error('no logger'))

test('an asynchronous hook that rejects is told of, and harms nothing', async () => {
  const lines = stderr()
  const { state } = await failing(rejecting)
  expect(state.status).toBe('PARKED')
  await until(() => expect(lines).toEqual([expect.stringMatching(/onProblem hook failed on it: no logger/)]))
})

const circle: Record<string, unknown> = {}
circle['of'] = circle
const unreadable = Object.create(Error.prototype, {
  message: {
    get() {
      throw new Error('no message')
    },
  },
}) as Error

test.each([
  ['a circle', circle],
  ['an object without a prototype', Object.assign(Object.create(null) as object, { of: circle })],
  ['an error without a message', unreadable],
  ['a bigint', 1n],
])('whatever a hook throws, it harms nothing: %s', (_what, thrown) => {
  const lines = stderr()
  const report = problemReporter(() => {
    throw thrown as Error
  })
  report({ what: 'something', needsPerson: true, cause: thrown })
  expect(lines).toEqual([expect.stringMatching(/^ordersaga: something: a \w+ that cannot be shown .*hook failed/)])
})

describe('the hook for moves', () => {
  test('sees every move of every saga, in order, with its state and what caused it', async () => {
    const transport = memoryTransport()
    await shopkeeper(transport, { ship: 'refused' })
    const moves: SagaMoved[] = []
    const engine = await started({ transport, onMove: (move) => moves.push(move) })
    const { saga } = await engine.start(shopSaga, milk)
    await engine.result(saga.id)
    const history = await engine.history(saga.id)
    expect(moves).toMatchObject(history.map(({ seq, inputId, events }) => ({ seq, inputId, events })))
    expect(moves.at(-1)?.state).toMatchObject({ id: saga.id, status: 'COMPENSATED' })
  })

  test.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no metrics')
      },
    ],
    ['is asynchronous and rejects', async () => Promise.reject(new Error('no metrics'))],
  ])('that %s harms nothing and is told of', async (_what, onMove) => {
    const told: Problem[] = []
    const transport = memoryTransport()
    await shopkeeper(transport)
    const engine = await started({
      transport,
      onProblem: (problem) => told.push(problem),
      onMove,
    })
    const { saga } = await engine.start(shopSaga, milk)
    expect((await engine.result(saga.id)).status).toBe('COMPLETED')
    await until(() => expect(told[0]).toMatchObject({ what: 'the onMove hook failed', needsPerson: false }))
  })
})

test('an answer that is no JSON after its schema is told of, and is why the saga gives up', async () => {
  const bank = participantContract('bank')
  const paid = z.object({ at: z.string().transform((text) => new Date(text)) })
  const pay = bank.command('pay', { payload: z.object({}), done: ['paid', paid] })
  const dated = defineSaga('dated', { version: 1, input: z.object({}) })
    .step('pay', { do: pay, with: () => ({}), effect: 'none', retry: { tries: 1 }, attemptMs: 1000 })
    .end()
  const clock = handClock()
  const transport = memoryTransport({ clock })
  const told: Problem[] = []
  const engine = await started({ transport, clock, definitions: [dated], onProblem: (problem) => told.push(problem) })
  const { saga } = await engine.start(dated, {})
  const answer = { sagaId: saga.id, id: 'm1', type: 'paid', payload: { at: '2026-01-01' } }
  expect(await engine.deliver(answer)).toEqual({
    outcome: 'refused',
    reason: expect.stringMatching(/what step pay keeps.at is a Date/) as string,
  })
  expect(told).toMatchObject([
    { sagaId: saga.id, what: expect.stringMatching(/waits at step pay.*is a Date/) as string },
  ])
  await passing(clock, 1000, async () =>
    expect((await engine.state(saga.id))?.error?.reason).toMatch(/keeps.at is a Date/),
  )
})
