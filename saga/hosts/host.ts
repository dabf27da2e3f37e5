/** What every host of sagas offers, whatever it runs them on; `host.contract.ts` holds hosts equal. */
import type { Action } from '../core/act.ts'
import type { SagaDefinition } from '../core/definition.ts'
import type { Event } from '../core/events.ts'
import type { SagaState } from '../core/state.ts'

export interface StartOptions {
  /**
   * Idempotency key: the same key and input give the same saga; another input under it is refused. At most 200 characters.
   * While the host is busy a repeat is refused too: ask again.
   */
  readonly key?: string | undefined
}

/** What became of a request: a cancel, an operator's action. */
export interface Answer {
  readonly accepted: boolean
  /** Where not accepted: why. */
  readonly reason: string | null
  /** The saga after it. */
  readonly state: SagaState
}

/** What became of an event or answer that was handed in. */
export interface Delivery {
  readonly outcome:
    /** It filled a wait, settled a step, or had its consequence. */
    | 'taken'
    /** It came before what it is for, and is kept with the saga until then. */
    | 'kept'
    /** It came before, under the same id: nothing changed. */
    | 'repeated'
    /** It changed nothing; `reason` says why. */
    | 'refused'
    /** Its saga runs under a version that is not registered here: it is kept for a process that runs it. */
    | 'handed over'
  readonly reason: string | null
}

/** An event from outside, or an answer that came by another way. */
export interface Incoming {
  readonly sagaId: string
  readonly type: string
  readonly payload: unknown
  /** The same for each repeat: it counts once. */
  readonly id: string
  /** Of an answer: the id of the command that it answers. */
  readonly causationId?: string | undefined
}

/** How a saga ended or parked. `replies` are the answers that its steps kept, typed where the definition is given. */
export type Result<Replies = Readonly<Record<string, unknown>>> = SagaState & { readonly replies: Partial<Replies> }

export interface ResultOptions<Replies> {
  /** Types the replies; the saga must be one of it. */
  readonly definition?: SagaDefinition<never, Replies> | SagaDefinition<unknown, Replies>
  readonly signal?: AbortSignal
}

/** One move of a saga. */
export interface Moved {
  /** Counts the moves of a saga, from 1. */
  readonly seq: number
  /** Unix milliseconds. */
  readonly at: number
  /** Names what caused it: a message's id, a request's, a wake-up's. */
  readonly inputId: string
  readonly events: readonly Event[]
}

export interface Host {
  /**
   * Starts a saga; resolves once it is durable. `fresh` is false where the key was known: it is that saga.
   *
   * @throws EngineError invalid_input, unknown_definition, key_reused, busy, stopped
   */
  start<Input, Replies>(
    definition: SagaDefinition<Input, Replies>,
    input: NoInfer<Input>,
    options?: StartOptions,
  ): Promise<{ readonly state: SagaState; readonly fresh: boolean }>
  /** Asks to undo a saga. @throws EngineError not_found, handed_over, busy, stopped */
  cancel(sagaId: string, by: string, reason: string): Promise<Answer>
  /** An operator's action on a parked saga. @throws EngineError not_found, handed_over, busy, stopped */
  act(sagaId: string, action: Action, by: string, reason: string): Promise<Answer>
  /** @throws EngineError invalid_input, busy, stopped */
  deliver(incoming: Incoming): Promise<Delivery>
  /** The state now; null where there is no such saga. */
  state(sagaId: string): Promise<SagaState | null>
  /** Moves after `afterSeq`, oldest first, at most a thousand. */
  history(sagaId: string, afterSeq?: number): Promise<readonly Moved[]>
  /** Waits until the saga has ended or parked. @throws EngineError not_found, stopped */
  result<Replies = Readonly<Record<string, unknown>>>(
    sagaId: string,
    options?: ResultOptions<Replies>,
  ): Promise<Result<Replies>>
  stop(): Promise<void>
}
