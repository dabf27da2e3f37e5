/** What the worker of `temporal.ts` bundles: the workload's sagas, and the same by Temporal's own idiom. */
import { ApplicationFailure, proxyActivities } from '@temporalio/workflow'
import { sagaWorkflow } from 'ordersaga/temporal/workflow'
import { fiveSteps, oneStep } from './workload.ts'

export const five = sagaWorkflow(fiveSteps)
export const one = sagaWorkflow(oneStep)

interface Work {
  readonly work: (payload: object) => Promise<{ readonly ref: string }>
  readonly undo: (payload: object) => Promise<void>
}

const { work, undo } = proxyActivities<Work>({ startToCloseTimeout: '20s' })

/** Activities, and a list of undo functions that a catch block calls. */
export async function idiom(input: { readonly text: string; readonly refuse: boolean }): Promise<string> {
  const undos: (() => Promise<void>)[] = []
  try {
    undos.unshift(() => undo({}))
    const one = await work({ text: input.text })
    await work({})
    undos.unshift(() => undo({ ref: one.ref }))
    await work({ one: one.ref })
    const four = await work({ refuse: input.refuse })
    await work({ four: four.ref })
    return 'COMPLETED'
  } catch (error) {
    for (const each of undos) await each()
    throw ApplicationFailure.create({ message: String(error), type: 'COMPENSATED', nonRetryable: true })
  }
}
