/** What the checker found: stories of few steps that once ended with something left behind. */
import { describe, expect, test } from 'vitest'
import { defineSaga } from '../declare/define.ts'
import { ask, both, Data, Empty, Run, steady, undo } from './saga.testkit.ts'

const again = { type: 'again', data: Data }

/** `timer` may be left out, and an event has it asked again after the end. */
const order = defineSaga('s', { version: 1, input: Empty })
  .step('create', { do: ask('create'), with: () => ({}), undo: undo('create'), undoWith: () => ({}) })
  .step('confirm', { do: ask('confirm'), with: () => ({}) })
  .pivot()
  .step('timer', {
    do: ask('timer'),
    with: () => ({}),
    undo: undo('timer'),
    undoWith: () => ({}),
    onRejected: 'retry',
    onExhausted: 'continue',
    retry: { ...steady, tries: 1 },
  })
  .end({
    cancelDecidedBy: 'create',
    follows: [{ event: again, reaction: 'ask', step: 'timer', by: 'x', reason: 'y' }],
  })

const askedAgain = (run: Run): Run => {
  run.input({ type: 'reply', reply: { type: 'again', payload: {}, id: 'm1' } })
  return run
}

/** `timer` is never left out: it parks. */
const firm = defineSaga('s', { version: 1, input: Empty })
  .step('confirm', { do: ask('confirm'), with: () => ({}) })
  .pivot()
  .step('timer', { do: ask('timer'), with: () => ({}), onRejected: 'retry', retry: { ...steady, tries: 1 } })
  .end({ follows: [{ event: again, reaction: 'ask', step: 'timer', by: 'x', reason: 'y' }] })

describe('a step that is asked again because of an event', () => {
  test('after it was done is undone although it was then refused: the first time may still be in effect', () => {
    const run = askedAgain(new Run(order).done('create', 'confirm', 'timer')).refused('timer')
    expect([run.status, run.phase('timer')]).toEqual(['COMPLETED', 'skipped'])
    run.cancel()
    expect(run.undone('create').open).toEqual(['S:timer:undo'])
    expect(run.undone('timer').status).toBe('CANCELLED')
  })

  test('with unknown outcome is asked under its id, so that the undo keeps a late command out', () => {
    const run = new Run(order).done('create', 'confirm').wake()
    expect([run.status, run.phase('timer')]).toEqual(['COMPLETED', 'skipped'])
    expect(askedAgain(run).open).toEqual(['S:timer:do'])
    run.done('timer').cancel()
    expect(run.undone('create').open).toEqual(['S:timer:undo'])
    expect(run.commands()).toMatchObject([{ undoes: 'S:timer:do' }])
  })
})

test('who gives up a step that was refused when asked again is told of the first time', () => {
  const run = askedAgain(new Run(firm).done('confirm', 'timer')).refused('timer')
  expect(run.status).toBe('PARKED')
  run.act({ kind: 'giveUp' })
  expect([run.status, run.state.leftBehind]).toEqual(['FAILED', ['confirm', 'timer']])
})

test('a step that was only ever refused needs no undo', () => {
  const run = askedAgain(new Run(order).done('create', 'confirm').refused('timer')).refused('timer')
  run.cancel()
  expect(run.undone('create').status).toBe('CANCELLED')
})

test('a refusal proves nothing of one who names no command, once an operator has had it sent again', () => {
  const run = new Run(defineSaga('s', { version: 1, input: Empty }).step('a', both('a')).end()).wake()
  run.input({ type: 'fault', reason: 'disk' })
  run.act({ kind: 'retry' })
  const says = (type: string, payload: object) => run.input({ type: 'reply', reply: { type, payload } })
  says('a.refused', { error: 'there is one already' })
  expect(run.status).toBe('FAILED')
  says('a.done', { id: 'a-1' })
  expect([run.status, run.open]).toEqual(['COMPENSATING', ['S:a:undo2']])
})
