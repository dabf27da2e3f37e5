/** Participants of others: no causation ids, no dedupe, no tombstones, whatever their contract says. */
import { describe, expect, test } from 'vitest'
import { defineSaga } from './define.ts'
import { both, Empty, Run } from './saga.testkit.ts'
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
