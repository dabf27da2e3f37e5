/**
 * Names the rounds of commands anew, so that states which differ only in how many rounds there were are one.
 *
 * A round's number does nothing but tell its command from the ones before. So what was sent last is always named as the first
 * round, and what is still to be sent as the second.
 */
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { Direction } from '../../core/pending.ts'
import { commandId } from '../../core/pending.ts'
import type { SagaState, StepState } from '../../core/state.ts'
import { stepIn, withStepIn } from '../../core/steps.ts'
import type { Ids } from './network.ts'

export interface Named {
  readonly state: SagaState
  /** The ids under which each step's commands went; null for a wait. */
  readonly ids: readonly (Ids | null)[]
}

/** False where there is nothing to name. */
export const hasRounds = ({ steps: all }: SagaDefinition, { steps }: SagaState): boolean =>
  all.some(({ name }) => {
    const step = stepIn(steps, name)
    return step?.round !== undefined || step?.undoRound !== undefined
  })

export function namedAnew(definition: SagaDefinition, given: Named): Named {
  return definition.steps.reduce(
    (all, step) => named(named(all, step, 'do', 'round'), step, 'undo', 'undoRound'),
    given,
  )
}

function named(all: Named, { name, index }: StepDefinition, direction: Direction, field: 'round' | 'undoRound'): Named {
  const step = stepIn(all.state.steps, name)
  if (step?.[field] === undefined) return all
  const sent = all.ids[index]?.[direction]
  const { [field]: _round, ...first } = step
  const state = withStep(all.state, name, first)
  const firstId = commandId(state, name, direction)
  if (sent === undefined) return { ...all, state }
  if (sent === commandId(all.state, name, direction))
    return { state, ids: all.ids.with(index, { ...all.ids[index], [direction]: firstId }) }
  // The round is still to be sent. An id that is none of the core's own stays.
  if (!sent.startsWith(firstId) || !/^\d*$/.test(sent.slice(firstId.length))) return all
  const next = withStep(all.state, name, { ...step, [field]: 2 })
  return { state: next, ids: all.ids.with(index, { ...all.ids[index], [direction]: firstId }) }
}

const withStep = (state: SagaState, name: string, step: StepState): SagaState => ({
  ...state,
  steps: withStepIn(state.steps, name, step),
})
