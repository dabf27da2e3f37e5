/**
 * The state of one saga: small, frozen in tests, plain JSON.
 *
 * It is the saga's outbox and timer table at once: what is outstanding, and when it is next woken, follow from it alone
 * (`pending`), so no second record can disagree with it.
 */

import type { EventName } from './events.ts'
import type { Steps } from './steps.ts'

export type SagaStatus =
  /** Running forward. */
  | 'STARTED'
  /** All steps done. */
  | 'COMPLETED'
  /** Undoing because a step failed. */
  | 'COMPENSATING'
  /** Everything that may have taken effect was undone, after a failure. */
  | 'COMPENSATED'
  /** Undoing because somebody, or a deadline, asked for it. */
  | 'CANCELLING'
  /** Everything that may have taken effect was undone, because it was asked for. */
  | 'CANCELLED'
  /** Ended with nothing to undo, or given up by an operator (`leftBehind` then names what may remain). */
  | 'FAILED'
  /** Needs a person: `parked` says why. */
  | 'PARKED'

/** All statuses, for checks of what comes from outside. */
export const sagaStatuses: readonly SagaStatus[] = [
  'STARTED',
  'COMPLETED',
  'COMPENSATING',
  'COMPENSATED',
  'CANCELLING',
  'CANCELLED',
  'FAILED',
  'PARKED',
]

export type StepPhase =
  /** Not begun. */
  | 'todo'
  /** Its command (or the wait for its event) is outstanding. */
  | 'asked'
  /** No answer in time: it may or may not have taken effect. */
  | 'unknown'
  | 'done'
  /** Refused, with no effect. */
  | 'rejected'
  | 'undoing'
  | 'undone'
  /** Its undo was given up; the saga is parked. */
  | 'stuck'
  /** Left out: by an operator, or as a step that may be left out when its tries are used up. */
  | 'skipped'

export interface StepState {
  readonly phase: StepPhase
  /** Attempts of the current direction (do or undo) so far. */
  readonly attempts: number
  /** When it was first asked, Unix milliseconds. */
  readonly since: number
  /** When it is next looked at (an attempt's deadline, or the end of a pause); absent where nothing is due. */
  readonly nextAt?: number | undefined
  /** In a pause between attempts: nothing is outstanding, `nextAt` ends it. */
  readonly paused?: true | undefined
  /** The settlement query is outstanding. */
  readonly querying?: true | undefined
  /** The part of the answer that is kept. */
  readonly reply?: unknown
  /** How often the command got a fresh id after a definite refusal; 1 where absent. */
  readonly round?: number | undefined
  readonly undoRound?: number | undefined
  /** The undo was sent without knowing whether there was anything to undo. */
  readonly blind?: true | undefined
  /** Tries are used up and it is still unknown. On a skipped step: it may have taken effect all the same. */
  readonly exhausted?: true | undefined
  /** Why it was rejected or is unknown; while its answer is awaited, why the last one could not be read. */
  readonly why?: string | undefined
  /** Its command was sent more than once. */
  readonly resent?: true | undefined
  /** Asked again after it was done: a refusal of the new round does not undo the one before. */
  readonly before?: true | undefined
  /** Of a wait: the id of the message that it took. */
  readonly by?: string | null | undefined
  /** Successes that came late, each to be undone, in the order of their coming; and which of them is being undone. */
  readonly found?: { readonly replies: readonly unknown[]; readonly at: number } | undefined
}

/** An event that waits for what it is for. */
export interface KeptEvent {
  readonly event: EventName
  readonly data: unknown
}

export interface SagaState {
  readonly id: string
  readonly definition: string
  readonly version: number
  /** For jitter, from the start's input. */
  readonly seed: number
  readonly input: unknown
  readonly status: SagaStatus
  /** Index of the current stage of the definition. */
  readonly stage: number
  /** Steps that have begun; `stepOf` finds one by its name. */
  readonly steps: Steps
  /** Unix milliseconds, as all times here. */
  readonly startedAt: number
  readonly endedAt: number | null
  /** The whole saga's deadline: past it, it cancels itself. */
  readonly deadline: number | null
  /** The failed step and its reason. */
  readonly error: { readonly step: string; readonly reason: string } | null
  /** A cancel that was asked for and not refused. `after` is true once it comes after completion. */
  readonly cancel: { readonly by: string; readonly reason: string; readonly at: number; readonly after: boolean } | null
  /** Why it is parked, and the status it goes back to. */
  readonly parked: { readonly step: string; readonly reason: string; readonly from: SagaStatus } | null
  /** A completed saga cancels itself then (a timer service that could not be reached). */
  readonly expiresAt: number | null
  /** Steps that may have left an effect when an operator gave up. */
  readonly leftBehind: readonly string[]
  /** Names the structure of its definition; absent where an earlier build started it. */
  readonly structure?: string | undefined
  /** Names of the steps that a time is set for: what is outstanding, and pauses. Absent where an earlier build kept it. */
  readonly open?: readonly string[] | undefined
  /** While it is undone: the stage whose steps are undone now; later ones are settled. */
  readonly undoing?: number | undefined
  /** Events that came before what they are for. */
  readonly kept?: readonly KeptEvent[] | undefined
  /** Types and ids of the last events that had a consequence. */
  readonly followed?: readonly string[] | undefined
}

/** True when nothing more follows by itself; only a late answer or a cancel after completion can reopen it. */
export const hasEnded = (status: SagaStatus): boolean =>
  status === 'COMPLETED' || status === 'COMPENSATED' || status === 'CANCELLED' || status === 'FAILED'

/** It has ended, or waits for a person: nothing follows by itself. */
export const isSettled = (status: SagaStatus): boolean => hasEnded(status) || status === 'PARKED'
