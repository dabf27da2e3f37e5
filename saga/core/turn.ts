/** One turn of a saga: what is decided in answer to one input, each event folded at once. */
import type { SagaDefinition, StepDefinition } from './definition.ts'
import type { Event } from './events.ts'
import { evolve, stepOf } from './evolve.ts'
import type { Built, Command, Direction } from './pending.ts'
import { begun, buildCommand, open } from './pending.ts'
import { backoff } from './retry.ts'
import type { RetryPolicy } from './retry.ts'
import type { SagaState, StepState } from './state.ts'

export class Turn {
  readonly definition: SagaDefinition
  /** Unix milliseconds. */
  readonly now: number
  readonly events: Event[] = []
  readonly #built: Command[]
  #state: SagaState

  constructor(definition: SagaDefinition, state: SagaState, now: number, built: Command[] = []) {
    this.definition = definition
    this.#state = state
    this.now = now
    this.#built = built
  }

  get state(): SagaState {
    return this.#state
  }

  /** `folded` spares the fold where the caller has it already. */
  emit(event: Event, folded = evolve(this.#state, event) as SagaState): void {
    this.events.push(event)
    this.#state = folded
  }

  step(step: StepDefinition): StepState {
    return stepOf(this.#state, step.name)
  }

  /** The step's command in a state, which may be the one that would follow. */
  build(step: StepDefinition, direction: Direction, state = this.#state): Built {
    return buildCommand(this.definition, state, step, direction, this.#built)
  }

  begun(): readonly StepDefinition[] {
    return begun(this.definition, this.#state)
  }

  /** Steps that a time is set for. */
  open(): readonly StepDefinition[] {
    return open(this.definition, this.#state)
  }

  /** The newest step that the saga waits for. */
  currentStep(): string {
    return this.open()
      .map(({ name }) => name)
      .at(-1) as string
  }

  /** When the next attempt may go out, in Unix milliseconds; a step's own deadline ends the pause. */
  retryAt(policy: RetryPolicy, step: StepDefinition, attempts: number): number {
    const at = this.now + backoff(policy, attempts, this.#state.seed, step.index)
    const forward = this.step(step).phase !== 'undoing'
    return step.stepMs === null || !forward ? at : Math.min(at, Math.max(this.now, this.step(step).since + step.stepMs))
  }
}
