/** Every reachable state of sagas of one to five steps, and bugs planted to see that the walk would find them. */
import { describe, expect, test } from 'vitest'
import type { CommandContract, Schema } from './contract.ts'
import { participantContract } from './contract.ts'
import { decide } from './decide.ts'
import type { SagaBuilder, StepOptions } from './define.ts'
import { defineSaga } from './define.ts'
import type { SagaDefinition, Settlement } from './definition.ts'
import type { Event } from './events.ts'
import { evolve, stepOf } from './evolve.ts'
import { pending } from './pending.ts'
import type { RetryPolicy } from './retry.ts'
import type { SagaState } from './state.ts'
import type { Rules, Walk } from './walk.testkit.ts'
import { rules, walk } from './walk.testkit.ts'

const anything: Schema<object> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as object }) },
}
const failure = anything as Schema<{ readonly error: string }>

const at = (tries: number): RetryPolicy => ({ tries, firstMs: 0, factor: 1, maxMs: 0, jitter: 0 })

interface Kind {
  readonly tombstones?: boolean
  /** The command may be refused. */
  readonly refusable?: boolean
  /** The undo may be refused. */
  readonly undoRefusable?: boolean
  readonly safeOnNothing?: boolean
  readonly onUnknown?: Settlement
  readonly onRejected?: 'retry'
  readonly onExhausted?: 'continue'
  readonly undo?: boolean
  readonly tries?: number
  readonly undoTries?: number
}

type Builder = SagaBuilder<object, unknown>
type Options = StepOptions<object, unknown, object, object, object, object, object, 'stop' | 'continue'>

function command(kind: Kind, refusable: boolean, safeOnNothing = false): CommandContract<object, object> {
  return participantContract('p', { tombstones: kind.tombstones ?? true }).command('c', {
    payload: anything,
    done: ['done', anything],
    ...(refusable ? { rejected: ['refused', failure] as const } : {}),
    safeOnNothing,
  })
}

const optionsOf = (kind: Kind): Options => ({
  do: command(kind, kind.refusable ?? true),
  with: () => ({}),
  ...(kind.undo === false
    ? {}
    : {
        undo: command(kind, kind.undoRefusable ?? false, kind.safeOnNothing ?? true),
        undoWith: () => ({}),
      }),
  ...(kind.onUnknown === 'query' ? { query: command(kind, true), queryWith: () => ({}) } : {}),
  onUnknown: kind.onUnknown ?? 'repeat',
  onRejected: kind.onRejected ?? 'undo',
  onExhausted: kind.onExhausted ?? 'stop',
  retry: at(kind.tries ?? 2),
  undoRetry: at(kind.undoTries ?? 2),
  attemptMs: 0,
})

const begin = (): Builder => defineSaga('s', { version: 1, input: anything })

const add = (builder: Builder, name: string, kind: Kind = {}): Builder => builder.step(name, optionsOf(kind))

const plain = (steps: number, kind: Kind = {}): SagaDefinition =>
  Array.from({ length: steps })
    .reduce<Builder>((builder, _none, index) => add(builder, `s${index}`, kind), begin())
    .end()

const read: Kind = { undo: false }
const later: Kind = { undo: false, refusable: false }

const sagas: Readonly<Record<string, SagaDefinition>> = {
  'one step': plain(1, { tries: 3, undoTries: 3, undoRefusable: true }),
  'two steps, undos that may be refused': plain(2, { undoRefusable: true }),
  'three steps': plain(3),
  'four steps': plain(4, { tries: 2, undoTries: 1 }),
  'five steps, one try': plain(5, { tries: 1, undoTries: 1 }),
  'a step that only reads between two others': add(add(add(begin(), 'a'), 'b', read), 'c').end(),
  'an undo that is not safe on nothing': plain(2, { safeOnNothing: false }),
  'a participant without tombstones': plain(2, { tombstones: false }),
  'a participant without tombstones that is undone at once': plain(2, { tombstones: false, onUnknown: 'undo' }),
  'an unknown that is asked about': plain(2, { onUnknown: 'query', tries: 3 }),
  'an unknown that is undone at once': plain(3, { onUnknown: 'undo' }),
  'an unknown that parks': plain(2, { onUnknown: 'park' }),
  'a refusal that is tried again': plain(2, { onRejected: 'retry', tries: 3 }),
  'a pivot and a step after it': add(add(add(begin(), 'a'), 'b', read).pivot(), 'c', later).end(),
  'a pivot that cannot be refused': add(add(begin(), 'a'), 'b', later).pivot().end(),
  'a step after the pivot that may be left out': add(add(add(begin(), 'a'), 'b', read).pivot(), 'c', {
    undo: false,
    onRejected: 'retry',
    onExhausted: 'continue',
  }).end(),
  'a cancel after completion': add(add(add(begin(), 'a', { undoRefusable: true }), 'b', read).pivot(), 'c', {
    onRejected: 'retry',
    onExhausted: 'continue',
  }).end({ cancelDecidedBy: 'a' as never }),
  'a parallel group': (
    add(begin(), 'a').parallel((group) => group.step('b', optionsOf({})).step('c', optionsOf({}))) as Builder
  ).end(),
  'a wait for an event': (
    add(begin(), 'a').wait('w', { for: { type: 'event', data: anything }, withinMs: 0 }) as Builder
  ).end(),
}

describe('every reachable state keeps the promises', () => {
  let total = 0
  test.each(Object.entries(sagas))('%s', (_name, saga) => {
    const found = walk(saga)
    total += found.states
    expect(found.fault, `after ${found.path.join(', ')}`).toBeNull()
    expect(found.statuses).toHaveProperty('COMPLETED')
  })
  test('which are tens of thousands', () => expect(total).toBeGreaterThan(10_000))
})

/** The outcome of a command is taken for a refusal: the input is replaced by one. */
const refusalOf = (state: SagaState, step: string) =>
  ({
    type: 'reply',
    reply: { type: 'refused', payload: { error: 'x' }, causationId: `${state.id}:${step}:do` },
  }) as const

const inPhase = (state: SagaState, phase: string): string | undefined =>
  Object.keys(state.steps).find((name) => stepOf(state, name).phase === phase)

const through = (
  definition: SagaDefinition,
  state: SagaState,
  events: readonly Event[],
  input: Parameters<typeof decide>[2],
) => {
  const after = events.reduce<SagaState | null>(evolve, state)
  return [...events, ...decide(definition, after, input, 0)]
}

type Planted = readonly [bug: string, saga: SagaDefinition, rules: Partial<Rules>]

const planted: readonly Planted[] = [
  [
    'a timeout is taken as a failure',
    plain(2),
    {
      decide(definition, state, input, now) {
        const asked = state === null || input.type !== 'time' ? undefined : inPhase(state, 'asked')
        return decide(definition, state, asked === undefined ? input : refusalOf(state as SagaState, asked), now)
      },
    },
  ],
  ['a participant leaves no tombstone', plain(2, { onUnknown: 'undo' }), { tombstones: false }],
  ['a participant does not know what it has done', plain(1), { stores: false }],
  [
    'an undo is given up, but the saga is called compensated',
    plain(2, { undoRefusable: true }),
    {
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        const stuck = events.find((event) => event.type === 'UndoFailed' && event.retryAt === null)
        if (stuck === undefined || !('step' in stuck)) return events
        return through(definition, state as SagaState, [{ type: 'UndoDone', step: stuck.step }], { type: 'time' })
      },
    },
  ],
  [
    'an answer is not matched to its step',
    plain(2),
    {
      decide: (definition, state, input, now) =>
        input.type === 'reply'
          ? decide(definition, state, { type: 'reply', reply: { ...input.reply, causationId: undefined } }, now)
          : decide(definition, state, input, now),
    },
  ],
  [
    'a cancel ignores the step in flight',
    plain(2),
    {
      decide(definition, state, input, now) {
        const asked =
          state === null || input.type !== 'cancel' || state.status !== 'STARTED' ? undefined : inPhase(state, 'asked')
        if (asked === undefined || state === null) return decide(definition, state, input, now)
        const dropped = { type: 'StepRejected', step: asked, reason: 'x', retryAt: null } as const
        return [dropped, ...decide(definition, evolve(state, dropped), input, now)]
      },
    },
  ],
  [
    'an unknown step is not undone',
    plain(2),
    {
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        const unknown = events.find((event) => event.type === 'StepUnknown' && event.retryAt === null)
        if (unknown?.type !== 'StepUnknown' || state === null) return events
        return through(definition, state, [{ ...unknown, type: 'StepRejected' }], { type: 'time' })
      },
    },
  ],
  [
    'the oldest step is undone first',
    plain(2),
    {
      decide: (definition, state, input, now) =>
        decide(definition, state, input, now).map((event) =>
          event.type === 'UndoAsked' && event.attempt === 1 ? { ...event, step: 's0' } : event,
        ),
    },
  ],
  [
    'undo after the pivot',
    sagas['a pivot and a step after it'] as SagaDefinition,
    {
      decide(definition, state, input, now) {
        if (
          state === null ||
          input.type !== 'cancel' ||
          stepOf(state, 'b').phase !== 'done' ||
          state.status !== 'STARTED'
        )
          return decide(definition, state, input, now)
        const turned: Event[] = [
          { type: 'CancelRequested', by: 'c', reason: 'r', at: 0, takes: 'now' },
          { type: 'StepRejected', step: 'c', reason: 'x', retryAt: null },
          { type: 'CancelStarted', afterCompletion: false },
        ]
        return through(definition, state, turned, { type: 'time' })
      },
    },
  ],
  [
    'an attempt is counted twice',
    plain(1, { tries: 3 }),
    {
      evolve: (state, event) =>
        evolve(state, event.type === 'StepAsked' ? { ...event, attempt: event.attempt * 2 } : event),
    },
  ],
  [
    'a repeat gets a new id',
    plain(1),
    {
      pending(definition, state) {
        const { commands, wakeAt } = pending(definition, state)
        return {
          wakeAt,
          commands: commands.map((each) => ({
            ...each,
            id: each.attempt > 1 ? `${each.id}-${each.attempt}` : each.id,
          })),
        }
      },
    },
  ],
  [
    'a late success of what was undone blind is ignored',
    plain(1, { tombstones: false, onUnknown: 'undo' }),
    {
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        return events.some((event) => event.type === 'EffectFound') ? [] : events
      },
    },
  ],
  [
    'a query that finds nothing is taken for a refusal',
    plain(1, { onUnknown: 'query' }),
    {
      decide(definition, state, input, now) {
        const query =
          input.type === 'reply' &&
          input.reply.type === 'refused' &&
          input.reply.causationId?.endsWith(':query') === true
        return decide(definition, state, query && state !== null ? refusalOf(state, 's0') : input, now)
      },
    },
  ],
  [
    'a wake-up is lost',
    plain(1),
    {
      pending(definition, state) {
        const { commands, wakeAt } = pending(definition, state)
        return { commands, wakeAt: inPhase(state, 'unknown') === undefined ? wakeAt : null }
      },
    },
  ],
  [
    'a saga is completed without its last step',
    plain(2),
    {
      evolve: (state, event) =>
        evolve(state, event.type === 'StageEntered' && event.stage === 1 ? { ...event, stage: 2 } : event),
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        return events.some((event) => event.type === 'StageEntered' && event.stage === 1)
          ? [...events.filter((event) => event.type === 'StepDone'), { type: 'SagaCompleted', at: 0 }]
          : events
      },
    },
  ],
]

test.each(planted)('the walk finds that %s', (_bug, saga, changed) => {
  const found: Walk = walk(saga, { ...rules, ...changed })
  expect(found.fault).not.toBeNull()
  expect(walk(saga).fault).toBeNull()
})
