import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { participantContract } from './contract.ts'
import { readInput } from '../core/decide.ts'
import { defineSaga } from './define.ts'
import type { SagaDefinition } from '../core/definition.ts'
import { defaultRetry } from '../core/retry.ts'
import { ask, both, Data, Empty, foreignAsk, sure, undo } from '../core/saga.testkit.ts'

const saga = () => defineSaga('s', { version: 1, input: Empty })
const forward = { do: ask('p'), with: () => ({}) }
const afterPivot = () => saga().step('a', both('a')).step('p', forward).pivot()

const mistakes: readonly (readonly [mistake: string, declare: () => unknown, says: RegExp])[] = [
  ['no version', () => defineSaga('s', { version: 0, input: Empty }), /give a version of 1 or more/],
  ['no steps', () => saga().end(), /no steps; add at least one/],
  [
    'two steps of one name',
    () => saga().step('a', both('a')).step('a', both('a')).end(),
    /two steps of this name; rename one/,
  ],
  ['a name that cannot be part of an id', () => saga().step('a:b', both('a')).end(), /use at most 100 letters, digits/],
  [
    'a name that every object has',
    () => saga().step('toString', both('a')).end(),
    /every JavaScript object has something of this name/,
  ],
  [
    'an undo after the pivot',
    () =>
      afterPivot()
        .step('z', { ...both('z'), onRejected: 'retry' })
        .end(),
    /remove the undo, move the step before/,
  ],
  ['an undo at the pivot', () => saga().step('p', both('p')).pivot().end(), /remove the undo, move the step before/],
  [
    'a step after the pivot that may reject',
    () => afterPivot().step('z', forward).end(),
    /may be rejected; set onRejected: 'retry'/,
  ],
  [
    'a wait after the pivot that would reject',
    () =>
      afterPivot()
        .wait('w', { for: { type: 'e', data: Data }, withinMs: 1 })
        .end(),
    /set onExhausted: 'continue'/,
  ],
  [
    'an unknown that a query should settle, without one',
    () => saga().step('a', { ...forward, onUnknown: 'query' }),
    /has no settlement; give query/,
  ],
  [
    'an unknown that an unsafe undo should settle',
    () => saga().step('a', { ...both('a'), undo: undo('a', false), onUnknown: 'undo' }),
    /needs an undo that is safe/,
  ],
  [
    'a pivot settled by undo',
    () =>
      saga()
        .step('a', both('a'))
        .step('p', { ...both('p'), onUnknown: 'undo' })
        .pivot()
        .end({ cancelDecidedBy: 'a' }),
    /cannot be settled by 'undo'/,
  ],
  [
    'a step after the pivot settled by undo',
    () =>
      afterPivot()
        .step('z', { ...both('z'), do: sure('z'), onUnknown: 'undo' })
        .end({ cancelDecidedBy: 'a' }),
    /nothing is undone; choose/,
  ],
  [
    'an undo without its payload',
    () => saga().step('a', { ...forward, undo: undo('a') }),
    /give undo and undoWith together/,
  ],
  [
    'a query without its payload',
    () => saga().step('a', { ...forward, query: ask('q') }),
    /give query and queryWith together/,
  ],
  [
    'continue before the pivot',
    () =>
      saga()
        .step('a', { ...forward, effect: 'none', onExhausted: 'continue' })
        .end(),
    /is for steps after the pivot/,
  ],
  [
    'a cancel of its own without a decider',
    () =>
      afterPivot()
        .step('z', { do: sure('z'), with: () => ({}), onExhausted: 'continue', thenCancelAfterMs: 1 })
        .end(),
    /thenCancelAfterMs needs/,
  ],
  [
    'a decider without an undo',
    () =>
      saga()
        .step('a', { ...forward, effect: 'none' })
        .end({ cancelDecidedBy: 'a' }),
    /has no undo; give it one or name another/,
  ],
  ['two pivots', () => afterPivot().pivot(), /two pivots; remove one/],
  ['a pivot without a step', () => saga().pivot(), /must follow a single step/],
  [
    'a group as pivot',
    () =>
      saga()
        .parallel((steps) => steps.step('a', both('a')).step('b', both('b')))
        .pivot(),
    /must follow a single step/,
  ],
  [
    'a wait as pivot',
    () =>
      saga()
        .wait('w', { for: { type: 'e', data: Data }, withinMs: 1 })
        .pivot(),
    /cannot be the pivot/,
  ],
  ['an empty group', () => saga().parallel((steps) => steps), /needs at least one step/],
  [
    'a retry policy that makes no sense',
    () =>
      saga()
        .step('a', { ...both('a'), retry: { tries: 0, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 } })
        .end(),
    /retry: tries must be a whole number from 1, or Infinity; it is 0/,
  ],
  [
    'a negative time',
    () =>
      saga()
        .step('a', { ...both('a'), attemptMs: -1 })
        .end(),
    /must be a number of milliseconds/,
  ],
  [
    'a step time that is no number',
    () =>
      saga()
        .step('a', { ...both('a'), stepMs: NaN })
        .end(),
    /must be a number of milliseconds/,
  ],
]

const at = (ms: number) => () =>
  saga()
    .step('a', { ...both('a'), attemptMs: ms })
    .end()

const more: typeof mistakes = [
  ['a time without end', at(Infinity), /attemptMs must be a number of milliseconds.*it is Infinity/],
  ['a time beyond all dates', at(1e15), /attemptMs must be a number of milliseconds.*it is 1000000000000000/],
  [
    'a wait without end',
    () =>
      saga()
        .wait('w', { for: { type: 'e', data: Data }, withinMs: Infinity })
        .end(),
    /step w: withinMs must be a number of milliseconds/,
  ],
  ...[-5, NaN, Infinity, '9' as never].map(
    (deadlineMs) =>
      [
        `a deadline of ${String(deadlineMs)}`,
        () => defineSaga('s', { version: 1, input: Empty, deadlineMs }),
        /deadlineMs must be a number of milliseconds/,
      ] as const,
  ),
  [
    'a pause that is no number',
    () =>
      saga()
        .step('a', { ...both('a'), undoRetry: { maxMs: NaN } })
        .end(),
    /undoRetry: maxMs must be a number of milliseconds/,
  ],
  ['no options', () => defineSaga('s', undefined as never), /give a version of 1 or more/],
  [
    'a factor below 1',
    () =>
      saga()
        .step('a', { ...both('a'), retry: { factor: 0.5 } })
        .end(),
    /retry: factor must be 1 to 1000; it is 0.5/,
  ],
  [
    'more jitter than there is',
    () =>
      saga()
        .step('a', { ...both('a'), retry: { jitter: 2 } })
        .end(),
    /retry: jitter must be 0 to 1; it is 2/,
  ],
  [
    'a reaction that does not exist',
    () =>
      afterPivot().end({
        follows: [{ event: { type: 'e', data: Data }, reaction: 'shout', by: 'x', reason: 'y' } as never],
      }),
    /what follows e must be 'cancel' or 'ask'/,
  ],
  [
    'an ask again without end',
    () =>
      afterPivot()
        .step('z', { do: sure('z'), with: () => ({}) })
        .end({
          cancelDecidedBy: 'a',
          follows: [
            { event: { type: 'e', data: Data }, reaction: 'ask', step: 'z', withinMs: NaN, by: 'x', reason: 'y' },
          ],
        }),
    /withinMs of what follows e must be a number of milliseconds/,
  ],
  ['a step that says nothing of its undo', () => saga().step('a', forward).end(), /declare effect: 'none' where it/],
  [
    'an undo of what has no effect',
    () =>
      saga()
        .step('a', { ...both('a'), effect: 'none' })
        .end(),
    /has an undo, and says effect: 'none'; remove one/,
  ],
  [
    'a settlement that does not exist',
    () =>
      saga()
        .step('a', { ...both('a'), onUnknown: 'ignore' as never })
        .end(),
    /onUnknown is "ignore"; use 'repeat', 'query', 'undo', 'park'/,
  ],
  ['a name with a space', () => defineSaga('my saga', { version: 1, input: Empty }), /use at most 100 letters/],
  ['an input without a schema', () => defineSaga('s', { version: 1, input: {} as never }), /give input a schema/],
  [
    'a command that is none',
    () =>
      saga()
        .step('a', { ...both('a'), do: { type: 'x' } as never })
        .end(),
    /must be commands that a participantContract made/,
  ],
  [
    'a payload that is no function',
    () =>
      saga()
        .step('a', { ...both('a'), with: {} as never })
        .end(),
    /with must be a function/,
  ],
  [
    'an event that asks a step again which is not after the pivot',
    () =>
      afterPivot().end({
        follows: [{ event: { type: 'e', data: Data }, reaction: 'ask', step: 'a', by: 'x', reason: 'y' }],
      }),
    /e asks a again, which is no command after the pivot/,
  ],
]

test.each([...mistakes, ...more])(
  '%s fails when it is declared, with a sentence that says what to change',
  (_mistake, declare, says) => {
    expect(declare).toThrow(says)
    expect(declare).toThrow(expect.objectContaining({ name: 'DefinitionError' }) as Error)
  },
)

test('names that do not exist do not compile', () => {
  const typed = saga().step('a', { do: ask('a'), keep: ({ id }) => ({ id }), with: () => ({}), effect: 'none' })
  // @ts-expect-error there is no reply of a step called b
  typed.step('c', { do: ask('c'), with: ({ replies }) => ({ x: replies.b }) })
  // @ts-expect-error the step a keeps nothing called name
  typed.step('c', { do: ask('c'), with: ({ replies }) => ({ x: replies.a.name }) })
  // @ts-expect-error only a step of the saga can decide
  expect(() => typed.end({ cancelDecidedBy: 'zz' })).not.toThrow(TypeError)
  typed.parallel((steps) =>
    // @ts-expect-error members of a group do not see each other's answers
    steps.step('x', both('x')).step('y', { do: ask('y'), with: ({ replies }) => ({ x: replies.x }) }),
  )
})

test('a group may hold waits, and a common beginning can be shared', () => {
  const begin = saga().step('a', both('a'))
  const one = begin
    .parallel((steps) => steps.step('b', both('b')).wait('w', { for: { type: 'e', data: Data }, withinMs: 5 }))
    .end()
  const other = begin.end()
  expect(one.steps.map((step) => [step.name, step.stage])).toEqual([
    ['a', 0],
    ['b', 1],
    ['w', 1],
  ])
  expect(other.steps).toHaveLength(1)
})

test('the business key is read from input and answers', () => {
  const named = saga()
    .step('a', both('a'))
    .end({ businessKey: ({ replies }) => replies.a?.id })
  expect(named.businessKey({ input: {}, replies: { a: { id: 'o-1' } } })).toBe('o-1')
  expect(named.businessKey({ input: {}, replies: {} })).toBeUndefined()
  expect(saga().step('a', both('a')).end().businessKey({ input: {}, replies: {} })).toBeNull()
})

test('a step that only asks needs no undo', () => {
  const [step] = saga()
    .step('a', { do: foreignAsk('a'), with: () => ({}), effect: 'none' })
    .end().steps
  expect(step?.undoWith({} as never)).toBeNull()
  expect(step?.queryWith({} as never)).toBeNull()
  expect(step?.keep(5)).toBe(5)
})

test('a command may be for some payloads of its type, and may be sent only', () => {
  const notice = participantContract('post').notice('mail', { payload: Data, when: ({ id }) => id === 'x' })
  expect([notice.when({ id: 'x' }), notice.when({ id: 'y' }), ask('a').when({})]).toEqual([true, false, true])
  const [step] = afterPivot()
    .step('z', { do: notice, with: () => ({}) })
    .end()
    .structure.steps.slice(-1)
  expect(step).toMatchObject({ do: 'post.mail, sent only' })
  expect(() => participantContract('')).toThrow('the participant must be a text that is not empty; it is ""')
  expect(() => participantContract('p').notice('n', { payload: {} as never })).toThrow(/a schema of n is none/)
})

test('every type that answers a command is part of what a saga does', () => {
  const refusal = z.object({ error: z.string() })
  const send = participantContract('post').command('send', {
    payload: Data,
    done: ['sent', Data, 'delivered'],
    rejected: ['returned', refusal, 'lost'],
  })
  const definition = saga()
    .step('z', { do: send, with: () => ({}), effect: 'none' })
    .end()
  expect(definition.structure.steps.at(-1)).toMatchObject({ do: 'post.send (sent or delivered or returned or lost)' })
  expect(['sent', 'delivered', 'returned', 'lost'].map((type) => definition.byAnswer.get(type)?.[0]?.name)).toEqual(
    Array<string>(4).fill('z'),
  )
  const post = participantContract('post')
  expect(() => post.command('x', { payload: Data, done: ['sent', Data, ''] })).toThrow('done of post must be a text')
  expect(() => post.command('x', { payload: Data, done: ['a', Data], rejected: ['b', refusal, ''] })).toThrow(
    'rejected of x must be a text',
  )
})

test('channels that are not the usual ones are part of what a saga does', () => {
  const own = participantContract('post', { commandChannel: 'letters', eventChannel: 'stamps' })
  const [step] = afterPivot()
    .step('z', { do: own.notice('mail', { payload: Data }), with: () => ({ id: 'x' }) })
    .end()
    .structure.steps.slice(-1)
  expect(step).toMatchObject({ do: 'post.mail, sent only by letters and stamps' })
})

test('what a retry policy does not say is as by default, and an undo is retried as its step', () => {
  const [step] = saga()
    .step('a', { ...both('a'), retry: { tries: 2, jitter: undefined as never }, undoRetry: { tries: 9 } })
    .end().steps
  expect(step?.retry).toEqual({ ...defaultRetry, tries: 2 })
  expect(step?.undoRetry).toEqual({ ...defaultRetry, tries: 9 })
})

describe('schemas with defaults and transforms', () => {
  const Ask = z.object({ amount: z.number(), currency: z.string().default('EUR') })
  const Answer = z.object({ at: z.string().transform((text) => text.length) })
  const pay = participantContract('bank').command('pay', { payload: Ask, done: ['paid', Answer] })

  test('a saga gives what a schema takes, and reads what it makes of it', () => {
    const Input = z.object({ note: z.string().default('none'), count: z.string().transform(Number) })
    const definition = defineSaga('typed', { version: 1, input: Input })
      .step('pay', { do: pay, with: ({ input }) => ({ amount: input.count }), effect: 'none' })
      .step('again', { do: pay, with: ({ replies }) => ({ amount: replies.pay.at }), effect: 'none' })
      .end()
    const given: Parameters<typeof inputOf<typeof definition>>[1] = { count: '3' }
    expect(readInput(definition, given)).toEqual({ ok: true, value: { note: 'none', count: 3 } })
    // @ts-expect-error the count is given as text
    inputOf(definition, { count: 3 })
  })
})

/** Stands for a host's start: what a definition is started with. */
const inputOf = <D extends SagaDefinition>(
  _definition: D,
  input: D extends SagaDefinition<infer Input> ? Input : never,
): unknown => input
