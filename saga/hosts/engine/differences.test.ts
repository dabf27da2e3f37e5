import { describe, expect, test } from 'vitest'
import { defineSaga } from '../../declare/define.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import { ask, both, Data, Empty, steady, undo } from '../../core/saga.testkit.ts'
import { structureOf } from '../../declare/structure.ts'
import { differences } from './differences.ts'

const saga = () => defineSaga('s', { version: 1, input: Empty })
const two = saga().step('a', both('a')).step('b', both('b')).end()

const told = (before: SagaDefinition, after: SagaDefinition): string =>
  differences(structureOf(before), structureOf(after)).join('. ')

describe('another structure is told in words', () => {
  test.each<readonly [string, SagaDefinition, string]>([
    [
      'a step renamed',
      saga()
        .step('a', both('a'))
        .step('c', { ...both('b') })
        .end(),
      'step b is gone. step c is new',
    ],
    ['a step removed', saga().step('a', both('a')).end(), 'step b is gone'],
    ['a step inserted', saga().step('a', both('a')).step('n', both('n')).step('b', both('b')).end(), 'step n is new'],
    ['steps moved', saga().step('b', both('b')).step('a', both('a')).end(), 'the order was a, b and is b, a'],
    [
      'steps grouped',
      saga()
        .parallel((group) => group.step('a', both('a')).step('b', both('b')))
        .end(),
      'the groups were a, b and are (a beside b)',
    ],
    [
      'another command',
      saga()
        .step('a', both('a'))
        .step('b', { ...both('b'), do: ask('x') })
        .end(),
      'do of step b was shop.do_b (b.done or b.refused) and is shop.do_x (x.done or x.refused)',
    ],
    [
      'another channel',
      saga()
        .step('a', both('a'))
        .step('b', { ...both('b'), do: { ...ask('b'), eventChannel: 'elsewhere' } })
        .end(),
      'do of step b was shop.do_b (b.done or b.refused) and is shop.do_b (b.done or b.refused) by shop_commands and elsewhere',
    ],
    [
      'another undo',
      saga()
        .step('a', both('a'))
        .step('b', { ...both('b'), undo: undo('x') })
        .end(),
      'undo of step b was shop.undo_b (b.undone or b.kept) and is shop.undo_x (x.undone or x.kept)',
    ],
    [
      'another settlement',
      saga()
        .step('a', both('a'))
        .step('b', { ...both('b'), onUnknown: 'park' })
        .end(),
      'onUnknown of step b was repeat and is park',
    ],
    [
      'a pivot',
      saga()
        .step('a', both('a'))
        .step('b', { do: ask('b'), with: () => ({}) })
        .pivot()
        .end(),
      'place of step b was before and is pivot. undo of step b was shop.undo_b (b.undone or b.kept) and is none',
    ],
    [
      'another decider',
      saga().step('a', both('a')).step('b', both('b')).end({ cancelDecidedBy: 'a' }),
      'cancelDecidedBy was none and is a',
    ],
    [
      'what follows',
      saga()
        .step('a', both('a'))
        .step('b', both('b'))
        .end({ follows: [{ event: { type: 'e', data: Data }, reaction: 'cancel', by: 'x', reason: 'y' }] }),
      'what follows events was none and is e cancels',
    ],
  ])('%s', (_what, after, words) => {
    expect(told(two, after)).toBe(words)
    expect(after.structureKey).not.toBe(two.structureKey)
  })
})

test('timings and payload functions are no part of it', () => {
  const other = defineSaga('s', { version: 1, input: Data, deadlineMs: 5 })
    .step('a', { ...both('a'), with: () => ({ more: 1 }), retry: { ...steady, tries: 9 }, attemptMs: 5 })
    .step('b', { ...both('b'), keep: () => null })
    .end({ businessKey: () => 'x' })
  expect(told(two, other)).toBe('')
  expect(other.structureKey).toBe(two.structureKey)
})
