/**
 * What happened to a saga. The history of a saga is these, in order; folding them with `evolve` gives its state.
 * Times are Unix milliseconds.
 */

/** An event from outside, by its type and the id of its message. */
export interface EventName {
  readonly type: string
  readonly id: string | null
}

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
      /** Names what its definition fixes; absent where an earlier build started it. */
      readonly structure?: string
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
  /** `event` is what a wait has taken. */
  | { readonly type: 'StepDone'; readonly step: string; readonly reply: unknown; readonly event?: EventName }
  /** An event came before what it is for; it is taken later. */
  | { readonly type: 'EventKept'; readonly event: EventName; readonly data: unknown }
  /** An event has its consequence; it was kept until now, or came just now. */
  | { readonly type: 'EventFollowed'; readonly event: EventName }
  /** Completed, it goes on at this stage: one of its steps is asked again. */
  | { readonly type: 'SagaReopened'; readonly stage: number }
  /** `retryAt` is null where the refusal is final. */
  | { readonly type: 'StepRejected'; readonly step: string; readonly reason: string; readonly retryAt: number | null }
  /** No answer in time: the outcome is unknown. `retryAt` is null where the tries are used up. */
  | {
      readonly type: 'StepUnknown'
      readonly step: string
      readonly reason: string
      readonly retryAt: number | null
      /** A repeat was refused, which proves nothing of the try before. */
      readonly refused?: true
    }
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
      /** The step's stage; later ones are settled. */
      readonly stage?: number
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
  /**
   * `EffectFound`: a success of a step that counted as without effect came late; it may be left behind, so it is undone.
   * `EffectRepeated`: a success tells of one more effect of a step that is done; all of them are undone with it.
   */
  | { readonly type: 'EffectFound' | 'EffectRepeated'; readonly step: string; readonly reply: unknown }
  | { readonly type: 'SagaParked'; readonly step: string; readonly reason: string }
  | { readonly type: 'SagaResumed'; readonly by: string; readonly reason: string }
  | { readonly type: 'SagaCompleted' | 'SagaCompensated' | 'SagaCancelled'; readonly at: number }
  | {
      readonly type: 'SagaFailed'
      readonly at: number
      readonly leftBehind: readonly string[]
      readonly reason: string | null
    }
  /** An answer that changed nothing: late, repeated, foreign or unreadable. */
  | {
      readonly type: 'ReplyIgnored'
      readonly reply: string
      readonly why: string
      /** Where it answers what is outstanding but cannot be read: that step. */
      readonly step?: string
      /** It is known to have come before. */
      readonly repeated?: true
      /** It shows that this step took effect, which an operator has denied; nothing undoes it. */
      readonly contradicts?: string
    }
  /** A request by a person or a clock that changed nothing. */
  | {
      readonly type: 'RequestRefused'
      readonly request: string
      readonly why: string
      /** Who asked for it, and with what reason; absent where an earlier build wrote the history. */
      readonly by?: string
      readonly reason?: string
    }
