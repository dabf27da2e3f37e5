/** Bugs planted in the rules, to see that a walk finds them. */
import { decide } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import { evolve, stepOf } from '../../core/evolve.ts'
import { pending } from '../../core/pending.ts'
import type { SagaState } from '../../core/state.ts'
import { entriesOf } from '../../core/steps.ts'
import type { Rules } from './rules.ts'
import { plain, sagas } from './sagas.testkit.ts'

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

export interface Planted {
  readonly bug: string
  readonly saga: SagaDefinition
  readonly rules: Partial<Rules>
  /** What the walk must say of it: a bug found for another reason would show nothing. */
  readonly fault: RegExp
  readonly operated?: true
}

export const planted: readonly Planted[] = [
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
