/** How long the workflow of an ended saga stays open: closed, nothing moves it any more. */
import type { SagaDefinition } from '../../core/definition.ts'
import { stepOf } from '../../core/evolve.ts'
import type { SagaState } from '../../core/state.ts'

/** Milliseconds after its end. */
export function remainsOpen(
  definition: SagaDefinition,
  state: SagaState,
  { openMs, lateMs }: { readonly openMs: number; readonly lateMs: number },
): number {
  const completed = state.status === 'COMPLETED'
  if (completed && (definition.cancelDecidedBy !== null || definition.follows.length > 0)) return openMs
  if (completed && state.expiresAt !== null) return openMs
  return definition.steps.some((step) => mayAnswerLate(state, step)) ? lateMs : 0
}

/** Whether an answer that is still on its way may tell of an effect that is left behind, or settle a step that was left out. */
function mayAnswerLate(state: SagaState, step: SagaDefinition['steps'][number]): boolean {
  const { phase, blind, exhausted, found, resent } = stepOf(state, step.name)
  if (phase === 'skipped') return blind === true || exhausted === true
  // What its undo has overtaken, a participant with tombstones refuses.
  return step.do?.tombstones === false && (blind === true || found !== undefined || resent === true)
}
