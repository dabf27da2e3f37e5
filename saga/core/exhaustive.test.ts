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
import { entriesOf } from './steps.ts'
import type { Rules } from './walk.testkit.ts'
import { rules, walk } from './walk.testkit.ts'

const anything: Schema<object, object> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as object }) },
}
const failure = anything as Schema<object> as Schema<{ readonly error: string }>

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
  /** It is the pivot or comes after it: without an undo it has an effect all the same. */
  readonly last?: boolean
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
    ? kind.last === true
      ? {}
      : ({ effect: 'none' } as const)
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
const pivotal: Kind = { undo: false, last: true }
const later: Kind = { ...pivotal, refusable: false }

const sagas: Readonly<Record<string, SagaDefinition>> = {
  'one step': plain(1, { tries: 3, undoTries: 3, undoRefusable: true }),
  'two steps, undos that may be refused': plain(2, { undoRefusable: true }),
  'three steps': plain(3),
  'four steps': plain(4, { tries: 2, undoTries: 1 }),
  'five steps': plain(5, { undoTries: 1 }),
  'a step that only reads between two others': add(add(add(begin(), 'a'), 'b', read), 'c').end(),
  'an undo that is not safe on nothing': plain(2, { safeOnNothing: false }),
  'a participant without tombstones': plain(2, { tombstones: false }),
  'a participant without tombstones that is undone at once': plain(2, { tombstones: false, onUnknown: 'undo' }),
  'an unknown that is asked about': plain(2, { onUnknown: 'query', tries: 3 }),
  'an unknown that is undone at once': plain(3, { onUnknown: 'undo' }),
  'an unknown that parks': plain(2, { onUnknown: 'park' }),
  'a refusal that is tried again': plain(2, { onRejected: 'retry', tries: 3 }),
  'a pivot and a step after it': add(add(add(begin(), 'a'), 'b', pivotal).pivot(), 'c', later).end(),
  'a pivot that cannot be refused': add(add(begin(), 'a'), 'b', later).pivot().end(),
  'a step after the pivot that may be left out': add(add(add(begin(), 'a'), 'b', pivotal).pivot(), 'c', {
    ...pivotal,
    onRejected: 'retry',
    onExhausted: 'continue',
  }).end(),
  'a cancel after completion': add(add(add(begin(), 'a', { undoRefusable: true }), 'b', pivotal).pivot(), 'c', {
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
  test('which are tens of thousands', () => expect(total).toBeGreaterThan(30_000))
})

describe('and keeps them when the host fails once, and an operator acts once', () => {
  test.each([
    'one step',
    'an undo that is not safe on nothing',
    'a participant without tombstones',
    'a participant without tombstones that is undone at once',
    'an unknown that is undone at once',
    'an unknown that parks',
    'a pivot and a step after it',
    'a step after the pivot that may be left out',
    'a cancel after completion',
    'a wait for an event',
  ])('%s', (name) => {
    const found = walk(sagas[name] as SagaDefinition, rules, true)
    expect(found.fault, `after ${found.path.join(', ')}`).toBeNull()
  })
})

/** The outcome of a command is taken for a refusal: the input is replaced by one. */
const refusalOf = (state: SagaState, step: string) =>
  ({
    type: 'reply',
    reply: { type: 'refused', payload: { error: 'x' }, causationId: `${state.id}:${step}:do` },
  }) as const

const inPhase = (state: SagaState, phase: string): string | undefined =>
  entriesOf(state.steps).find(([, step]) => step.phase === phase)?.[0]

const through = (
  definition: SagaDefinition,
  state: SagaState,
  events: readonly Event[],
  input: Parameters<typeof decide>[2],
) => {
  const after = events.reduce<SagaState | null>(evolve, state)
  return [...events, ...decide(definition, after, input, 0)]
}

interface Planted {
  readonly bug: string
  readonly saga: SagaDefinition
  readonly rules: Partial<Rules>
  /** What the walk must say of it: a bug found for another reason would show nothing. */
  readonly fault: RegExp
  readonly operated?: true
}

const planted: readonly Planted[] = [
  {
    bug: 'a timeout is taken as a failure',
    saga: plain(2),
    rules: {
      decide(definition, state, input, now) {
        const asked = state === null || input.type !== 'time' ? undefined : inPhase(state, 'asked')
        return decide(definition, state, asked === undefined ? input : refusalOf(state as SagaState, asked), now)
      },
    },
    fault: /^it is FAILED, but s0 is still in effect/,
  },
  {
    bug: 'a participant leaves no tombstone',
    saga: plain(2, { onUnknown: 'undo' }),
    rules: { tombstones: false },
    fault: /^it is COMPENSATED, but s0 is still in effect/,
  },
  {
    bug: 'a participant does not know what it has done',
    saga: plain(1),
    rules: { stores: false },
    fault: /^s0 took effect twice/,
  },
  {
    bug: 'an undo is given up, but the saga is called compensated',
    saga: plain(2, { undoRefusable: true }),
    rules: {
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        const stuck = events.find((event) => event.type === 'UndoFailed' && event.retryAt === null)
        if (stuck === undefined || !('step' in stuck)) return events
        return through(definition, state as SagaState, [{ type: 'UndoDone', step: stuck.step }], { type: 'time' })
      },
    },
    fault: /^it is (CANCELLED|COMPENSATED), but s0 is still in effect/,
  },
  {
    bug: 'an answer is not matched to its step',
    saga: plain(2),
    rules: {
      decide: (definition, state, input, now) =>
        input.type === 'reply'
          ? decide(definition, state, { type: 'reply', reply: { ...input.reply, causationId: undefined } }, now)
          : decide(definition, state, input, now),
    },
    fault: /^it is COMPLETED, but s1 has no effect/,
  },
  {
    bug: 'a cancel ignores the step in flight',
    saga: plain(2),
    rules: {
      decide(definition, state, input, now) {
        const asked =
          state === null || input.type !== 'cancel' || state.status !== 'STARTED' ? undefined : inPhase(state, 'asked')
        if (asked === undefined || state === null) return decide(definition, state, input, now)
        const dropped = { type: 'StepRejected', step: asked, reason: 'x', retryAt: null } as const
        return [dropped, ...decide(definition, evolve(state, dropped), input, now)]
      },
    },
    fault: /^it is CANCELLED, but s0 is still in effect/,
  },
  {
    bug: 'an unknown step is not undone',
    saga: plain(2),
    rules: {
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        const unknown = events.find((event) => event.type === 'StepUnknown' && event.retryAt === null)
        if (unknown?.type !== 'StepUnknown' || state === null) return events
        return through(definition, state, [{ ...unknown, type: 'StepRejected' }], { type: 'time' })
      },
    },
    fault: /^it is FAILED, but s0 is still in effect/,
  },
  {
    bug: 'the oldest step is undone first',
    saga: plain(2),
    rules: {
      decide: (definition, state, input, now) =>
        decide(definition, state, input, now).map((event) =>
          event.type === 'UndoAsked' && event.attempt === 1 ? { ...event, step: 's0' } : event,
        ),
    },
    fault: /^s0 is undone before the newer s1/,
  },
  {
    bug: 'undo after the pivot',
    saga: sagas['a pivot and a step after it'] as SagaDefinition,
    rules: {
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
    fault: /^a is undone after the pivot/,
  },
  {
    bug: 'an attempt is counted twice',
    saga: plain(1, { tries: 3 }),
    rules: {
      evolve: (state, event) =>
        evolve(state, event.type === 'StepAsked' ? { ...event, attempt: event.attempt * 2 } : event),
    },
    fault: /^s0 was given up after 2 of 3 tries/,
  },
  {
    bug: 'a repeat gets a new id',
    saga: plain(1),
    rules: {
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
    fault: /^s0 took effect twice/,
  },
  {
    bug: 'a late success of what was undone blind is ignored',
    saga: plain(1, { tombstones: false, onUnknown: 'undo' }),
    rules: {
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        return events.some((event) => event.type === 'EffectFound') ? [] : events
      },
    },
    fault: /^it is COMPENSATED, but s0 is still in effect/,
  },
  {
    bug: 'a query that finds nothing is taken for a refusal',
    saga: plain(1, { onUnknown: 'query' }),
    rules: {
      decide(definition, state, input, now) {
        const query =
          input.type === 'reply' &&
          input.reply.type === 'refused' &&
          input.reply.causationId?.endsWith(':query') === true
        return decide(definition, state, query && state !== null ? refusalOf(state, 's0') : input, now)
      },
    },
    fault: /^it is FAILED, but s0 is still in effect/,
  },
  {
    bug: 'a wake-up is lost',
    saga: plain(1),
    rules: {
      pending(definition, state) {
        const { commands, wakeAt } = pending(definition, state)
        return { commands, wakeAt: inPhase(state, 'unknown') === undefined ? wakeAt : null }
      },
    },
    fault: /^it has neither ended nor parked and nothing will move it/,
  },
  {
    bug: 'a saga is completed without its last step',
    saga: plain(2),
    rules: {
      evolve: (state, event) =>
        evolve(state, event.type === 'StageEntered' && event.stage === 1 ? { ...event, stage: 2 } : event),
      decide(definition, state, input, now) {
        const events = decide(definition, state, input, now)
        return events.some((event) => event.type === 'StageEntered' && event.stage === 1)
          ? [...events.filter((event) => event.type === 'StepDone'), { type: 'SagaCompleted', at: 0 }]
          : events
      },
    },
    fault: /^it is COMPLETED, but s1 has no effect/,
  },
  {
    bug: 'a late command runs after its undo',
    saga: plain(1, { onUnknown: 'undo' }),
    rules: { heedsTombstones: false },
    fault: /^it is COMPENSATED, but s0 is still in effect/,
  },
  {
    bug: 'a saga that is parked twice goes back to being parked',
    saga: plain(1, { undoRefusable: true, undoTries: 1 }),
    rules: {
      evolve(state, event) {
        const next = evolve(state, event)
        if (event.type !== 'SagaParked' || next?.parked == null || state === null) return next
        return { ...next, parked: { ...next.parked, from: state.status } }
      },
    },
    operated: true,
    fault: /^it is parked without a way out/,
  },
  {
    bug: 'a skipped step after the pivot is undone when its success comes',
    saga: sagas['a cancel after completion'] as SagaDefinition,
    rules: {
      decide: (definition, state, input, now) =>
        decide(definition, state, input, now).map((event) =>
          event.type === 'StepSkipped' && event.effect === 'possible' ? { ...event, effect: 'denied' } : event,
        ),
    },
    operated: true,
    fault: /^c is undone after the pivot/,
  },
]

test.each(planted.map((each) => [each.bug, each] as const))(
  'the walk finds that %s',
  (_bug, { saga, rules: changed, fault, operated = false }) => {
    expect(walk(saga, { ...rules, ...changed }, operated).fault).toMatch(fault)
    expect(walk(saga, rules, operated).fault).toBeNull()
  },
)
