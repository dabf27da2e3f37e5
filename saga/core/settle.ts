/** How a try ends that brought no success: counted, left out, or given up. */
import { parkAt } from './advance.ts'
import type { Checked } from './contract.ts'
import type { StepDefinition } from './definition.ts'
import { said, whyNotPlain } from './plain.ts'
import type { Turn } from './turn.ts'

/** Tries or the step's time are used up. */
export function exhausted(turn: Turn, step: StepDefinition): boolean {
  const { phase, attempts, since } = turn.step(step)
  if (phase === 'undoing') return attempts >= step.undoRetry.tries
  return attempts >= step.retry.tries || (step.stepMs !== null && turn.now >= since + step.stepMs)
}

/** Nobody knows whether the step took effect; without a `retryAt`, nothing will settle it by itself any more. */
export function outcomeUnknown(turn: Turn, step: StepDefinition, reason: string, retryAt: number | null): void {
  turn.emit({ type: 'StepUnknown', step: step.name, reason, retryAt })
  if (retryAt === null) leaveOut(turn, step, reason, 'possible')
}

/** After the pivot, a step whose tries are used up may be left out. */
export function leaveOut(turn: Turn, step: StepDefinition, reason: string, effect: 'none' | 'possible'): void {
  if (step.onExhausted !== 'continue') return
  const { thenCancelAfterMs } = step
  const expiresAt = thenCancelAfterMs === null ? null : turn.step(step).since + thenCancelAfterMs
  turn.emit({ type: 'StepSkipped', step: step.name, reason, effect, expiresAt })
}

/** An undo is retried until its limit; then the saga parks with the rest of its plan. */
export function undoFailed(turn: Turn, step: StepDefinition, reason: string, refused: boolean): void {
  const last = exhausted(turn, step)
  const retryAt = last ? null : turn.retryAt(step.undoRetry, step, turn.step(step).attempts)
  turn.emit({ type: 'UndoFailed', step: step.name, reason, refused, retryAt })
  if (last) parkAt(turn, step.name, `its undo failed: ${reason}`)
}

/** The part of an answer that the step keeps. */
export function keptOf(step: StepDefinition, data: unknown): Checked<unknown> {
  try {
    const value = step.keep(data)
    const why = value === undefined ? null : whyNotPlain(value, `what step ${step.name} keeps`)
    return why === null ? { ok: true, value } : { ok: false, why }
  } catch (error) {
    return { ok: false, why: `the keep function of step ${step.name} failed: ${said(error)}` }
  }
}
