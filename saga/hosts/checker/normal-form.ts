/**
 * The normal form of a saga's state: states that behave alike are one.
 *
 * Times are 0, and texts that only tell a person why are one text. An attempt counts only as far as it is compared with the
 * tries, and what came from outside as long as it may have a consequence.
 */
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { SagaState, StepState } from '../../core/state.ts'
import { stepIn, withStepIn } from '../../core/steps.ts'
import { due } from './timeless.ts'

export class NormalForm {
  readonly #definition: SagaDefinition
  readonly #forgetful: ReadonlySet<string>
  readonly #steps = new Map<string, StepState>()
  /** Most steps of a state are those of the state before, and normal already. */
  readonly #normal = new WeakMap<StepState, StepState>()
  readonly #numbers = new WeakMap<StepState, number>()

  /** @param forgetful names of the steps whose participants do not know what they have done */
  constructor(definition: SagaDefinition, forgetful: ReadonlySet<string>) {
    this.#definition = definition
    this.#forgetful = forgetful
  }

  of(state: SagaState): SagaState {
    const onlyBack = turnsBackForGood(this.#definition, state)
    const expiresAt = onlyBack ? null : zero(state.expiresAt)
    return {
      ...state,
      steps: this.#definition.steps.reduce((all, step) => this.#step(all, step), state.steps),
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

  /** Tells states in normal form apart. */
  keyOf({ steps, status, stage, open, deadline, expiresAt, error, ...rest }: SagaState): string {
    const { cancel, parked, leftBehind, undoing, kept, followed } = rest
    const numbers = this.#definition.steps.map(({ name }) => this.#numbers.get(stepIn(steps, name) ?? none) ?? 0)
    const more = [cancel, parked, leftBehind, undoing, kept, followed]
    return JSON.stringify([status, stage, numbers, open, deadline, expiresAt, error !== null, ...more])
  }

  #step(steps: SagaState['steps'], definition: StepDefinition): SagaState['steps'] {
    const step = stepIn(steps, definition.name)
    if (step === undefined) return steps
    const normal =
      this.#normal.get(step) ??
      this.#known(definition, normalStep(definition, step, this.#forgetful.has(definition.name)))
    this.#normal.set(step, normal)
    return normal === step ? steps : withStepIn(steps, definition.name, normal)
  }

  /** The same object for the same state of a step. */
  #known({ name }: StepDefinition, step: StepState): StepState {
    const key = name + JSON.stringify(Object.entries(step).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    const known = this.#steps.get(key) ?? step
    if (known === step) {
      this.#steps.set(key, step)
      this.#numbers.set(step, this.#steps.size)
      this.#normal.set(step, step)
    }
    return known
  }
}

const why = 'why'
const none: StepState = { phase: 'todo', attempts: 0, since: 0 }
const zero = (ms: number | null): number | null => (ms === null ? null : 0)

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

/** That it was sent more than once counts where that may have had more than one effect. */
function normalStep(definition: StepDefinition, { resent, ...step }: StepState, forgetful: boolean): StepState {
  return {
    ...step,
    ...(forgetful && resent === true ? { resent } : {}),
    since: 0,
    attempts: Math.min(step.attempts, attemptsThatCount(definition, step)),
    ...(step.nextAt === undefined ? {} : { nextAt: 0 }),
    ...(step.why === undefined ? {} : { why }),
  }
}

/** Tries are compared while there are more to come. */
function attemptsThatCount({ retry, undoRetry }: StepDefinition, { phase, paused, exhausted }: StepState): number {
  if (phase === 'rejected' && paused !== true) return 0
  if (phase === 'undoing') return undoRetry.tries === Infinity ? 2 : undoRetry.tries
  if (phase !== 'asked' && phase !== 'rejected' && phase !== 'unknown') return 0
  return retry.tries !== Infinity ? retry.tries : exhausted === true ? 1 : 2
}
