/**
 * What an operator may do with a parked saga: the ways out of it. Each is recorded with who and why.
 */
import { ask, askUndo, beginUndo, mayRemain } from './advance.ts'
import { check } from './contract.ts'
import type { StepDefinition } from './definition.ts'
import { keptOf } from './settle.ts'
import type { Turn } from './turn.ts'

export type Action =
  /** Try again what it is parked for, with fresh tries. */
  | { readonly kind: 'retry' }
  /** The operator has made sure that the step has no effect (any more): it counts as undone. After the pivot it is left out. */
  | { readonly kind: 'skip' }
  /** The operator knows that the step was done, and with what answer. */
  | { readonly kind: 'resolve'; readonly reply: unknown }
  /** Ends the saga as FAILED; `leftBehind` names the steps that may still have an effect. */
  | { readonly kind: 'giveUp' }

/** What the kinds of action are, for checks of what comes from outside. */
export const actionKinds: readonly Action['kind'][] = ['retry', 'skip', 'resolve', 'giveUp']

export function act(turn: Turn, action: Action, by: string, reason: string): void {
  const { parked } = turn.state
  const refuse = (why: string): void =>
    turn.emit({ type: 'RequestRefused', request: String(action?.kind), why, by, reason })
  if (!actionKinds.includes(action?.kind)) return refuse(`there is no such action; use ${actionKinds.join(', ')}`)
  if (parked === null) return refuse(`it is not parked but ${turn.state.status}`)
  if (action.kind === 'giveUp')
    return turn.emit({
      type: 'SagaFailed',
      at: turn.now,
      leftBehind: mayRemain(turn),
      reason: `${by} gave up: ${reason}`,
    })
  const step = turn.definition.byName.get(parked.step) as StepDefinition // a saga parks at a step of its own
  if (action.kind === 'resolve') {
    const answer = answerIn(turn, step, action.reply)
    if (!answer.ok) return refuse(answer.why)
    turn.emit({ type: 'SagaResumed', by, reason })
    return turn.emit({ type: 'StepDone', step: step.name, reply: answer.value })
  }
  turn.emit({ type: 'SagaResumed', by, reason })
  if (action.kind === 'retry') retry(turn, step)
  else skip(turn, step, by, reason)
}

function retry(turn: Turn, step: StepDefinition): void {
  const { phase, round = 1 } = turn.step(step)
  if (phase === 'stuck') askUndo(turn, step)
  else if (phase === 'unknown') ask(turn, step)
  else if (phase === 'rejected') ask(turn, step, 1, round + 1)
  // In any other phase nothing was given up: the saga goes on from where it stands.
}

function skip(turn: Turn, step: StepDefinition, by: string, why: string): void {
  const forward = turn.state.status === 'STARTED'
  const reason = `${by} skipped it: ${why}`
  const effect = effectOf(turn, step)
  turn.emit({ type: 'StepSkipped', step: step.name, reason, effect, expiresAt: null })
  if (forward && step.place !== 'after') beginUndo(turn, step.name, reason)
}

/**
 * What an operator's word leaves open. Where the outcome was known, its answer is not news if it comes again. After the
 * pivot a success only completes the step: it is no reason to undo anything.
 */
function effectOf(turn: Turn, step: StepDefinition): 'none' | 'possible' | 'denied' {
  const { phase } = turn.step(step)
  if (phase !== 'asked' && phase !== 'unknown') return 'none'
  return step.place === 'after' ? 'possible' : 'denied'
}

/** What the saga keeps of an operator's answer; why not, where it cannot be the answer. */
function answerIn(turn: Turn, step: StepDefinition, reply: unknown): ReturnType<typeof check> {
  if (step.do === null || turn.step(step).phase !== 'unknown')
    return { ok: false, why: 'only a command whose outcome is unknown can be resolved; retry or skip this one' }
  const data = check(step.do.done.data, reply)
  return data.ok ? keptOf(step, data.value) : { ok: false, why: `the answer does not fit its contract: ${data.why}` }
}
