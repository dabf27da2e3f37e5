/**
 * Takes time and counting out of a saga, so that states which behave alike are one.
 *
 * All durations are 0, and each armed time may come at any moment, alone: `firing` moves the one that comes before the others.
 * So every order in which times can come is walked, whatever a definition's durations are. Texts that only tell a person why
 * are one text. An attempt counts only as far as it is compared with the tries, and ids of rounds are named in turn.
 */
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import type { SagaState } from '../../core/state.ts'
import { stepIn, withStepIn } from '../../core/steps.ts'

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
