import { expect, test } from 'vitest'
import { defineSaga } from './define.ts'
import { ask, both, Data, Empty, foreignAsk, sure, undo } from './saga.testkit.ts'

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
  ['a name that cannot be part of an id', () => saga().step('a:b', both('a')).end(), /use only letters, digits/],
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
        .step('a', { ...forward, onExhausted: 'continue' })
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
    () => saga().step('a', forward).end({ cancelDecidedBy: 'a' }),
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
    /retry policy needs tries >= 1/,
  ],
  [
    'a negative time',
    () =>
      saga()
        .step('a', { ...both('a'), attemptMs: -1 })
        .end(),
    /numbers of milliseconds/,
  ],
  [
    'a step time that is no number',
    () =>
      saga()
        .step('a', { ...both('a'), stepMs: NaN })
        .end(),
    /numbers of milliseconds/,
  ],
]

test.each(mistakes)(
  '%s fails when it is declared, with a sentence that says what to change',
  (_mistake, declare, says) => {
    expect(declare).toThrow(says)
    expect(declare).toThrow(expect.objectContaining({ name: 'DefinitionError' }) as Error)
  },
)

test('names that do not exist do not compile', () => {
  const typed = saga().step('a', { do: ask('a'), keep: ({ id }) => ({ id }), with: () => ({}) })
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
  expect(named.businessKey({ input: {}, replies: {} })).toBeNull()
  expect(saga().step('a', both('a')).end().businessKey({ input: {}, replies: {} })).toBeNull()
})

test('a step that only asks needs no undo', () => {
  const [step] = saga()
    .step('a', { do: foreignAsk('a'), with: () => ({}) })
    .end().steps
  expect(step?.undoWith({} as never)).toBeNull()
  expect(step?.queryWith({} as never)).toBeNull()
  expect(step?.keep(5)).toBe(5)
})
