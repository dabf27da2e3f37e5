/** What clients read of a saga's steps: how each is called, where the saga is, and why it failed. */
import { openSteps } from 'ordersaga/core'
import type { SagaState } from 'ordersaga/state'

/** By step, in the order of the saga: its name for clients, and how they are told that it failed. */
export type StepWords = Readonly<Record<string, { readonly name: string; readonly failed: string }>>

interface Words {
  readonly stepName: (step: string) => string
  /** The one that needs an operator; while it is undone, the step whose undo is under way. */
  readonly currentStep: (state: SagaState) => string
  /** Null where nothing has failed. */
  readonly errorOf: (state: SagaState) => string | null
}

export function wordsOf(steps: StepWords): Words {
  const order = Object.keys(steps)
  const stepName = (step: string): string => steps[step]?.name ?? step
  return {
    stepName,
    currentStep: (state) =>
      stepName(
        state.parked?.step ??
          openSteps(state)[0] ??
          state.error?.step ??
          order[Math.min(state.stage, order.length - 1)] ??
          '',
      ),
    errorOf: ({ error, parked, leftBehind }) => {
      if (parked !== null) return `${stepName(parked.step)} needs an operator: ${parked.reason}`
      if (leftBehind.length > 0) return `Given up; may be left behind: ${leftBehind.map(stepName).join(', ')}`
      return error === null ? null : `${steps[error.step]?.failed ?? error.step}: ${error.reason}`
    },
  }
}
