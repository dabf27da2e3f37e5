/** The states of a saga that a walk has met, each once, with what follows from inputs: many worlds share a saga's state. */
import type { Input } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import type { Pending } from '../../core/pending.ts'
import type { SagaState } from '../../core/state.ts'
import { NormalForm } from './normal-form.ts'
import type { Rules } from './rules.ts'

export interface Saga {
  readonly key: number
  readonly state: SagaState
  readonly pending: Pending
  readonly turns: Map<string, Turn | null>
}

/** What follows from an input. */
export interface Turn {
  readonly input: Input
  readonly events: readonly Event[]
  /** The state before each event. */
  readonly before: readonly (SagaState | null)[]
  readonly next: Saga
}

export class Sagas {
  readonly #definition: SagaDefinition
  readonly #rules: Rules
  readonly #normal: NormalForm
  readonly #known = new Map<string, Saga>()
  readonly #met: (saga: Saga) => void

  /** @param met is told of each state once */
  constructor(definition: SagaDefinition, rules: Rules, forgetful: ReadonlySet<string>, met: (saga: Saga) => void) {
    this.#definition = definition
    this.#normal = new NormalForm(definition, forgetful)
    this.#rules = rules
    this.#met = met
  }

  start(input: unknown): Turn {
    return this.#turn(null, { type: 'start', id: 's', input, seed: 0 }, 0) as Turn
  }

  /**
   * Null where nothing changes. `key` names the input among those of this saga.
   *
   * @param from the state with its times set for this input
   */
  turn(saga: Saga, key: string, input: () => Input, now: number, from = saga.state): Turn | null {
    const known = saga.turns.get(key)
    if (known !== undefined) return known
    const turn = this.#turn(from, input(), now)
    saga.turns.set(key, turn)
    return turn
  }

  /** A saga under other names of its rounds. */
  named(state: SagaState): Saga {
    return this.#intern(this.#normal.of(state))
  }

  #turn(from: SagaState | null, input: Input, now: number): Turn | null {
    const events = this.#rules.decide(this.#definition, from, input, now)
    const before: (SagaState | null)[] = []
    let state = from
    for (const event of events) {
      before.push(state)
      state = this.#rules.evolve(state, event)
    }
    return state === from || state === null
      ? null
      : { input, events, before, next: this.#intern(this.#normal.of(state)) }
  }

  #intern(state: SagaState): Saga {
    const key = this.#normal.keyOf(state)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const pending = this.#rules.pending(this.#definition, state)
    const saga: Saga = { key: this.#known.size, state, pending, turns: new Map() }
    this.#known.set(key, saga)
    this.#met(saga)
    return saga
  }
}
