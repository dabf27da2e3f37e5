/**
 * What remains of a saga, and what a request would do to it: for an operator who looks before acting. Pure, by the same core
 * functions that carry a request out, so that a preview cannot say anything else than what then happens.
 */
import type { Action } from '../../core/act.ts'
import { transition, type Input } from '../../core/decide.ts'
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import { stepOf } from '../../core/evolve.ts'
import { canTurnBack, open, pending, type Command } from '../../core/pending.ts'
import type { SagaState, StepState } from '../../core/state.ts'
import { refusalIn } from '../move.ts'

/** A command that is outstanding; what it carries is for its participant alone. */
export type Planned = Pick<Command, 'id' | 'step' | 'direction' | 'attempt' | 'participant' | 'type'>

export interface ToUndo {
  readonly step: string
  /** The type of the undo command. */
  readonly command: string
  /** False where nobody knows yet whether the step has taken effect. */
  readonly certain: boolean
}

export interface WakeUp {
  /** Unix milliseconds. */
  readonly at: number
  /** The step that it is for; null for the whole saga. */
  readonly step: string | null
  readonly why: string
}

export interface Plan {
  readonly outstanding: readonly Planned[]
  /** Steps that have not begun, in their order; none where the saga turns back or is over. */
  readonly ahead: readonly string[]
  /** What is left to undo where it turns back, else what a cancel or a failure would undo now; in that order. */
  readonly undo: readonly ToUndo[]
  /** The earliest first; the first is when the saga is next woken. */
  readonly wakeUps: readonly WakeUp[]
}

/** What may be asked of a saga from outside. */
export type Request = Action | { readonly kind: 'cancel' }

export interface Preview {
  readonly accepted: boolean
  /** Where not accepted: why. */
  readonly reason: string | null
  /** What would be written to its history, in order. */
  readonly events: readonly Event[]
  /** The saga after it. */
  readonly state: SagaState
  /** What remains then; what would be sent at once is outstanding there. */
  readonly plan: Plan
}

export function planOf(definition: SagaDefinition, state: SagaState): Plan {
  return {
    outstanding: pending(definition, state).commands.map(planned),
    ahead: aheadOf(definition, state),
    undo: undoOf(definition, state),
    wakeUps: wakeUpsOf(definition, state),
  }
}

export const inputOf = (request: Request, by: string, reason: string): Input =>
  request.kind === 'cancel' ? { type: 'cancel', by, reason } : { type: 'act', action: request, by, reason }

export function previewOf(definition: SagaDefinition, before: SagaState, input: Input, now: number): Preview {
  const { events, state } = transition(definition, before, input, now)
  const after = state ?? before
  const reason = refusalIn(events)
  return { accepted: reason === null, reason, events, state: after, plan: planOf(definition, after) }
}

const planned = ({ id, step, direction, attempt, participant, type }: Command): Planned => ({
  id,
  step,
  direction,
  attempt,
  participant,
  type,
})

const directionOf = (state: SagaState) => state.parked?.from ?? state.status

function aheadOf(definition: SagaDefinition, state: SagaState): readonly string[] {
  if (directionOf(state) !== 'STARTED') return []
  return definition.steps.filter((step) => stepOf(state, step.name).phase === 'todo').map(({ name }) => name)
}

function undoOf(definition: SagaDefinition, state: SagaState): readonly ToUndo[] {
  const status = directionOf(state)
  const over = status === 'COMPENSATED' || status === 'CANCELLED' || status === 'FAILED'
  const forward = status === 'STARTED' || status === 'COMPLETED'
  // Past its point of no return only a cancel after completion turns it back, and only where a step decides that.
  const stays =
    forward && definition.cancelDecidedBy === null && !(status === 'STARTED' && turnsBack(definition, state))
  if (over || stays) return []
  const decider = decidesFirst(definition, state) ? definition.cancelDecidedBy : null
  return definition.steps
    .filter((step) => mayBeUndone(stepOf(state, step.name)))
    .toReversed()
    .toSorted((one, other) => Number(other.name === decider) - Number(one.name === decider))
    .flatMap((step) => toUndo(step, stepOf(state, step.name)))
}

/** While its point of no return is outstanding, a refusal of that turns it back. */
const turnsBack = (definition: SagaDefinition, state: SagaState): boolean =>
  canTurnBack(definition, state) || definition.stages[state.stage]?.[0]?.place === 'pivot'

const decidesFirst = (definition: SagaDefinition, state: SagaState): boolean =>
  state.cancel?.after === true ||
  directionOf(state) === 'COMPLETED' ||
  (directionOf(state) === 'STARTED' && !turnsBack(definition, state))

const mayBeUndone = ({ phase, exhausted, before }: StepState): boolean =>
  phase === 'done' ||
  phase === 'asked' ||
  phase === 'unknown' ||
  phase === 'undoing' ||
  phase === 'stuck' ||
  (phase === 'skipped' && exhausted === true) ||
  (phase === 'rejected' && before === true)

function toUndo({ name, undo }: StepDefinition, { phase, blind }: StepState): readonly ToUndo[] {
  if (undo === null) return []
  const certain = phase === 'done' || ((phase === 'undoing' || phase === 'stuck') && blind !== true)
  return [{ step: name, command: undo.type, certain }]
}

function wakeUpsOf(definition: SagaDefinition, state: SagaState): readonly WakeUp[] {
  const { wakeAt } = pending(definition, state)
  if (wakeAt === null) return []
  if (state.status === 'COMPLETED')
    return [{ at: wakeAt, step: null, why: 'it cancels itself then, unless it has been settled before' }]
  const steps = open(definition, state).flatMap((step) => {
    const of = stepOf(state, step.name)
    return of.nextAt === undefined ? [] : [{ at: of.nextAt, step: step.name, why: whyWoken(step, of) }]
  })
  const deadline = state.deadline
  const counts = deadline !== null && state.status === 'STARTED' && state.cancel === null
  const whole =
    counts && canTurnBack(definition, state)
      ? [{ at: deadline, step: null, why: 'its deadline: it cancels itself then' }]
      : []
  return [...steps, ...whole].toSorted((one, other) => one.at - other.at)
}

function whyWoken(
  { do: command, undo, event }: StepDefinition,
  { phase, paused, querying, attempts }: StepState,
): string {
  const after = `after ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`
  if (querying === true) return 'the time for an answer about its outcome ends'
  if (phase === 'undoing')
    return paused === true ? `${undo?.type} is sent again ${after}` : `the time for an answer to ${undo?.type} ends`
  if (command === null) return `the wait for ${event?.type} ends`
  return paused === true ? `${command.type} is sent again ${after}` : `the time for an answer to ${command.type} ends`
}
