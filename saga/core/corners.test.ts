/** What hosts and declarations may give that is rare, or wrong. */
import { describe, expect, test } from 'vitest'
import type { Action } from './act.ts'
import type { EventContract, Schema } from './contract.ts'
import { participantContract } from '../declare/contract.ts'
import { defineSaga } from '../declare/define.ts'
import { evolve, openSteps } from './evolve.ts'
import { ask, both, Data, Empty, Run } from './saga.testkit.ts'

const saga = () => defineSaga('s', { version: 1, input: Empty })
const shop = participantContract('shop', { tombstones: true })
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
