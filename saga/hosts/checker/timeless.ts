/**
 * Takes time and counting out of a saga, so that states which behave alike are one.
 *
 * All durations are 0, and each armed time may come at any moment, alone: `firing` moves the one that comes before the others.
 * So every order in which times can come is walked, whatever a definition's durations are. Texts that only tell a person why
 * are one text. An attempt counts only as far as it is compared with the tries, and ids of rounds are named in turn.
 */
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import type { SagaState, StepState } from '../../core/state.ts'
import { entriesOf, stepIn, withStepIn } from '../../core/steps.ts'

/** The times at which inputs come: before all that is armed, when one of them comes, or too late for everything. */
export const early = -1
export const due = 0
export const late = 1

/** A definition with all durations 0 and at most so many tries; those that never end stay so. */
export function timeless(definition: SagaDefinition, tries: number): SagaDefinition {
  const steps = new Map(definition.steps.map((step) => [step.name, timelessStep(step, tries)]))
  const changed = (step: StepDefinition): StepDefinition => steps.get(step.name) ?? step
  const byType = (types: SagaDefinition['byAnswer']): SagaDefinition['byAnswer'] =>
    new Map([...types].map(([type, of]) => [type, of.map(changed)]))
  return {
    ...definition,
    deadlineMs: zero(definition.deadlineMs),
    stages: definition.stages.map((stage) => stage.map(changed)),
    steps: definition.steps.map(changed),
    byName: steps,
    byAnswer: byType(definition.byAnswer),
    byEvent: byType(definition.byEvent),
    follows: definition.follows.map((follow) =>
      follow.reaction.kind === 'ask'
        ? { ...follow, reaction: { ...follow.reaction, withinMs: one(follow.reaction.withinMs) } }
        : follow,
    ),
  }
}

const zero = (ms: number | null): number | null => (ms === null ? null : 0)
/** Not over when something comes early or is due, but when it is late. */
const one = (ms: number | null): number | null => (ms === null ? null : late)

function timelessStep(step: StepDefinition, tries: number): StepDefinition {
  const at = (policy: RetryPolicy): RetryPolicy => ({
    tries: policy.tries === Infinity ? Infinity : Math.min(policy.tries, tries),
    firstMs: 0,
    factor: 1,
    maxMs: 0,
    jitter: 0,
  })
  return {
    ...step,
    retry: at(step.retry),
    undoRetry: at(step.undoRetry),
    attemptMs: 0,
    stepMs: one(step.stepMs),
    thenCancelAfterMs: zero(step.thenCancelAfterMs),
  }
}

/** The same state, as all that behave like it. */
export function normalised(definition: SagaDefinition, state: SagaState): SagaState {
  const steps = entriesOf(state.steps).reduce(
    (all, [name, step]) => withStepIn(all, name, normalisedStep(definition.byName.get(name), step)),
    state.steps,
  )
  const onlyBack = turnsBackForGood(definition, state)
  const expiresAt = onlyBack ? null : zero(state.expiresAt)
  return {
    ...state,
    steps,
    open: state.open?.toSorted(),
    startedAt: 0,
    endedAt: zero(state.endedAt),
    deadline: zero(state.deadline),
    expiresAt,
    error: state.error && { ...state.error, reason: why },
    // When a cancel came is compared with the expiry.
    cancel: state.cancel && { ...state.cancel, by: why, reason: why, at: expiresAt === null ? due : state.cancel.at },
    parked: state.parked && { ...state.parked, reason: why },
    kept: onlyBack || state.kept?.length === 0 ? undefined : state.kept,
    followed: onlyBack ? undefined : state.followed?.toSorted(),
  }
}

/** It can only end undone: what came from outside, or would follow completion, has no consequence any more. */
export function turnsBackForGood(
  { cancelDecidedBy }: SagaDefinition,
  { status, parked, cancel, steps }: SagaState,
): boolean {
  const from = parked?.from ?? status
  if (from === 'STARTED' || from === 'COMPLETED') return false
  if (from !== 'CANCELLING' || cancel?.after !== true) return true
  const decider = cancelDecidedBy === null ? undefined : stepIn(steps, cancelDecidedBy)
  return decider?.phase === 'undone' && decider.blind !== true && decider.found === undefined
}

const why = 'why'

function normalisedStep(definition: StepDefinition | undefined, step: StepState): StepState {
  return {
    ...step,
    since: 0,
    attempts: Math.min(step.attempts, attemptsThatCount(definition, step)),
    ...(step.nextAt === undefined ? {} : { nextAt: 0 }),
    ...(step.why === undefined ? {} : { why }),
  }
}

/** Tries are compared while there are more to come; of a refusal it counts whether there were several. */
function attemptsThatCount(definition: StepDefinition | undefined, { phase, paused, exhausted }: StepState): number {
  if (phase === 'rejected' && paused !== true) return 2
  const policy = phase === 'undoing' ? definition?.undoRetry : definition?.retry
  const open = phase === 'asked' || phase === 'undoing' || phase === 'rejected' || phase === 'unknown'
  if (!open || policy === undefined) return 0
  return policy.tries === Infinity ? (exhausted === true ? 1 : 2) : policy.tries
}

/** What may come: the time of a step, used up or not; of the whole saga; of a completed saga; or all at once. */
export type Armed =
  | { readonly what: 'step'; readonly step: string; readonly last: boolean }
  | { readonly what: 'deadline' | 'expiry' | 'all' }

/** @param wakeAt what `pending` says: nothing is armed without it */
export function armed(definition: SagaDefinition, state: SagaState, wakeAt: number | null): readonly Armed[] {
  if (wakeAt === null) return []
  if (state.status === 'COMPLETED') return [{ what: 'expiry' }]
  const steps = definition.steps.filter(({ name }) => stepIn(state.steps, name)?.nextAt !== undefined)
  const single = steps.flatMap((step): readonly Armed[] => {
    const one = { what: 'step', step: step.name } as const
    return step.stepMs === null ? [{ ...one, last: false }] : [false, true].map((last) => ({ ...one, last }))
  })
  const deadline = state.status === 'STARTED' && state.deadline !== null && state.cancel === null
  const all = [...single, ...(deadline ? [{ what: 'deadline' } as const] : [])]
  return all.length > 1 ? [...all, { what: 'all' }] : all
}

/** The state in which just this one is due. */
export function firing(definition: SagaDefinition, state: SagaState, time: Armed): SagaState {
  if (time.what === 'all' || time.what === 'expiry') return state
  const steps = definition.steps.reduce((all, { name }) => {
    const step = stepIn(all, name)
    if (step?.nextAt === undefined) return all
    if (time.what !== 'step' || time.step !== name) return withStepIn(all, name, { ...step, nextAt: late })
    return time.last ? withStepIn(all, name, { ...step, since: early }) : all
  }, state.steps)
  return { ...state, steps, deadline: time.what === 'deadline' || state.deadline === null ? state.deadline : late }
}
