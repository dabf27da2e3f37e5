/**
 * A saga definition as the core reads it: plain data with small pure functions, types erased.
 *
 * `define.ts` builds these with types; `decide`, `evolve` and `pending` read them. Functions in a definition must be
 * pure: they are called again after a restart and must then give the same.
 */
import type { CommandContract, EventContract, Schema } from './contract.ts'
import type { RetryPolicy } from './retry.ts'

/** What a step's payload function sees. */
export interface DoContext {
  readonly sagaId: string
  /** The id that this command carries. */
  readonly commandId: string
  readonly input: unknown
  /** What the steps before it answered, by name. */
  readonly replies: Readonly<Record<string, unknown>>
  /** When the step was first asked, Unix milliseconds: the same on every repeat. */
  readonly since: number
}

/** What an undo's payload function sees. */
export interface UndoContext extends DoContext {
  /** The step's own answer; undefined where it never came. */
  readonly reply: unknown
  /** Why the saga is undone. */
  readonly reason: string
}

/** How an unknown outcome is settled (design rule 1). */
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
  readonly with: (context: DoContext) => unknown
  readonly undo: CommandContract | null
  readonly undoWith: (context: UndoContext) => unknown
  readonly query: CommandContract | null
  readonly queryWith: (context: DoContext) => unknown
  /** The event that a waiting step waits for. */
  readonly event: EventContract | null
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

/** One saga, as declared under one version. `Input` is what it starts from. */
export interface SagaDefinition<Input = unknown> {
  readonly name: string
  readonly version: number
  readonly input: Schema<Input>
  /** Whole-saga deadline in milliseconds; past it a saga that has not reached its pivot cancels itself. */
  readonly deadlineMs: number | null
  /** What the business calls this saga, for lists. */
  readonly businessKey: (context: {
    readonly input: unknown
    readonly replies: Readonly<Record<string, unknown>>
  }) => string | null
  /** Steps of one stage run side by side; a stage is left when each of them is settled. */
  readonly stages: readonly (readonly StepDefinition[])[]
  readonly steps: readonly StepDefinition[]
  readonly byName: ReadonlyMap<string, StepDefinition>
  /** Design rule 12: the step whose undo decides whether a completed saga may still be cancelled. */
  readonly cancelDecidedBy: string | null
}

/** What is wrong with a definition, found when it is declared. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError'
}
