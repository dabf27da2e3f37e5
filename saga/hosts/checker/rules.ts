/** The rules that a walk obeys. A test plants a mistake by replacing one; the walk calls no others beside them. */
import { decide } from '../../core/decide.ts'
import { evolve } from '../../core/evolve.ts'
import { pending } from '../../core/pending.ts'

export interface Rules {
  readonly decide: typeof decide
  readonly evolve: typeof evolve
  readonly pending: typeof pending
  /** A participant keeps its answers, so that a repeat does nothing. */
  readonly stores: boolean
  /** It remembers an undo that came before its command, */
  readonly tombstones: boolean
  /** and refuses the command for it. */
  readonly heedsTombstones: boolean
}

export const rules: Rules = { decide, evolve, pending, stores: true, tombstones: true, heedsTombstones: true }
