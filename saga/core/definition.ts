/**
 * A saga definition as the core reads it: plain data with small pure functions, types erased.
 *
 * `define.ts` builds these with types; `decide`, `evolve` and `pending` read them. Functions in a definition must be
 * pure: they are called again after a restart and must then give the same.
 */
import type { CommandContract, EventContract, Schema } from './contract.ts'
import type { RetryPolicy } from './retry.ts'

/** What a step's payload function sees. */
export interface StepContext<Input = unknown, Replies = Readonly<Record<string, unknown>>> {
  readonly sagaId: string
  /** The id that this command carries. */
  readonly commandId: string
  readonly input: Input
  /** What the steps before it answered, by name. */
  readonly replies: Readonly<Replies>
  /** When the step was first asked, Unix milliseconds: the same on every repeat. */
  readonly since: number
}

/** What an undo's payload function sees. */
export interface UndoContext<
  Input = unknown,
  Replies = Readonly<Record<string, unknown>>,
  Kept = unknown,
> extends StepContext<Input, Replies> {
  /** The step's own answer; undefined where it never came. */
  readonly reply: Kept | undefined
  /** Why the saga is undone. */
  readonly reason: string
}

/** How an unknown outcome is settled. */
export type Settlement = 'repeat' | 'query' | 'undo' | 'park'

export interface StepDefinition {
  readonly name: string
  /** Position in the definition, from 0. */
  readonly index: number
  readonly stage: number
  /** Where it stands to the point of no return. A saga without a pivot has only steps before it. */
  readonly place: 'before' | 'pivot' | 'after'
  /** Null for a step that waits for an event. */
  readonly do: CommandContract | null
  readonly with: (context: StepContext) => unknown
  readonly undo: CommandContract | null
  readonly undoWith: (context: UndoContext) => unknown
  readonly query: CommandContract | null
  readonly queryWith: (context: StepContext) => unknown
  /** The event that a waiting step waits for. */
  readonly event: EventContract | null
  /** `none`: it only reads, so that whatever became of it there is nothing to undo. */
  readonly effect: 'some' | 'none'
  readonly onUnknown: Settlement
  /** `retry`: a refusal is tried again, under a new id, as long as there are tries. */
  readonly onRejected: 'undo' | 'retry'
  /** When all tries are used up after the pivot, or the awaited event did not come: go on without, or stop. */
  readonly onExhausted: 'stop' | 'continue'
  /** Left out after `onExhausted: 'continue'`, the saga cancels itself this long after the step was first asked. */
  readonly thenCancelAfterMs: number | null
  readonly retry: RetryPolicy
  readonly undoRetry: RetryPolicy
  /** How long one attempt may take before its outcome counts as unknown. */
  readonly attemptMs: number
  /** How long all attempts together may take. */
  readonly stepMs: number | null
  /** The part of the answer that later steps use; what is not kept costs nothing in later moves. */
  readonly keep: (reply: unknown) => unknown
}

/** What follows an event that no step waits for, while the saga runs or after it has completed. */
export interface Follow {
  readonly event: EventContract
  readonly reaction:
    | { readonly kind: 'cancel' }
    /** Asks a step after the pivot again, once the saga is complete; too late for that, it cancels. */
    | { readonly kind: 'ask'; readonly step: string; readonly withinMs: number | null }
  /** Who is said to have asked for the cancel, and why. */
  readonly by: string
  readonly reason: string
}

/**
 * What a definition fixes for the sagas that run under it: steps, their order and groups, contracts, pivot, undos, how an unknown
 * is settled. Plain JSON: it is kept beside the sagas, and compared with what a later build declares.
 */
export interface Structure {
  readonly steps: readonly StepStructure[]
  readonly cancelDecidedBy: string | null
  /** What follows an event, in the order of declaration. */
  readonly follows: readonly string[]
}

export type StepStructure = { readonly name: string; readonly stage: number } & Readonly<
  Record<string, string | number | null>
>

/** One saga, as declared under one version. `Input` is what it is started with, `Replies` what its steps answer. */
export interface SagaDefinition<Input = unknown, Replies = unknown> {
  readonly name: string
  readonly version: number
  readonly input: Schema<unknown, Input>
  /** Whole-saga deadline in milliseconds; past it a saga that has not reached its pivot cancels itself. */
  readonly deadlineMs: number | null
  /** What the business calls this saga, for lists. */
  readonly businessKey: (context: {
    readonly input: unknown
    readonly replies: Readonly<Record<string, unknown>>
  }) => unknown
  /** Steps of one stage run side by side; a stage is left when each of them is settled. */
  readonly stages: readonly (readonly StepDefinition[])[]
  readonly steps: readonly StepDefinition[]
  readonly byName: ReadonlyMap<string, StepDefinition>
  /** Steps whose commands are answered by a type, and those that wait for an event of it. */
  readonly byAnswer: ReadonlyMap<string, readonly StepDefinition[]>
  readonly byEvent: ReadonlyMap<string, readonly StepDefinition[]>
  /** The step whose undo decides whether a completed saga may still be cancelled. */
  readonly cancelDecidedBy: string | null
  readonly follows: readonly Follow[]
  /** What its sagas depend on, and a short name for it. */
  readonly structure: Structure
  readonly structureKey: string
  /** Never there; keeps the answers' types. */
  readonly repliesType?: Replies
}

/** What is wrong with a definition, found when it is declared. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError'
}
