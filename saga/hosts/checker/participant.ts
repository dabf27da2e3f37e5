/**
 * What may have become of one step's commands: a small automaton for the participant and the network before it.
 *
 * A record is one way in which things may stand there. `moves` are what happens unseen: a command arrives (a message that was
 * sent may arrive at any time, any number of times, or never), with each outcome that its contract allows. `sayings` are the
 * answers that may reach the saga, each as often as it likes.
 */
import type { StepDefinition } from '../../core/definition.ts'
import type { Direction } from '../../core/pending.ts'

/** An answer: to the command of a direction, or to the one of the round before it (`old`). */
export interface Saying {
  readonly to: Direction
  readonly old: boolean
  readonly kind: 'done' | 'rejected'
}

/** What happens at a step's participant that the saga causes or sees. */
export type Occurrence =
  /** Sent; `fresh` under a new id. Of a repeat it is told where it counts. */
  | { readonly type: 'send'; readonly direction: Direction; readonly fresh: boolean }
  | { readonly type: 'hear'; readonly saying: Saying }
  /** The transport has taken a command that nobody answers: it arrives before what is sent later. */
  | { readonly type: 'taken'; readonly direction: Direction }
  /** A person has looked. */
  | { readonly type: 'look'; readonly effect: boolean }

export interface Move {
  readonly to: string
  /** For the story. */
  readonly tells: string
}

/** Records are short texts, so that they can be compared and kept in sets. */
export interface Participant {
  readonly first: string
  /** How a record is after an occurrence; null where that cannot be. */
  after(record: string, occurrence: Occurrence): string | null
  moves(record: string): readonly Move[]
  sayings(record: string): readonly Saying[]
  /** How often the step is in effect: 0, 1, or 2 for more. */
  effects(record: string): number
  /** It does not keep its answers, so that a repeat may take effect again. */
  readonly forgetful: boolean
}

/** How the story calls what a participant does. */
export const namesOf = (step: StepDefinition) => {
  const { participant } = step.do ?? { participant: '' }
  return { does: `${participant} does ${step.name}`, refuses: `${participant} refuses ${step.name}`, participant }
}

export const same = (a: Saying, b: Saying): boolean => a.to === b.to && a.old === b.old && a.kind === b.kind
