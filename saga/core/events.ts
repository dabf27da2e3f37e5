/**
 * What happened to a saga. The history of a saga is these, in order; folding them with `evolve` gives its state.
 * Times are Unix milliseconds.
 */

export type Event =
  | {
      readonly type: 'SagaStarted'
      readonly id: string
      readonly definition: string
      readonly version: number
      readonly seed: number
      readonly input: unknown
      readonly at: number
      readonly deadline: number | null
    }
  /** The command was sent (or the wait begun) for the first time, again under its id, or under a new id after a refusal. */
  | {
      readonly type: 'StepAsked'
      readonly step: string
      readonly attempt: number
      readonly round: number
      readonly at: number
      readonly until: number
    }
  | { readonly type: 'StepQueried'; readonly step: string; readonly attempt: number; readonly until: number }
  | { readonly type: 'StepDone'; readonly step: string; readonly reply: unknown }
  /** `retryAt` is null where the refusal is final. */
  | { readonly type: 'StepRejected'; readonly step: string; readonly reason: string; readonly retryAt: number | null }
  /** No answer in time: the outcome is unknown. `retryAt` is null where the tries are used up. */
  | { readonly type: 'StepUnknown'; readonly step: string; readonly reason: string; readonly retryAt: number | null }
  /** `effect`: `possible` where nobody knows, `denied` where an operator says, against what nobody knows, that there is none. */
  | {
      readonly type: 'StepSkipped'
      readonly step: string
      readonly reason: string
      readonly effect: 'none' | 'possible' | 'denied'
      readonly expiresAt: number | null
    }
  | { readonly type: 'StageEntered'; readonly stage: number }
  | { readonly type: 'CompensationStarted'; readonly step: string; readonly reason: string }
  /** `now`: undoing begins; `pivot`: the pivot's outcome decides; `completion`: it is looked at when the saga has completed. */
  | {
      readonly type: 'CancelRequested'
      readonly by: string
      readonly reason: string
      readonly at: number
      readonly takes: 'now' | 'pivot' | 'completion'
    }
  | { readonly type: 'CancelStarted'; readonly afterCompletion: boolean }
  | { readonly type: 'CancelRefused'; readonly by: string; readonly reason: string }
  | {
      readonly type: 'UndoAsked'
      readonly step: string
      readonly attempt: number
      readonly round: number
      readonly blind: boolean
      readonly until: number
    }
  /** The undo was refused or not answered; it is asked again at `retryAt`. A refusal gets a new id. */
  | {
      readonly type: 'UndoFailed'
      readonly step: string
      readonly reason: string
      readonly refused: boolean
      readonly retryAt: number | null
    }
  | { readonly type: 'UndoDone'; readonly step: string }
  /** A success of a step that was undone blind came late: its effect may be left behind, so it is undone again. */
  | { readonly type: 'EffectFound'; readonly step: string; readonly reply: unknown }
  | { readonly type: 'SagaParked'; readonly step: string; readonly reason: string }
  | { readonly type: 'SagaResumed'; readonly by: string; readonly reason: string }
  | { readonly type: 'SagaCompleted'; readonly at: number }
  | { readonly type: 'SagaCompensated'; readonly at: number }
  | { readonly type: 'SagaCancelled'; readonly at: number }
  | {
      readonly type: 'SagaFailed'
      readonly at: number
      readonly leftBehind: readonly string[]
      readonly reason: string | null
    }
  /** An answer that changed nothing: late, repeated, foreign or unreadable. */
  | { readonly type: 'ReplyIgnored'; readonly reply: string; readonly why: string }
  /** A request by a person or a clock that changed nothing. */
  | { readonly type: 'RequestRefused'; readonly request: string; readonly why: string }
