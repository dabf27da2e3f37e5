/** Events from outside: waits that take them, and what follows them. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineSaga } from '../declare/define.ts'
import { stepOf } from './evolve.ts'
import { ask, both, Data, Empty, Run, sure } from './saga.testkit.ts'

const accepted = { type: 'accepted', data: Data }
const saga = () => defineSaga('s', { version: 1, input: Empty })

const event = (run: Run, id: string | undefined, payload: unknown = {}, type = 'accepted') =>
  run.input({ type: 'reply', reply: { type, payload, ...(id === undefined ? {} : { id }) } })

describe('a wait', () => {
  const days = 3 * 86_400_000
  const signUp = saga().step('a', both('a')).wait('w', { for: accepted, withinMs: days }).end()
  const twice = saga()
    .step('a', both('a'))
    .wait('w', { for: accepted, withinMs: days })
    .wait('v', { for: accepted, withinMs: days })
    .end()

  test('takes an event that came before it began', () => {
    const run = new Run(signUp)
    expect(event(run, 'm1', { id: 'early' })).toMatchObject([{ type: 'EventKept' }])
    run.done('a')
    expect([run.status, stepOf(run.state, 'w').reply]).toEqual(['COMPLETED', { id: 'early' }])
    expect(run.state.kept).toEqual([])
  })

  test.each([
    ['before it begins', (run: Run) => run],
    ['when it waits', (run: Run) => run.done('a')],
  ])('is filled once by a message, however often that comes: %s', (_when, begin) => {
    const run = begin(new Run(twice))
    event(run, 'm1', { id: 'x' })
    expect(event(run, 'm1', { id: 'x' })).toMatchObject([{ type: 'ReplyIgnored', repeated: true }])
    if (run.phase('a') !== 'done') run.done('a')
    expect([run.phase('w'), run.phase('v')]).toEqual(['done', 'asked'])
    expect(event(run, 'm1')).toMatchObject([{ type: 'ReplyIgnored', repeated: true }])
    event(run, 'm2', { id: 'y' })
    expect([run.status, stepOf(run.state, 'v').reply]).toEqual(['COMPLETED', { id: 'y' }])
  })

  test('events fill waits in the order of their coming', () => {
    const run = new Run(twice)
    event(run, 'm1', { id: 'x' })
    event(run, 'm2', { id: 'y' })
    run.done('a')
    expect([stepOf(run.state, 'w').reply, stepOf(run.state, 'v').reply]).toEqual([{ id: 'x' }, { id: 'y' }])
  })

  test('members of a group that wait for the same take what was kept, one each', () => {
    const run = new Run(
      saga()
        .step('a', both('a'))
        .parallel((steps) =>
          steps.wait('w', { for: accepted, withinMs: days }).wait('v', { for: accepted, withinMs: days }),
        )
        .end(),
    )
    event(run, 'm1', { id: 'x' })
    run.done('a')
    expect([run.phase('w'), run.phase('v'), run.status]).toEqual(['done', 'asked', 'STARTED'])
    event(run, 'm2', { id: 'y' })
    expect(run.status).toBe('COMPLETED')
  })

  test('no more events are kept than there are waits to come', () => {
    const run = new Run(signUp)
    event(run, 'm1')
    expect(event(run, 'm2')).toMatchObject([{ type: 'ReplyIgnored', why: 'no step waits for it any more' }])
    expect(run.state.kept).toHaveLength(1)
  })

  test('an event with a bad payload is refused with the reason, which is told when no other comes', () => {
    const run = new Run(signUp)
    expect(event(run, 'm1', 7)).toMatchObject([
      { type: 'ReplyIgnored', why: expect.stringContaining('cannot be read') as string },
    ])
    run.done('a')
    event(run, 'm2', 7)
    run.wake()
    expect(run.state.error?.reason).toContain('cannot be read')
  })

  test('an event for a saga that is undone or has ended is refused with the reason', () => {
    const run = new Run(signUp).refused('a')
    expect(event(run, 'm1')).toMatchObject([{ type: 'ReplyIgnored', why: 'the saga has ended FAILED' }])
    const undoing = new Run(signUp).done('a')
    undoing.cancel()
    expect(event(undoing, 'm1')).toMatchObject([{ type: 'ReplyIgnored', why: 'no step waits for it any more' }])
  })

  test('an event whose schema gives what is no JSON is refused, since it would be another after a restart', () => {
    const dated = { type: 'dated', data: z.object({ on: z.coerce.date() }) }
    const run = new Run(saga().wait('w', { for: dated, withinMs: days }).end())
    expect(event(run, 'm1', { on: '2026-01-01' }, 'dated')).toMatchObject([
      { type: 'ReplyIgnored', step: 'w', why: expect.stringMatching(/it.on is a Date/) as string },
    ])
  })

  test('an event that names the command it came with is taken all the same', () => {
    const run = new Run(signUp)
    const reply = { type: 'accepted', payload: { id: 'x' }, id: 'm1', causationId: 'S:a:do' }
    expect(run.input({ type: 'reply', reply })).toMatchObject([{ type: 'EventKept' }])
    expect(run.done('a').status).toBe('COMPLETED')
  })

  test('an event without an id of its own counts each time', () => {
    const run = new Run(twice)
    event(run, undefined)
    event(run, undefined)
    expect(run.done('a').status).toBe('COMPLETED')
  })
})

describe('what follows an event', () => {
  const expired = { type: 'expired', data: Empty }
  const free = { type: 'free', data: Empty }
  const order = saga()
    .step('create', both('create'))
    .step('confirm', { do: ask('confirm'), with: () => ({}) })
    .pivot()
    .step('timer', { do: sure('timer'), with: ({ since }) => ({ until: since + 1000 }) })
    .end({
      cancelDecidedBy: 'create',
      follows: [
        { event: expired, reaction: 'cancel', by: 'timer', reason: 'nobody came' },
        { event: free, reaction: 'ask', step: 'timer', withinMs: 1000, by: 'timer', reason: 'nobody came' },
      ],
    })
  const completed = () => new Run(order).done('create', 'confirm', 'timer')

  test('a cancel after completion, decided as any other', () => {
    const run = completed()
    event(run, 'm1', {}, 'expired')
    expect([run.status, run.open]).toEqual(['CANCELLING', ['S:create:undo']])
    expect(run.state.cancel).toMatchObject({ by: 'timer', reason: 'nobody came' })
    run.reply('create', 'create.kept', { error: 'a runner has it' }, 'undo')
    expect(run.status).toBe('COMPLETED')
    expect(event(run, 'm1', {}, 'expired')).toMatchObject([{ type: 'ReplyIgnored', repeated: true }])
    event(run, 'm2', {}, 'expired')
    expect(run.undone('create').status).toBe('CANCELLED')
  })

  test('a step is asked again under a new id, from when it was first asked, and the saga completes again', () => {
    const run = completed()
    run.now = 500
    event(run, 'm1', {}, 'free')
    expect([run.status, run.open]).toEqual(['STARTED', ['S:timer:do2']])
    expect(run.commands()).toMatchObject([{ payload: { until: 1000 } }])
    expect(run.done('timer').status).toBe('COMPLETED')
  })

  test('too late for that, it cancels', () => {
    const run = completed()
    run.now = 1000
    event(run, 'm1', {}, 'free')
    expect([run.status, run.open]).toEqual(['CANCELLING', ['S:create:undo']])
  })

  test('an event that comes while a cancel is decided has its turn when that is refused', () => {
    const run = completed()
    event(run, 'm1', {}, 'expired')
    expect(event(run, 'm2', {}, 'free')).toMatchObject([{ type: 'EventKept' }])
    run.now = 500
    run.reply('create', 'create.kept', { error: 'a runner has it' }, 'undo')
    expect([run.status, run.open]).toEqual(['STARTED', ['S:timer:do2']])
    expect(run.state.kept).toEqual([])
  })

  test('an event that comes before the saga is complete has its turn then', () => {
    const run = new Run(order).done('create', 'confirm')
    event(run, 'm1', {}, 'free')
    run.done('timer')
    expect([run.status, run.open]).toEqual(['STARTED', ['S:timer:do2']])
  })

  test('a cancel that comes while another is decided has its turn when that is refused', () => {
    const run = completed()
    run.cancel()
    expect(event(run, 'm1', {}, 'expired')).toMatchObject([{ type: 'EventKept' }])
    run.reply('create', 'create.kept', { error: 'a runner has it' }, 'undo')
    expect([run.status, run.state.cancel?.by, run.open]).toEqual(['CANCELLING', 'timer', ['S:create:undo2']])
  })

  test('events of other types under one id are other events', () => {
    const run = completed()
    event(run, 'm1', {}, 'free')
    run.done('timer')
    event(run, 'm1', {}, 'expired')
    expect(run.status).toBe('CANCELLING')
  })

  test('a cancel for a parked saga waits until somebody has looked at it', () => {
    const run = new Run(order)
    run.input({ type: 'fault', reason: 'disk' })
    expect(event(run, 'm1', {}, 'expired')).toMatchObject([{ type: 'EventKept' }])
    run.act({ kind: 'retry' })
    expect(run.status).toBe('CANCELLING')
  })

  test('a flood of events is not kept', () => {
    const run = new Run(order)
    for (let each = 0; each < 40; each++) event(run, `m${each}`, {}, 'free')
    expect(run.state.kept).toHaveLength(32)
    expect(run.history.at(-1)).toMatchObject({ type: 'ReplyIgnored', why: '32 events of free wait already' })
  })
})
