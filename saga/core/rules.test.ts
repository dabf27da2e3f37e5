/** The twelve rules of a saga, each with what it says, and what was decided where the documents are silent. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { participantContract } from '../declare/contract.ts'
import { decide, readInput, replay, transition } from './decide.ts'
import { defineSaga } from '../declare/define.ts'
import type { Event } from './events.ts'
import { evolve, stepOf } from './evolve.ts'
import type { Command } from './pending.ts'
import { buildCommand, pending, repliesOf } from './pending.ts'
import { forever } from './retry.ts'
import { ask, both, Data, Empty, foreignAsk, Run, steady, sure, undo } from './saga.testkit.ts'
import type { SagaState } from './state.ts'
import { isSettled, sagaStatuses } from './state.ts'
import { noSteps } from './steps.ts'

const saga = (deadlineMs?: number) =>
  defineSaga('s', { version: 1, input: Empty, ...(deadlineMs === undefined ? {} : { deadlineMs }) })

const two = saga().step('a', both('a')).step('b', both('b')).end()
const pivoted = saga()
  .step('a', both('a'))
  .step('p', { do: ask('p'), with: () => ({}), retry: steady, attemptMs: 1000 })
  .pivot()
  .step('z', { do: sure('z'), with: () => ({}), retry: forever, attemptMs: 1000 })
  .end()
const late = saga()
  .step('a', both('a'))
  .step('p', { do: ask('p'), with: () => ({}), retry: steady, attemptMs: 1000 })
  .pivot()
  .step('z', { ...both('z'), onRejected: 'retry', onExhausted: 'continue', thenCancelAfterMs: 60_000 })
  .end({ cancelDecidedBy: 'a' })

describe('a step ends done, rejected or unknown', () => {
  test('a timeout is unknown, never a failure, and is settled by a repeat under the same id', () => {
    const run = new Run(two)
    expect(run.open).toEqual(['S:a:do'])
    run.wake()
    expect(run.phase('a')).toBe('unknown')
    expect(run.open).toEqual([])
    run.wake()
    expect(run.open).toEqual(['S:a:do'])
    expect(run.done('a').phase('a')).toBe('done')
  })

  test('an answer that comes in the pause before a repeat is taken', () => {
    const run = new Run(two).wake().done('a')
    expect(run.open).toEqual(['S:b:do'])
  })

  test('when the tries are used up it is undone blind where that is safe on nothing', () => {
    const run = new Run(two).done('a').wake(5)
    expect(run.history).toContainEqual(expect.objectContaining({ type: 'StepUnknown', step: 'b', retryAt: null }))
    expect(run.open).toEqual(['S:b:undo'])
    expect(run.undone('b', 'a').status).toBe('COMPENSATED')
  })

  test('when the tries are used up and undo is not safe on nothing, it is parked, never called rejected', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), undo: undo('a', false) })
        .end(),
    ).wake(5)
    expect(run.state).toMatchObject({ status: 'PARKED', parked: { step: 'a', from: 'STARTED' } })
    expect(run.phase('a')).toBe('unknown')
  })

  test('park: a first timeout waits for a person', () => {
    expect(
      new Run(
        saga()
          .step('a', { ...both('a'), onUnknown: 'park' })
          .end(),
      ).wake().status,
    ).toBe('PARKED')
  })

  test('undo: a first timeout is undone at once', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), onUnknown: 'undo' })
        .end(),
    ).wake()
    expect(run.open).toEqual(['S:a:undo'])
  })

  const queried = saga()
    .step('a', { ...both('a'), onUnknown: 'query', query: ask('q'), queryWith: ({ sagaId }) => ({ sagaId }) })
    .end()

  test('query: an answer "done" settles it', () => {
    const run = new Run(queried).wake(2)
    expect(run.open).toEqual(['S:a:query'])
    run.reply('a', 'q.done', { id: 'x' }, 'query')
    expect([run.status, stepOf(run.state, 'a').reply]).toEqual(['COMPLETED', { id: 'x' }])
  })

  test('query: an answer "not there" repeats the command, since it may still be on its way', () => {
    const run = new Run(queried).wake(2)
    run.reply('a', 'q.refused', { error: 'none' }, 'query')
    expect(run.open).toEqual(['S:a:do'])
    expect(run.phase('a')).toBe('asked')
  })

  test('query: without an answer it is asked again until the tries are used up', () => {
    const run = new Run(queried).wake(3)
    expect(run.phase('a')).toBe('unknown')
    run.wake(2)
    expect(run.status).toBe('COMPENSATING')
  })

  test('query: "not there" on the last try leaves it unknown', () => {
    const run = new Run(queried).wake(4)
    run.reply('a', 'q.refused', { error: 'none' }, 'query')
    expect(run.history).toContainEqual(expect.objectContaining({ type: 'StepUnknown', reason: 'none', retryAt: null }))
    expect(run.status).toBe('COMPENSATING')
  })
})

describe('undo covers every step that may have taken effect, newest first', () => {
  test('and never a rejected or unsent one', () => {
    const three = saga().step('a', both('a')).step('b', both('b')).step('c', both('c')).step('d', both('d')).end()
    const run = new Run(three).done('a', 'b').refused('c')
    expect(run.open).toEqual(['S:b:undo'])
    run.undone('b')
    expect(run.open).toEqual(['S:a:undo'])
    expect(run.undone('a').status).toBe('COMPENSATED')
    expect([run.phase('c'), run.phase('d')]).toEqual(['rejected', 'todo'])
  })

  test('an undo is retried with backoff; a refused one under a new id, since the old one is answered from a store', () => {
    const run = new Run(two).done('a').refused('b')
    run.wake(2)
    expect(run.open).toEqual(['S:a:undo'])
    run.reply('a', 'a.kept', { error: 'busy' }, 'undo')
    run.wake()
    expect(run.open).toEqual(['S:a:undo2'])
    expect(run.undone('a').status).toBe('COMPENSATED')
  })

  test('at its limit the saga parks with the rest of its plan, and a retry goes on with it', () => {
    const run = new Run(two).done('a', 'b')
    const three = new Run(saga().step('a', both('a')).step('b', both('b')).step('c', both('c')).end())
      .done('a', 'b')
      .refused('c')
      .wake(5)
    expect(run.status).toBe('COMPLETED')
    expect(three.state).toMatchObject({ status: 'PARKED', parked: { step: 'b', from: 'COMPENSATING' } })
    expect([three.open, three.wakeAt]).toEqual([[], null])
    three.act({ kind: 'retry' })
    expect(three.open).toEqual(['S:b:undo'])
    expect(three.undone('b', 'a').status).toBe('COMPENSATED')
  })

  test('the undo sees the step’s own answer and the reason', () => {
    const seen: unknown[] = []
    const one = saga()
      .step('a', { ...both('a'), undoWith: (context) => (seen.push([context.reply, context.reason]), {}) })
      .step('b', both('b'))
      .end()
    new Run(one).done('a').refused('b', 'sold out')
    expect(seen).toContainEqual([{ id: 'a-1' }, 'sold out'])
  })
})

describe('the pivot', () => {
  test('a cancel before it wins', () => {
    const run = new Run(pivoted)
    run.cancel()
    run.done('a').undone('a')
    expect(run.status).toBe('CANCELLED')
  })

  test('a cancel while it is asked waits: done, the cancel has lost and is told so', () => {
    const run = new Run(pivoted).done('a')
    expect(run.cancel()).toMatchObject([{ type: 'CancelRequested', takes: 'pivot' }])
    const events = run.reply('p', 'p.done')
    expect(events).toContainEqual(expect.objectContaining({ type: 'CancelRefused' }))
    expect(run.done('z').status).toBe('COMPLETED')
  })

  test('a cancel while it is asked waits: rejected, the cancel has won', () => {
    const run = new Run(pivoted).done('a')
    run.cancel()
    expect(run.refused('p').undone('a').status).toBe('CANCELLED')
  })

  test('its unknown outcome blocks both ways until it is settled', () => {
    const run = new Run(pivoted).done('a').wake(5)
    expect(run.state.parked).toMatchObject({ step: 'p', from: 'STARTED' })
    expect(run.cancel()).toMatchObject([{ type: 'RequestRefused', by: 'customer', reason: 'changed my mind' }])
    expect(run.done('p').open).toEqual(['S:z:do'])
  })

  test('after it a cancel comes too late', () => {
    const run = new Run(pivoted).done('a', 'p')
    expect(run.cancel()).toMatchObject([
      { type: 'CancelRefused', reason: expect.stringContaining('too late') as string },
    ])
    expect(run.done('z').status).toBe('COMPLETED')
    expect(run.cancel()).toMatchObject([{ type: 'CancelRefused' }])
  })

  test('after it steps are only retried', () => {
    const run = new Run(pivoted).done('a', 'p').wake(40)
    expect([run.status, run.phase('z')]).toEqual(['STARTED', 'asked'])
    const stopping = saga()
      .step('p', both('p'))
      .step('q', { do: ask('q'), with: () => ({}) })
      .pivot()
    const stuck = new Run(
      stopping.step('z', { do: ask('z'), with: () => ({}), onRejected: 'retry', retry: { ...steady, tries: 2 } }).end(),
    )
    stuck.done('p', 'q').refused('z').wake().refused('z')
    expect(stuck.state.parked).toMatchObject({ step: 'z', from: 'STARTED' })
    stuck.act({ kind: 'retry' })
    expect(stuck.open).toEqual(['S:z:do3'])
  })
})

describe('ids are derived', () => {
  test('the same inputs give the same ids and the same history', () => {
    const runs = [1, 2].map(() => new Run(two).wake(2).done('a').refused('b').wake(3))
    expect(runs[0]?.history).toEqual(runs[1]?.history)
    expect(runs[0]?.open).toEqual(runs[1]?.open)
  })

  test('an undo names the command that it undoes', () => {
    const run = new Run(two).done('a').refused('b')
    expect(pending(two, run.state).commands).toMatchObject([{ id: 'S:a:undo', undoes: 'S:a:do', attempt: 1 }])
  })

  test('a retry after a refusal is not a repeat: it has an id of its own', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), onRejected: 'retry' })
        .end(),
    ).refused('a')
    expect(run.phase('a')).toBe('rejected')
    run.wake()
    expect(run.open).toEqual(['S:a:do2'])
    expect(run.done('a').status).toBe('COMPLETED')
  })
})

describe('late, repeated, foreign and unreadable answers', () => {
  test('change nothing and are recorded', () => {
    const run = new Run(two).done('a')
    const before = run.state
    for (const [type, payload, causationId] of [
      ['a.done', { id: 'again' }, 'S:a:do'],
      ['b.done', {}, 'T:b:do'],
      ['nothing.known', {}, undefined],
      ['a.undone', {}, 'S:b:do'],
    ] as const) {
      const events = run.input({ type: 'reply', reply: { type, payload, causationId } })
      expect(events).toMatchObject([{ type: 'ReplyIgnored', reply: type }])
      expect(run.state).toEqual(before)
    }
  })

  test('an answer that cannot be read changes nothing but the reason that is given when nothing else comes', () => {
    const run = new Run(two).done('a')
    expect(run.reply('b', 'b.done', { id: 1 })).toMatchObject([{ type: 'ReplyIgnored', step: 'b' }])
    expect([run.phase('b'), run.open, run.wakeAt]).toEqual(['asked', ['S:b:do'], 1000])
    run.wake()
    expect(stepOf(run.state, 'b')).toMatchObject({
      phase: 'unknown',
      why: expect.stringMatching(/cannot be read: id:/) as string,
    })
    run.wake(2)
    expect(stepOf(run.state, 'b').why).toBe('no answer in time')
  })

  test('a foreign producer without causation is matched by what is outstanding', () => {
    const run = new Run(two)
    run.input({ type: 'reply', reply: { type: 'b.done', payload: {} } })
    expect(run.phase('b')).toBe('todo')
    run.input({ type: 'reply', reply: { type: 'a.done', payload: { id: 'not-a-uuid' } } })
    expect(run.open).toEqual(['S:b:do'])
  })

  test('one type for two meanings: what is outstanding decides', () => {
    const bank = participantContract('bank', { tombstones: true })
    const failed = ['failed', z.looseObject({ error: z.string() })] as const
    const pay = bank.command('pay', { payload: Empty, done: ['paid', Data], rejected: failed })
    const refund = bank.command('refund', {
      payload: Empty,
      done: ['refunded', Empty],
      rejected: failed,
      safeOnNothing: true,
    })
    const run = new Run(
      saga()
        .step('pay', { do: pay, with: () => ({}), undo: refund, undoWith: () => ({}) })
        .step('b', both('b'))
        .end(),
    )
    run.input({ type: 'reply', reply: { type: 'paid', payload: {} } })
    run.refused('b')
    run.input({ type: 'reply', reply: { type: 'failed', payload: { error: 'bank closed' } } })
    expect(run.history.at(-1)).toMatchObject({ type: 'UndoFailed', refused: true, reason: 'bank closed' })
    expect(run.status).toBe('COMPENSATING')
  })

  const blind = saga()
    .step('a', { ...both('a'), do: foreignAsk('a'), onUnknown: 'undo' })
    .end()

  test('a late success of what was undone blind reopens an ended saga where nothing keeps the command out', () => {
    const run = new Run(blind).wake().undone('a')
    expect(run.status).toBe('COMPENSATED')
    run.done('a')
    expect(run.status).toBe('COMPENSATING')
    expect(run.open).toEqual(['S:a:undo2'])
    expect(run.undone('a').status).toBe('COMPENSATED')
  })

  test('a late success while it is being undone blind starts the undo anew with what the answer tells', () => {
    const run = new Run(blind).wake()
    run.done('a')
    expect(run.open).toEqual(['S:a:undo2'])
    expect(stepOf(run.state, 'a').reply).toEqual({ id: 'a-1' })
  })

  test('a late refusal of what is undone blind only confirms it', () => {
    const run = new Run(blind).wake()
    expect(run.reply('a', 'a.refused', { error: 'no' })).toMatchObject([{ type: 'ReplyIgnored' }])
  })

  test('a cancelled saga that is reopened goes back to cancelling', () => {
    const run = new Run(blind)
    run.cancel()
    run.undone('a')
    expect(run.status).toBe('CANCELLED')
    run.done('a')
    expect(run.status).toBe('CANCELLING')
  })

  test('with tombstones the late success tells nothing new', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), onUnknown: 'undo' })
        .end(),
    )
      .wake()
      .undone('a')
      .done('a')
    expect(run.status).toBe('COMPENSATED')
  })

  test('an answer that settles what the saga was parked for takes it on', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), onUnknown: 'park' })
        .end(),
    )
      .wake()
      .done('a')
    expect(run.status).toBe('COMPLETED')
    const undoing = new Run(two).done('a').refused('b').wake(5)
    expect(undoing.status).toBe('PARKED')
    expect(undoing.reply('a', 'a.kept', { error: 'still' }, 'undo')).toMatchObject([{ type: 'ReplyIgnored' }])
    expect(undoing.undone('a').status).toBe('COMPENSATED')
  })

  test('an effect found elsewhere does not hide an undo that is stuck', () => {
    const run = new Run(
      saga()
        .step('a', both('a'))
        .step('b', { ...both('b'), do: foreignAsk('b'), onUnknown: 'undo' })
        .end(),
    )
    run.done('a').wake().undone('b').wake(5)
    expect(run.state.parked?.step).toBe('a')
    run.done('b').undone('b')
    expect(run.state).toMatchObject({ status: 'PARKED', parked: { step: 'a' } })
  })

  test.each([
    [
      'that fails',
      () => {
        throw new Error('bug')
      },
      'bug',
    ],
    ['that keeps what is no JSON', () => ({ at: new Date(0) }), 'what step a keeps.at is a Date'],
  ] as const)('a keep function %s leaves the outcome open', (_what, keep, why) => {
    const run = new Run(
      saga()
        .step('a', { do: ask('a'), keep, with: () => ({}), effect: 'none' })
        .end(),
    )
    expect(run.reply('a', 'a.done')).toMatchObject([
      { type: 'ReplyIgnored', why: expect.stringContaining(why) as string },
    ])
  })

  test('a keep function that keeps nothing is one that keeps undefined', () => {
    const nothing = saga()
      .step('a', { do: ask('a'), keep: () => undefined, with: () => ({}), effect: 'none' })
      .end()
    expect(new Run(nothing).done('a').status).toBe('COMPLETED')
  })

  test('an input that no store gives back as it was is refused', () => {
    const dated = defineSaga('dated', { version: 1, input: z.object({ day: z.coerce.date() }) })
      .step('a', { do: ask('a'), with: () => ({}), effect: 'none' })
      .end()
    expect(readInput(dated, { day: '2026-01-01' })).toEqual({
      ok: false,
      why: expect.stringMatching(/^input.day is a Date, which no store gives back as it was; use plain JSON/) as string,
    })
    expect(readInput(dated, { day: 'x' })).toMatchObject({ ok: false })
  })
})

describe('groups and waits', () => {
  const group = saga()
    .parallel((steps) => steps.step('a', both('a')).step('b', both('b')))
    .step('c', { do: ask('c'), with: ({ replies }) => ({ ids: [replies.a.id, replies.b.id] }), effect: 'none' })
    .end()

  test('members run side by side; the group is left when each is settled', () => {
    const run = new Run(group)
    expect(run.open).toEqual(['S:a:do', 'S:b:do'])
    run.done('b')
    expect(run.open).toEqual(['S:a:do'])
    run.done('a')
    expect(pending(group, run.state).commands).toMatchObject([{ payload: { ids: ['a-1', 'b-1'] } }])
  })

  test('where the payload of one cannot be built none is asked, and all are once it can', () => {
    let broken = true
    const build = (): Record<string, unknown> => {
      if (broken) throw new Error('a mistake')
      return {}
    }
    const run = new Run(
      saga()
        .parallel((steps) =>
          steps
            .step('a', { ...both('a'), onUnknown: 'park' })
            .step('b', { ...both('b'), with: build })
            .step('c', both('c')),
        )
        .end(),
    )
    expect(run.state).toMatchObject({ status: 'PARKED', parked: { step: 'b' }, steps: noSteps })
    broken = false
    run.act({ kind: 'retry' })
    expect(run.open).toEqual(['S:a:do', 'S:b:do', 'S:c:do'])
  })

  test('a member that fails waits for the others before the undo', () => {
    const run = new Run(group).refused('a')
    expect(run.status).toBe('STARTED')
    run.done('b')
    expect([run.status, run.open]).toEqual(['COMPENSATING', ['S:b:undo']])
  })

  const accepted = { type: 'accepted', data: Data }
  const waiting = saga().step('a', both('a')).wait('w', { for: accepted, withinMs: 5000 }).end()

  test('a wait takes its event', () => {
    const run = new Run(waiting).done('a')
    expect([run.open, run.wakeAt]).toEqual([[], 5000])
    run.input({ type: 'reply', reply: { type: 'accepted', payload: 'garbage' } })
    expect(run.phase('w')).toBe('asked')
    run.input({ type: 'reply', reply: { type: 'accepted', payload: { id: 'runner' } } })
    expect([run.status, stepOf(run.state, 'w').reply]).toEqual(['COMPLETED', { id: 'runner' }])
  })

  test('a wait without its event in time is rejected, or left out', () => {
    expect(new Run(waiting).done('a').wake().undone('a').status).toBe('COMPENSATED')
    const optional = saga()
      .step('p', both('p'))
      .step('q', { do: ask('q'), with: () => ({}) })
      .pivot()
    const run = new Run(optional.wait('w', { for: accepted, withinMs: 10, onExhausted: 'continue' }).end())
      .done('p', 'q')
      .wake()
    expect([run.status, run.phase('w')]).toEqual(['COMPLETED', 'skipped'])
  })

  test('a cancel ends a wait', () => {
    const run = new Run(waiting).done('a')
    run.cancel()
    expect(run.undone('a').status).toBe('CANCELLED')
  })
})

test('the version that a saga started with is in its state', () => {
  expect(new Run(defineSaga('s', { version: 3, input: Empty }).step('a', both('a')).end()).state.version).toBe(3)
})

describe('deadlines and backoff', () => {
  test('the saga’s deadline cancels it before the pivot, and is silent after', () => {
    const dated = saga(500)
      .step('a', both('a'))
      .step('p', { do: ask('p'), with: () => ({}) })
      .pivot()
    const run = new Run(dated.step('z', { do: sure('z'), with: () => ({}) }).end())
    expect(run.wakeAt).toBe(500)
    run.now = 500
    run.input({ type: 'time' })
    expect(run.state).toMatchObject({ status: 'CANCELLING', cancel: { by: 'deadline' } })
    const passed = new Run(dated.step('z', { do: sure('z'), with: () => ({}) }).end()).done('a', 'p')
    passed.now = 600
    passed.input({ type: 'time' })
    expect(passed.status).toBe('STARTED')
    const waiting = new Run(dated.step('z', { do: sure('z'), with: () => ({}) }).end()).done('a')
    expect(waiting.wakeAt).toBe(10_000)
    waiting.cancel()
    waiting.now = 600
    waiting.input({ type: 'time' })
    expect(waiting.state.cancel?.by).toBe('customer')
  })

  test('a step’s own deadline ends its tries', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), stepMs: 1050, retry: forever })
        .end(),
    ).wake()
    expect(run.wakeAt).toBe(1050)
    run.wake(2)
    expect(run.status).toBe('COMPENSATING')
    run.wake(1)
    expect(run.wakeAt).toBeGreaterThan(1050)
  })

  test('pauses grow to their cap', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), retry: { ...steady, tries: 9, maxMs: 300 } })
        .end(),
    )
    const pauses = [1, 2, 3, 4].map(() => {
      run.wake()
      const pause = (run.wakeAt ?? 0) - run.now
      run.wake()
      return pause
    })
    expect(pauses).toEqual([100, 200, 300, 300])
  })

  test('a wake-up that nothing waits for changes nothing', () => {
    const run = new Run(two)
    expect(run.input({ type: 'time' })).toEqual([])
    expect(run.done('a', 'b').input({ type: 'time' })).toEqual([])
  })

  test('two steps that are due at once: the first that parks the saga ends the turn', () => {
    const group = saga()
      .parallel((steps) => steps.step('a', { ...both('a'), undoRetry: { ...steady, tries: 1 } }).step('b', both('b')))
      .step('c', both('c'))
      .end()
    const run = new Run(group).done('a', 'b').refused('c').undone('b').wake()
    expect(run.state.parked?.step).toBe('a')
  })
})

describe('starting is idempotent', () => {
  test('a second start changes nothing', () => {
    expect(new Run(two).input({ type: 'start', id: 'S', input: {}, seed: 1 })).toEqual([])
  })
  test('without a start nothing follows', () => {
    expect(decide(two, null, { type: 'time' }, 0)).toEqual([])
    expect(evolve(null, { type: 'SagaCompleted', at: 0 })).toBeNull()
    expect(replay([])).toBeNull()
  })
})

describe('a cancel after completion', () => {
  const completed = (): Run => new Run(late).done('a', 'p', 'z')

  test('asks the named step first and alone; done, the others follow newest first', () => {
    const run = completed()
    run.cancel()
    expect([run.status, run.open]).toEqual(['CANCELLING', ['S:a:undo']])
    run.undone('a')
    expect(run.open).toEqual(['S:z:undo'])
    expect(run.undone('z').status).toBe('CANCELLED')
  })

  test('refused, the saga stays COMPLETED, says why, and may be asked again under a new id', () => {
    const run = completed()
    run.cancel()
    run.reply('a', 'a.kept', { error: 'a runner has it' }, 'undo')
    expect(run.history.at(-1)).toEqual({ type: 'CancelRefused', by: 'customer', reason: 'a runner has it' })
    expect(run.state).toMatchObject({ status: 'COMPLETED', cancel: null })
    run.cancel()
    expect(run.open).toEqual(['S:a:undo2'])
  })

  test('past the pivot, but before completion, it waits for it', () => {
    const run = new Run(late).done('a', 'p')
    expect(run.cancel()).toMatchObject([{ type: 'CancelRequested', takes: 'completion' }])
    expect(run.cancel()).toEqual([])
    expect(run.done('z').open).toEqual(['S:a:undo'])
  })

  test('a pivot that was done while a cancel waited leads on to completion, where it is decided', () => {
    const run = new Run(late).done('a')
    run.cancel()
    run.done('p', 'z')
    expect([run.status, run.open]).toEqual(['CANCELLING', ['S:a:undo']])
  })
})

describe('decided where the documents are silent', () => {
  test('FAILED: it ended and nothing may have taken effect', () => {
    expect(new Run(two).refused('a').state).toMatchObject({ status: 'FAILED', error: { step: 'a', reason: 'no' } })
    const reading = saga()
      .step('r', { do: ask('r'), with: () => ({}), effect: 'none' })
      .step('b', both('b'))
      .end()
    expect(new Run(reading).done('r').refused('b').status).toBe('FAILED')
  })

  test('cancel before the first reply: the command in flight is settled and undone like any other', () => {
    const run = new Run(two)
    run.cancel()
    expect([run.status, run.open]).toEqual(['CANCELLING', ['S:a:do']])
    run.wake(2)
    expect(run.done('a').open).toEqual(['S:a:undo'])
    const refusedRun = new Run(two)
    refusedRun.cancel()
    expect(refusedRun.refused('a').status).toBe('CANCELLED')
  })

  test('cancel of a step in flight that nobody can settle: blind where safe, else a person', () => {
    const run = new Run(two)
    run.cancel()
    run.wake(5)
    expect(run.open).toEqual(['S:a:undo'])
    const unsafe = new Run(
      saga()
        .step('a', { ...both('a'), undo: undo('a', false) })
        .end(),
    )
    unsafe.cancel()
    expect(unsafe.wake(5).state.parked).toMatchObject({ step: 'a', from: 'CANCELLING' })
  })

  test('what only reads, or waits for its retry, is not waited for when the saga turns round', () => {
    const reading = saga()
      .step('a', both('a'))
      .step('r', { do: ask('r'), with: () => ({}), effect: 'none' })
      .end()
    const run = new Run(reading).done('a')
    run.cancel()
    expect([run.phase('r'), run.open]).toEqual(['skipped', ['S:a:undo']])
    const retrying = new Run(
      saga()
        .step('a', { ...both('a'), onRejected: 'retry' })
        .end(),
    ).refused('a')
    retrying.cancel()
    expect([retrying.status, retrying.phase('a')]).toEqual(['CANCELLED', 'rejected'])
  })

  test('a timer that cannot be started is left out, and the saga keeps the time itself', () => {
    const run = new Run(late).done('a', 'p').wake(5)
    expect([run.status, run.phase('z'), run.wakeAt]).toEqual(['COMPLETED', 'skipped', 60_000])
    run.wake()
    expect(run.state).toMatchObject({ status: 'CANCELLING', cancel: { by: 'timer' } })
    run.undone('a')
    expect(run.open).toEqual(['S:z:undo']) // nobody knows whether the timer was started
    expect(run.undone('z').status).toBe('CANCELLED')
  })

  test('a timer that was refused to the end is left out and never undone', () => {
    const run = new Run(late).done('a', 'p')
    run.refused('z').wake().refused('z').wake().refused('z')
    expect([run.status, run.wakeAt]).toEqual(['COMPLETED', 60_000])
    run.wake()
    expect(run.undone('a').status).toBe('CANCELLED')
  })

  test('a refused expiry is not tried again', () => {
    const run = new Run(late).done('a', 'p').wake(6)
    run.reply('a', 'a.kept', { error: 'a runner has it' }, 'undo')
    expect([run.status, run.wakeAt]).toEqual(['COMPLETED', null])
  })

  test('a cancel that is refused before the expiry leaves the expiry: what refused may have changed by then', () => {
    const run = new Run(late).done('a', 'p').wake(5)
    run.cancel()
    run.reply('a', 'a.kept', { error: 'a runner has it' }, 'undo')
    expect([run.status, run.wakeAt]).toEqual(['COMPLETED', 60_000])
    run.wake()
    expect(run.state).toMatchObject({ status: 'CANCELLING', cancel: { by: 'timer' } })
  })

  test('what was left out and answers late keeps its own time: the saga no longer does', () => {
    const run = new Run(late).done('a', 'p').wake(5)
    expect([run.status, run.wakeAt]).toEqual(['COMPLETED', 60_000])
    expect([run.done('z').phase('z'), run.wakeAt]).toEqual(['done', null])
  })

  test('a late success of what was left out is taken in', () => {
    const run = new Run(late).done('a', 'p').wake(5).done('z')
    expect([run.status, run.phase('z')]).toEqual(['COMPLETED', 'done'])
    const refusedLate = new Run(late).done('a', 'p').wake(5)
    expect(refusedLate.reply('z', 'z.refused', { error: 'no' })).toMatchObject([{ type: 'ReplyIgnored' }])
  })

  test('a cancel where it cannot be is refused with the reason', () => {
    const undoing = new Run(two).done('a').refused('b')
    expect(undoing.cancel()).toMatchObject([{ type: 'RequestRefused', why: 'it is COMPENSATING already' }])
    expect(undoing.undone('a').cancel()).toMatchObject([{ type: 'RequestRefused', why: 'it has ended COMPENSATED' }])
  })
})

describe('an operator at a parked saga', () => {
  const parked = (): Run =>
    new Run(
      saga()
        .step('a', both('a'))
        .step('b', { ...both('b'), onUnknown: 'park' })
        .end(),
    )
      .done('a')
      .wake()

  test('retry asks again with fresh tries', () => {
    const run = parked()
    run.act({ kind: 'retry' })
    expect([run.status, run.open]).toEqual(['STARTED', ['S:b:do']])
  })

  test('skip counts the step as undone and undoes the rest', () => {
    const run = parked()
    run.act({ kind: 'skip' })
    expect(run.open).toEqual(['S:a:undo'])
    expect(run.undone('a').state).toMatchObject({ status: 'COMPENSATED', error: { reason: 'ann skipped it: looked' } })
    run.done('b')
    expect([run.status, run.open]).toEqual(['COMPENSATING', ['S:b:undo2']]) // the operator was wrong: it did take effect
  })

  test('skip of a stuck undo goes on with the others', () => {
    const run = new Run(saga().step('a', both('a')).step('b', both('b')).step('c', both('c')).end())
      .done('a', 'b')
      .refused('c')
      .wake(5)
    run.act({ kind: 'skip' })
    expect(run.open).toEqual(['S:a:undo'])
  })

  test('skip after the pivot goes forward', () => {
    const forward = saga()
      .step('p', both('p'))
      .step('q', { do: ask('q'), with: () => ({}) })
      .pivot()
    const run = new Run(forward.step('z', { do: sure('z'), with: () => ({}), onUnknown: 'park', attemptMs: 1 }).end())
      .done('p', 'q')
      .wake()
    run.act({ kind: 'skip' })
    expect(run.status).toBe('COMPLETED')
  })

  test('resolve takes the answer that the operator knows, where it fits the contract', () => {
    const run = parked()
    expect(run.act({ kind: 'resolve', reply: 'x' })).toMatchObject([{ type: 'RequestRefused', by: 'ann' }])
    run.act({ kind: 'resolve', reply: { id: 'found' } })
    expect([run.status, stepOf(run.state, 'b').reply]).toEqual(['COMPLETED', { id: 'found' }])
    const stuck = new Run(two).done('a').refused('b').wake(5)
    expect(stuck.act({ kind: 'resolve', reply: {} })).toMatchObject([{ type: 'RequestRefused' }])
  })

  test('resolve with a keep function that fails is refused', () => {
    const keep = (): never => {
      throw new Error('bug')
    }
    const run = new Run(
      saga()
        .step('a', { do: ask('a'), keep, with: () => ({}), effect: 'none', onUnknown: 'park', attemptMs: 1 })
        .end(),
    ).wake()
    expect(run.act({ kind: 'resolve', reply: {} })).toMatchObject([{ type: 'RequestRefused' }])
  })

  test('give up ends it and names what may be left behind', () => {
    const run = parked()
    run.act({ kind: 'giveUp' })
    expect(run.state).toMatchObject({ status: 'FAILED', leftBehind: ['a', 'b'] })
    expect(run.reply('b', 'b.done')).toMatchObject([{ type: 'ReplyIgnored' }])
    const stuck = new Run(
      saga()
        .step('r', { do: ask('r'), with: () => ({}), effect: 'none' })
        .step('a', both('a'))
        .step('b', both('b'))
        .end(),
    )
    stuck.done('r', 'a').refused('b').wake(5).act({ kind: 'giveUp' })
    expect(stuck.state.leftBehind).toEqual(['a'])
  })

  test('is refused where nothing is parked', () => {
    expect(new Run(two).act({ kind: 'retry' })).toMatchObject([
      { type: 'RequestRefused', request: 'retry', by: 'ann', reason: 'looked' },
    ])
  })
})

describe('a mistake in a definition’s functions', () => {
  const bug = (): never => {
    throw new Error('bug')
  }

  test('a payload that cannot be built parks the saga before the step; a retry tries again', () => {
    const run = new Run(
      saga()
        .step('a', { do: ask('a'), with: bug, effect: 'none' })
        .end(),
    )
    expect(run.state.parked).toMatchObject({ step: 'a', reason: expect.stringContaining('bug') as string })
    expect(run.phase('a')).toBe('todo')
    run.act({ kind: 'retry' })
    expect(run.status).toBe('PARKED')
    run.act({ kind: 'skip' })
    expect(run.status).toBe('FAILED')
  })

  test('an undo payload that cannot be built parks the saga', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), undoWith: bug })
        .step('b', both('b'))
        .end(),
    )
      .done('a')
      .refused('b')
    expect(run.state.parked).toMatchObject({ step: 'a', from: 'COMPENSATING' })
  })

  test('a query whose payload cannot be built parks the saga with the reason', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), query: ask('q'), queryWith: bug, onUnknown: 'query' })
        .end(),
    ).wake(2)
    expect(run.state.parked?.reason).toMatch(/the query payload of step a could not be built: .*bug/)
  })

  test('whatever a payload function throws, the saga parks', () => {
    const run = new Run(
      saga()
        .step('a', {
          do: ask('a'),
          effect: 'none',
          with: () => {
            throw Object.create(null)
          },
        })
        .end(),
    )
    expect(run.state.parked?.reason).toMatch(/something was thrown that has no text/)
  })

  test('a payload that is no JSON parks the saga, and says where', () => {
    const run = new Run(
      saga()
        .step('a', { do: ask('a'), with: () => ({ on: { day: new Date(0) } }), effect: 'none' })
        .end(),
    )
    expect(run.state.parked?.reason).toMatch(/the do payload of step a is no JSON: it.on.day is a Date/)
  })

  test('a payload function runs once for each attempt, whoever asks for the command', () => {
    let built = 0
    const { definition } = new Run(
      saga()
        .step('a', { ...both('a'), with: () => ({ built: ++built }) })
        .end(),
    )
    built = 0
    const commands: Command[] = []
    const { state } = transition(definition, null, { type: 'start', id: 'S', input: {}, seed: 7 }, 0, commands)
    for (let times = 0; times < 2; times += 1)
      expect(pending(definition, state as SagaState, commands).commands).toMatchObject([{ payload: { built: 1 } }])
    const reply = { type: 'a.done', payload: {}, causationId: 'S:a:do' }
    expect(transition(definition, state, { type: 'reply', reply }, 0, commands).state?.status).toBe('COMPLETED')
    expect(built).toBe(1)
  })

  test('a function that fails only after a restart takes nothing down', () => {
    let broken = false
    const run = new Run(
      saga()
        .step('a', { ...both('a'), with: () => (broken ? bug() : {}) })
        .end(),
    )
    broken = true
    const { definition } = run
    const restarted = replay(run.history) as SagaState
    expect(pending(definition, restarted).commands).toEqual([])
    const reply = { type: 'a.done', payload: {}, causationId: 'S:a:do' }
    expect(decide(definition, restarted, { type: 'reply', reply }, 0)).toMatchObject([{ type: 'ReplyIgnored' }])
    const step = definition.steps[0]
    expect(step && buildCommand(definition, restarted, step, 'do')).toMatchObject({ ok: false })
  })

  test('a fault of the host parks the saga where it is; ended or parked ones are left alone', () => {
    const run = new Run(two)
    run.input({ type: 'fault', reason: 'disk' })
    expect(run.state.parked).toMatchObject({ step: 'a', reason: 'disk' })
    expect(run.input({ type: 'fault', reason: 'disk' })).toEqual([])
    run.act({ kind: 'retry' })
    expect(run.open).toEqual(['S:a:do'])
    expect(run.done('a', 'b').input({ type: 'fault', reason: 'disk' })).toEqual([])
    const cancelling = new Run(late).done('a', 'p', 'z')
    cancelling.cancel()
    cancelling.input({ type: 'fault', reason: 'disk' })
    cancelling.act({ kind: 'retry' })
    expect(cancelling.open).toEqual(['S:a:undo'])
  })
})

test('a payload is built from what there is: no reply of a later or unknown step, no reason before there is one', () => {
  const seen: unknown[] = []
  const asks = saga()
    .step('a', {
      ...both('a'),
      with: ({ replies }) => (
        seen.push((replies as Record<string, unknown>)['b'], (replies as Record<string, unknown>)['?']),
        {}
      ),
      undoWith: ({ reason, reply }) => (seen.push(reason, reply), {}),
    })
    .step('b', both('b'))
    .end()
  const run = new Run(asks).done('a', 'b')
  seen.length = 0
  for (const step of asks.steps.slice(0, 1))
    for (const direction of ['do', 'undo'] as const) buildCommand(asks, run.state, step, direction)
  expect(seen).toEqual([undefined, undefined, '', { id: 'a-1' }])
  expect(repliesOf(asks, run.state)['b']).toEqual({ id: 'b-1' })
})

test('an event that does not fit leaves the state as it is', () => {
  const { state, history } = new Run(two)
  expect(evolve(state, { type: 'SagaResumed', by: 'x', reason: '' })).toEqual(state)
  expect(evolve(state, history[0] as Event)).toBe(state)
  expect(evolve(state, { type: 'CancelRefused', by: 'x', reason: '' })).toEqual(state)
})

test('ended or parked, a saga is settled; moving, it is not', () => {
  expect(sagaStatuses.filter(isSettled)).toEqual(['COMPLETED', 'COMPENSATED', 'CANCELLED', 'FAILED', 'PARKED'])
})

test('there are eight statuses', () => expect(new Set(sagaStatuses).size).toBe(8))
