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
  if (!actionKinds.includes(action?.kind))
    return refuse(turn, action, `there is no such action; use ${actionKinds.join(', ')}`)
  if (parked === null) return refuse(turn, action, `it is not parked but ${turn.state.status}`)
  if (action.kind === 'giveUp')
    return turn.emit({
      type: 'SagaFailed',
      at: turn.now,
      leftBehind: mayRemain(turn),
      reason: `${by} gave up: ${reason}`,
    })
  const step = turn.definition.byName.get(parked.step) as StepDefinition // a saga parks at a step of its own
  if (action.kind === 'resolve') return resolve(turn, step, action.reply, by, reason)
  turn.emit({ type: 'SagaResumed', by, reason })
  if (action.kind === 'retry') retry(turn, step)
  else skip(turn, step, by, reason)
}

const refuse = (turn: Turn, action: Action, why: string): void =>
  turn.emit({ type: 'RequestRefused', request: String(action?.kind), why })

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

function resolve(turn: Turn, step: StepDefinition, reply: unknown, by: string, reason: string): void {
  const action = { kind: 'resolve', reply } as const
  if (step.do === null || turn.step(step).phase !== 'unknown')
    return refuse(turn, action, 'only a command whose outcome is unknown can be resolved; retry or skip this one')
  const data = check(step.do.done.data, reply)
  if (!data.ok) return refuse(turn, action, `the answer does not fit its contract: ${data.why}`)
  const kept = keptOf(step, data.value)
  if (!kept.ok) return refuse(turn, action, kept.why)
  turn.emit({ type: 'SagaResumed', by, reason })
  turn.emit({ type: 'StepDone', step: step.name, reply: kept.value })
}
