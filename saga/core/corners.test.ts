/** What hosts and declarations may give that is rare, or wrong. */
import { describe, expect, test } from 'vitest'
import type { Action } from './act.ts'
import type { EventContract, Schema } from './contract.ts'
import { participantContract } from '../declare/contract.ts'
import { defineSaga } from '../declare/define.ts'
import { decide } from './decide.ts'
import type { StepDefinition } from './definition.ts'
import { evolve, openSteps } from './evolve.ts'
import { buildCommand, pending, repliesIn, type Command } from './pending.ts'
import { seedOf } from './seed.ts'
import { ask, both, Data, Empty, Run } from './saga.testkit.ts'

const saga = () => defineSaga('s', { version: 1, input: Empty })
const shop = participantContract('shop', { tombstones: true })
const two = saga().step('a', both('a')).step('b', both('b')).end()
const tell = shop.notice('tell', { payload: Empty })

const told = saga()
  .step('a', both('a'))
  .step('b', { do: ask('b'), with: () => ({}) })
  .pivot()
  .step('tell', { do: tell, with: () => ({}) })
  .end({ follows: [{ event: { type: 'gone', data: Data }, reaction: 'cancel', by: 'x', reason: 'y' }] })

describe('that a command was taken', () => {
  const sent = (run: Run, commandId: string) => run.input({ type: 'sent', commandId })

  test('completes a step that nobody answers, once', () => {
    const run = new Run(told).done('a', 'b')
    expect(run.open).toEqual(['S:tell:do'])
    sent(run, 'S:tell:do')
    expect(run.status).toBe('COMPLETED')
    expect(sent(run, 'S:tell:do')).toEqual([])
  })

  test('undoes a step whose undo nobody answers', () => {
    const run = new Run(
      saga()
        .step('a', { ...both('a'), undo: tell })
        .step('b', both('b'))
        .end(),
    )
      .done('a')
      .refused('b')
    sent(run, 'S:a:undo')
    expect(run.status).toBe('COMPENSATED')
  })

  test('says nothing once more while the next is outstanding', () => {
    const run = new Run(
      saga()
        .step('b', { do: ask('b'), with: () => ({}) })
        .pivot()
        .step('tell', { do: tell, with: () => ({}) })
        .step('again', { do: tell, with: () => ({}) })
        .end(),
    ).done('b')
    sent(run, 'S:tell:do')
    expect(run.open).toEqual(['S:again:do'])
    expect(sent(run, 'S:tell:do')).toEqual([])
  })

  test.each(['S:a:do', 'S:nobody:do', 'S:tell:do', 'S:tell:do7', ''])('says nothing of %j', (commandId) => {
    expect(sent(new Run(told), commandId)).toEqual([])
  })
})

test('nothing is an answer to a command that nobody answers', () => {
  const run = new Run(told).done('a', 'b')
  expect(run.reply('tell', '')).toMatchObject([{ type: 'ReplyIgnored' }])
  expect([tell.verdict(null, {}), tell.belongs({ type: '', payload: null }, {})]).toEqual([null, false])
})

test('an event without an id of its own has its consequence, and is not remembered', () => {
  const run = new Run(told)
  run.input({ type: 'reply', reply: { type: 'gone', payload: {} } })
  expect([run.status, run.state.followed]).toEqual(['CANCELLING', undefined])
})

test('an event that cancels says nothing more to a saga that already undoes itself', () => {
  const run = new Run(told).done('a').refused('b')
  const before = run.status
  expect(run.input({ type: 'reply', reply: { type: 'gone', payload: {} } })).toMatchObject([{ type: 'EventFollowed' }])
  expect([before, run.status]).toEqual(['COMPENSATING', 'COMPENSATING'])
})

test('an action that does not exist is refused with those that do', () => {
  const run = new Run(told)
  run.input({ type: 'fault', reason: 'disk' })
  expect(run.act({ kind: 'rettry' } as unknown as Action)).toMatchObject([
    { type: 'RequestRefused', why: 'there is no such action; use retry, skip, resolve, giveUp' },
  ])
})

describe('what an earlier build has kept', () => {
  test('names no structure', () => {
    const started = { type: 'SagaStarted', id: 'S', definition: 's', version: 1, seed: 1, input: {}, at: 0 } as const
    expect(evolve(null, { ...started, deadline: null })).not.toHaveProperty('structure')
  })

  test('does not say which steps are open', () => {
    const { state } = new Run(told)
    const { open, ...without } = state
    expect(openSteps(without)).toEqual(open)
  })
})

describe('a declaration is refused', () => {
  test.each<[string, () => unknown, RegExp]>([
    [
      'of a wait for nothing',
      () =>
        saga()
          .wait('w', { for: {} as EventContract, withinMs: 1 })
          .end(),
      /it waits for no event/,
    ],
    [
      'of a step that need not be answered although others need its answer',
      () =>
        saga()
          .step('a', {
            do: shop.command('do_a', { payload: Empty, done: ['a.done', Data], answered: false }),
            with: () => ({}),
            effect: 'none',
          })
          .end(),
      /declare it with \.notice\(\)/,
    ],
    [
      'of a part that a refusal leaves behind and nothing would undo',
      () =>
        saga()
          .step('a', { do: { ...ask('a'), rejectedInPart: true }, with: () => ({}) })
          .pivot()
          .end(),
      /give it an undo that is safe where nothing was done/,
    ],
    [
      'of a part that each repeat would leave behind, at one who keeps nothing by its id',
      () =>
        saga()
          .step('a', { ...both('a'), do: { ...ask('a'), rejectedInPart: true, tombstones: false } })
          .end(),
      /so it is asked once/,
    ],
    [
      'of an event that would cancel what cannot be cancelled',
      () =>
        saga()
          .step('b', { do: ask('b'), with: () => ({}) })
          .pivot()
          .step('tell', { do: tell, with: () => ({}) })
          .end({
            follows: [
              {
                event: { type: 'free', data: Data },
                reaction: 'ask',
                step: 'tell',
                withinMs: 1,
                by: 'x',
                reason: 'y',
              },
            ],
          }),
      /would cancel after completion/,
    ],
    ['of a participant without a name', () => participantContract(''), /must be a text that is not empty; it is ""/],
    [
      'of a participant whose name is no text at all',
      () => participantContract(undefined as unknown as string),
      /it is undefined/,
    ],
    [
      'of a payload without a schema',
      () => shop.notice('tell', { payload: {} as Schema<unknown> }),
      /a schema of tell is none/,
    ],
  ])('%s', (_what, declare, why) => {
    expect(declare).toThrow(why)
  })
})

test('a state that an earlier build kept, without the names of what is outstanding, goes on', () => {
  const run = new Run(two).done('a')
  const { open: _open, ...earlier } = run.state
  expect(pending(two, earlier)).toEqual(pending(two, run.state))
  const cancel = { type: 'cancel', by: 'ann', reason: 'no' } as const
  expect(decide(two, earlier, cancel, 0)).toEqual(decide(two, run.state, cancel, 0))
})

test('what the steps of a saga have kept is read by name', () => {
  const run = new Run(two).done('a')
  expect(repliesIn(run.state)).toEqual({ a: { id: 'a-1' } })
})

test('a seed follows from any id', () => {
  expect(seedOf('x')).toBe(seedOf('x'))
  expect(seedOf('x')).not.toBe(seedOf('y'))
  expect(seedOf('')).toBeGreaterThan(0)
})

test('a saga of more steps than one object holds keeps each', () => {
  const names = Array.from({ length: 60 }, (_, index) => `s${index}`)
  const long = names
    .reduce(
      (builder, name) => builder.step(name, { ...both('a'), do: ask(name) }) as typeof builder,
      defineSaga('s', { version: 1, input: Empty }),
    )
    .end()
  const run = new Run(long).done(...names)
  expect([run.status, Object.keys(repliesIn(run.state)).length, run.phase('s59'), run.phase('none')]).toEqual([
    'COMPLETED',
    60,
    'done',
    'todo',
  ])
})

test('an attempt of a command that is known is told with its number', () => {
  const run = new Run(two).wake(2)
  const [command] = run.commands()
  const known = [{ ...(command as Command), attempt: 1 }]
  expect(buildCommand(two, run.state, two.steps[0] as StepDefinition, 'do', known)).toEqual({ ok: true, command })
  expect(buildCommand(two, run.state, two.steps[0] as StepDefinition, 'do', [command as Command])).toEqual({
    ok: true,
    command,
  })
})
