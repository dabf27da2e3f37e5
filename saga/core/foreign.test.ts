/** Participants of others: no causation ids, no dedupe, no tombstones, whatever their contract says. */
import { describe, expect, test } from 'vitest'
import { defineSaga } from '../declare/define.ts'
import type { CommandContract } from './contract.ts'
import { ask, both, Empty, Run, steady } from './saga.testkit.ts'
import { stepOf } from './evolve.ts'

const order = defineSaga('s', { version: 1, input: Empty }).step('a', both('a')).step('b', both('b')).end()

/** Says something as one does who does not know the ids of commands. */
const says = (run: Run, type: string, payload: unknown = {}) => run.input({ type: 'reply', reply: { type, payload } })

/** `a` was given up without an answer and is undone blind. */
const undoneBlind = () => new Run(order).wake(5)

describe('a late success of one who does not name its command', () => {
  test('reopens the undo after its end, with the ids that it tells', () => {
    const run = undoneBlind()
    says(run, 'a.undone')
    expect(run.status).toBe('COMPENSATED')
    expect(says(run, 'a.done', { id: 'o-1' })).toMatchObject([
      { type: 'EffectFound' },
      { type: 'UndoAsked', blind: false },
    ])
    expect([run.status, run.open, stepOf(run.state, 'a').reply]).toEqual(['COMPENSATING', ['S:a:undo2'], { id: 'o-1' }])
    says(run, 'a.undone')
    expect(run.status).toBe('COMPENSATED')
  })

  test('begins the undo anew while a blind one is under way', () => {
    const run = undoneBlind()
    says(run, 'a.done', { id: 'o-1' })
    expect(run.open).toEqual(['S:a:undo2'])
  })

  test('after a cancel goes back to cancelling', () => {
    const run = new Run(order)
    run.cancel()
    run.wake(5)
    says(run, 'a.undone')
    expect(run.status).toBe('CANCELLED')
    says(run, 'a.done', { id: 'o-1' })
    expect(run.status).toBe('CANCELLING')
  })

  test('each further success, of a command that was repeated, is undone too, one after the other', () => {
    const run = undoneBlind()
    says(run, 'a.done', { id: 'o-1' })
    says(run, 'a.done', { id: 'o-2' })
    expect(run.open).toEqual(['S:a:undo2'])
    says(run, 'a.undone')
    expect([run.open, stepOf(run.state, 'a').reply]).toEqual([['S:a:undo3'], { id: 'o-2' }])
    says(run, 'a.undone')
    expect(run.status).toBe('COMPENSATED')
    says(run, 'a.done', { id: 'o-3' })
    expect([run.status, stepOf(run.state, 'a').reply]).toEqual(['COMPENSATING', { id: 'o-3' }])
  })

  test('that comes twice is undone once', () => {
    const run = undoneBlind()
    says(run, 'a.done', { id: 'o-1' })
    expect(says(run, 'a.done', { id: 'o-1' })).toMatchObject([{ type: 'ReplyIgnored', repeated: true }])
    says(run, 'a.undone')
    expect(says(run, 'a.done', { id: 'o-1' })).toMatchObject([{ type: 'ReplyIgnored', repeated: true }])
    expect(run.status).toBe('COMPENSATED')
  })

  test('after a refusal of a repeat shows that the first try had its effect', () => {
    const run = new Run(order).wake(2)
    says(run, 'a.refused', { error: 'there is such an order already' })
    expect(run.status).toBe('FAILED')
    says(run, 'a.done', { id: 'o-1' })
    expect([run.status, run.open]).toEqual(['COMPENSATING', ['S:a:undo2']])
  })

  test('without end is stopped at some point', () => {
    const run = undoneBlind()
    for (let each = 0; each < 40; each++) says(run, 'a.done', { id: `o-${each}` })
    expect(stepOf(run.state, 'a').found?.replies).toHaveLength(32)
  })
})

describe('what may be refused in part', () => {
  const parts = defineSaga('s', { version: 1, input: Empty })
    .step('a', { ...both('a'), do: { ...ask('a'), rejectedInPart: true }, onUnknown: 'undo' })
    .step('b', both('b'))
    .end()

  test('is undone when it was refused, and the refusal stays the reason', () => {
    const run = new Run(parts)
    expect(says(run, 'a.refused', { error: 'the second is sold out' })).toMatchObject([
      { type: 'StepRejected' },
      { type: 'CompensationStarted', step: 'a', reason: 'the second is sold out' },
      { type: 'UndoAsked', step: 'a', blind: true },
    ])
    says(run, 'a.undone')
    expect([run.status, run.state.error]).toEqual(['COMPENSATED', { step: 'a', reason: 'the second is sold out' }])
  })

  test('is undone again when it was refused late, once', () => {
    const run = new Run(parts).wake(1)
    says(run, 'a.undone')
    expect(run.status).toBe('COMPENSATED')
    says(run, 'a.refused', { error: 'the second is sold out' })
    expect([run.status, run.open, stepOf(run.state, 'a').reply]).toEqual(['COMPENSATING', ['S:a:undo2'], undefined])
    says(run, 'a.undone')
    expect(says(run, 'a.refused', { error: 'the second is sold out' })).toMatchObject([{ type: 'ReplyIgnored' }])
    expect(run.status).toBe('COMPENSATED')
  })

  test('by one who names its command is refused for good', () => {
    const run = new Run(parts).wake(1)
    run.input({ type: 'reply', reply: { type: 'a.undone', payload: {}, causationId: 'S:a:undo' } })
    run.input({ type: 'reply', reply: { type: 'a.refused', payload: { error: 'no' }, causationId: 'S:a:do' } })
    expect(run.status).toBe('COMPENSATED')
  })

  test('is undone when its refusal comes after an operator has left it out, whoever answers', () => {
    const run = new Run(parts)
    run.input({ type: 'fault', reason: 'no memory' })
    run.act({ kind: 'skip' })
    expect(run.status).toBe('COMPENSATED')
    run.input({ type: 'reply', reply: { type: 'a.refused', payload: { error: 'no' }, causationId: 'S:a:do' } })
    expect([run.status, run.open]).toEqual(['COMPENSATING', ['S:a:undo2']])
  })

  test('may be the pivot, which is then repeated where it keeps its answers, and undone when it is refused', () => {
    const pivot = defineSaga('s', { version: 1, input: Empty })
      .step('a', both('a'))
      .step('b', { ...both('b'), do: { ...ask('b'), rejectedInPart: true } })
      .pivot()
      .end()
    const run = new Run(pivot)
    says(run, 'a.done', { id: 'a-1' })
    says(run, 'b.refused', { error: 'no account' })
    expect(run.open).toEqual(['S:b:undo'])
    says(run, 'b.undone')
    expect(run.open).toEqual(['S:a:undo'])
  })

  test('is left behind as far as anybody knows when it is given up before that', () => {
    const run = new Run(parts)
    says(run, 'a.refused', { error: 'no' })
    run.wake(5)
    run.act({ kind: 'giveUp' })
    expect([run.status, run.state.leftBehind]).toEqual(['FAILED', ['a']])
  })
})

test('while the undo of one success is stuck another is kept for later', () => {
  const run = undoneBlind()
  says(run, 'a.done', { id: 'o-1' })
  run.wake(5)
  expect(run.status).toBe('PARKED')
  says(run, 'a.done', { id: 'o-2' })
  expect(run.status).toBe('PARKED')
  run.act({ kind: 'retry' })
  says(run, 'a.undone')
  expect(stepOf(run.state, 'a')).toMatchObject({ phase: 'undoing', reply: { id: 'o-2' } })
})

test('one of ours, which names its command, has kept the late command out: its success is a repeat', () => {
  const run = undoneBlind().undone('a')
  expect(run.done('a').status).toBe('COMPENSATED')
})

test('a refusal of the only try is final, also from one who names nothing', () => {
  const run = new Run(order)
  says(run, 'a.refused', { error: 'no' })
  expect(says(run, 'a.done', { id: 'o-1' })).toMatchObject([{ type: 'ReplyIgnored' }])
})

describe('commands that were sent more than once to one who does not name them', () => {
  test('may have had one more effect: a second success is undone with the first', () => {
    const run = new Run(order).wake(2)
    says(run, 'a.done', { id: 'o-1' })
    expect(says(run, 'a.done', { id: 'o-2' })).toMatchObject([{ type: 'EffectRepeated', reply: { id: 'o-2' } }])
    expect(says(run, 'a.done', { id: 'o-2' })).toMatchObject([{ type: 'ReplyIgnored', repeated: true }])
    run.refused('b')
    expect(stepOf(run.state, 'a').reply).toEqual({ id: 'o-1' })
    says(run, 'a.undone')
    expect([run.open, stepOf(run.state, 'a').reply]).toEqual([['S:a:undo2'], { id: 'o-2' }])
    says(run, 'a.undone')
    expect(run.status).toBe('COMPENSATED')
  })

  test('a second success after the undo of the first is undone too', () => {
    const run = new Run(order).wake(2)
    says(run, 'a.done', { id: 'o-1' })
    run.refused('b')
    says(run, 'a.undone')
    expect(run.status).toBe('COMPENSATED')
    says(run, 'a.done', { id: 'o-2' })
    expect([run.status, stepOf(run.state, 'a').reply]).toEqual(['COMPENSATING', { id: 'o-2' }])
  })

  test('a pivot without undo that is refused when repeated parks: the first try may have been obeyed', () => {
    const pivotal = defineSaga('s', { version: 1, input: Empty })
      .step('a', both('a'))
      .step('pay', { do: ask('pay'), with: () => ({}), retry: steady, attemptMs: 1000 })
      .pivot()
      .end()
    const run = new Run(pivotal).done('a').wake(2)
    says(run, 'pay.refused', { error: 'duplicate' })
    expect(run.state.parked).toMatchObject({ step: 'pay', reason: 'it was refused when it was repeated: duplicate' })
    says(run, 'pay.done')
    expect(run.status).toBe('COMPLETED')
  })

  test('a success after such a refusal is taken while the saga still goes forward', () => {
    const retried = defineSaga('s', { version: 1, input: Empty })
      .step('a', { ...both('a'), onRejected: 'retry' })
      .end()
    const run = new Run(retried).wake(2)
    says(run, 'a.refused', { error: 'duplicate' })
    says(run, 'a.done', { id: 'o-1' })
    expect([run.status, run.open]).toEqual(['COMPLETED', []])
    const group = defineSaga('s', { version: 1, input: Empty })
      .parallel((steps) => steps.step('a', both('a')).step('b', both('b')))
      .end()
    const beside = new Run(group).wake(2)
    says(beside, 'a.refused', { error: 'duplicate' })
    says(beside, 'a.done', { id: 'o-1' })
    expect(beside.done('b').status).toBe('COMPLETED')
  })
})

test('a success that contradicts an operator, of a step that nothing undoes, is recorded as what it is', () => {
  const pivotal = defineSaga('s', { version: 1, input: Empty })
    .step('pay', { do: ask('pay'), with: () => ({}), retry: steady, attemptMs: 1000 })
    .pivot()
    .end()
  const run = new Run(pivotal).wake(5)
  run.act({ kind: 'skip' })
  expect(run.done('pay').history.at(-1)).toMatchObject({ type: 'ReplyIgnored', contradicts: 'pay' })
})

describe('steps that are refused by one type, for one who does not name commands', () => {
  const shared = (x: string): CommandContract => ({ ...ask(x), rejected: ask('any').rejected })
  const pivotal = defineSaga('s', { version: 1, input: Empty })
    .step('a', { ...both('a'), do: shared('a') })
    .step('b', { ...both('b'), do: shared('b') })
    .step('pay', { do: shared('pay'), with: () => ({}), retry: steady, attemptMs: 1000 })
    .pivot()
    .step('tell', { do: shared('tell'), with: () => ({}), retry: steady, onRejected: 'retry' })
    .end()
  /** `a` was asked for twice and done: its second try may yet be refused. */
  const twice = (): Run => {
    const run = new Run(pivotal).wake(2)
    says(run, 'a.done', { id: 'a-1' })
    return run
  }

  test('a refusal is of the step that waits for one, not of one that is done', () => {
    const run = new Run(pivotal).done('a')
    says(run, 'any.refused', { error: 'no' })
    expect([run.phase('b'), run.open]).toEqual(['rejected', ['S:a:undo']])
  })

  test('a refusal that may be of the repeat of a step before leaves it unknown: it is undone blind', () => {
    const run = twice()
    says(run, 'any.refused', { error: 'no' })
    expect([run.status, run.phase('b'), run.open]).toEqual(['COMPENSATING', 'undoing', ['S:b:undo']])
    says(run, 'b.undone')
    says(run, 'a.undone')
    expect([run.status, run.state.error?.reason]).toEqual([
      'COMPENSATED',
      'it was refused, or a repeat of a step before it: no',
    ])
  })

  test('a pivot that may have been obeyed parks, and its answer settles it', () => {
    const run = twice().done('b')
    says(run, 'any.refused', { error: 'no' })
    expect(run.state.parked).toMatchObject({ step: 'pay', reason: expect.stringContaining('no') as string })
    says(run, 'pay.done')
    expect([run.status, run.open]).toEqual(['STARTED', ['S:tell:do']])
  })

  test('one that is asked again after a refusal is asked again', () => {
    const run = twice().done('b', 'pay')
    says(run, 'any.refused', { error: 'no' })
    run.wake()
    expect([run.status, run.open]).toEqual(['STARTED', ['S:tell:do2']])
  })

  test('a refusal where nothing waits for one changes nothing', () => {
    const run = twice().done('b', 'pay', 'tell')
    expect(says(run, 'any.refused', { error: 'no' })).toMatchObject([{ type: 'ReplyIgnored' }])
    expect(run.status).toBe('COMPLETED')
  })
})
