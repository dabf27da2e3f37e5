/** Takes a wake-up in: attempts without an answer become unknown, pauses end, deadlines pass. */
import { ask, askUndo, beginCancel, parkAt } from './advance.ts'
import type { StepDefinition } from './definition.ts'
import { canTurnBack } from './pending.ts'
import { exhausted, leaveOut, outcomeUnknown, undoFailed } from './settle.ts'
import type { Turn } from './turn.ts'

const noAnswer = 'no answer in time'

export function timeCame(turn: Turn): void {
  const { status, expiresAt } = turn.state
  if (status === 'COMPLETED' && expiresAt !== null && expiresAt <= turn.now)
    return beginCancel(turn, 'timer', 'the time of a step that was left out is up')
  if (status !== 'STARTED' && status !== 'COMPENSATING' && status !== 'CANCELLING') return
  for (const step of turn.open()) {
    const { nextAt } = turn.step(step)
    // A step that parked the saga ends the turn: what else is due is looked at when it is resumed.
    if (nextAt !== undefined && nextAt <= turn.now && turn.state.status === status) stepDue(turn, step)
  }
  deadlinePassed(turn)
}

function deadlinePassed(turn: Turn): void {
  const { status, deadline, cancel } = turn.state
  if (status !== 'STARTED' || deadline === null || deadline > turn.now) return
  if (cancel === null && canTurnBack(turn.definition, turn.state))
    beginCancel(turn, 'deadline', 'it did not reach its point of no return in time')
}

function stepDue(turn: Turn, step: StepDefinition): void {
  const { phase, paused, attempts, round = 1 } = turn.step(step)
  if (phase === 'rejected') ask(turn, step, attempts + 1, round + 1)
  else if (phase === 'undoing' && paused === true) askUndo(turn, step)
  else if (phase === 'undoing') undoFailed(turn, step, turn.step(step).why ?? noAnswer, false)
  else if (phase === 'unknown' && paused === true) settleAgain(turn, step)
  else if (step.do === null) eventMissed(turn, step)
  else unanswered(turn, step)
}

function settleAgain(turn: Turn, step: StepDefinition): void {
  const attempt = turn.step(step).attempts + 1
  if (step.onUnknown !== 'query') return void ask(turn, step, attempt)
  const built = turn.build(step, 'query')
  if (!built.ok) return void parkAt(turn, step.name, built.why)
  turn.emit({ type: 'StepQueried', step: step.name, attempt, until: turn.now + step.attemptMs })
}

/** A command or a settlement query stayed without an answer. */
function unanswered(turn: Turn, step: StepDefinition): void {
  const settle = step.onUnknown === 'repeat' || step.onUnknown === 'query'
  const retryAt = settle && !exhausted(turn, step) ? turn.retryAt(step.retry, step, turn.step(step).attempts) : null
  outcomeUnknown(turn, step, turn.step(step).why ?? noAnswer, retryAt)
}

function eventMissed(turn: Turn, step: StepDefinition): void {
  const reason = turn.step(step).why ?? `${step.event?.type} did not come in time`
  if (step.onExhausted === 'continue') leaveOut(turn, step, reason, 'none')
  else turn.emit({ type: 'StepRejected', step: step.name, reason, retryAt: null })
}
