/**
 * Starts workflows as the originals' triggers do: one for an order, under an id that follows from it, with the request as it came as
 * its only argument.
 */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client'
import type { SagaDefinition } from 'ordersaga/definition'
import { parkedIn, SagaIndex } from 'ordersaga/temporal/host'
import type { TemporalClient } from './temporal.ts'

export interface WorkflowNames {
  readonly workflowType: string
  readonly taskQueue: string
  /** The id of the workflow of an order. */
  readonly idOf: (orderId: string) => string
  /** Whether a workflow that has ended well may be followed by another for its order. */
  readonly again: boolean
}

/** What stands under the id now. */
export interface Standing {
  readonly workflowId: string
  /** `RUNNING`, `COMPLETED`, `FAILED`, … */
  readonly status: string
  /** Why its saga needs an operator; null where it needs none. */
  readonly parked: string | null
  /** Whom it was started for; null where whoever started it did not say. */
  readonly runnerId: string | null
  readonly startedAt: Date
}

export interface Starter {
  /** Null where it was started now, else what was there already. @throws Error where Temporal cannot, or its answer is lost */
  start(request: WorkflowRequest): Promise<{ readonly workflowId: string; readonly standing: Standing | null }>
  /** Null where there is none. */
  standing(orderId: string): Promise<Standing | null>
}

export interface WorkflowRequest {
  readonly orderId: string
  readonly runnerId: string
  /** What the workflow gets. */
  readonly argument: object
}

/** How long Temporal's server may take for all that one request asks of it, in milliseconds. */
const patienceMs = 5_000

const runnerMemo = 'runner_id'

export function starter({ client, ask }: TemporalClient, names: WorkflowNames, definition: SagaDefinition): Starter {
  const index = new SagaIndex(client)

  async function standing(orderId: string): Promise<Standing | null> {
    const workflowId = names.idOf(orderId)
    try {
      const { status, memo, startTime } = await client.workflow.getHandle(workflowId).describe()
      const runner: unknown = memo?.[runnerMemo]
      return {
        workflowId,
        status: status.name,
        parked: parkedIn(memo),
        runnerId: typeof runner === 'string' ? runner : null,
        startedAt: startTime,
      }
    } catch (error) {
      if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null
      throw error
    }
  }

  /** Another worker's workflow that has failed ends well, and gives nothing (docs/wire-contract.md 3.2). */
  async function cameToNothing(workflowId: string): Promise<boolean> {
    const result: unknown = await client.workflow.getHandle(workflowId).result()
    return result === null || result === undefined || result === false
  }

  async function start({ orderId, runnerId, argument }: WorkflowRequest): ReturnType<Starter['start']> {
    const workflowId = names.idOf(orderId)
    const searchable = await index.attributesOf(definition, orderId)
    const startAs = (workflowIdReusePolicy: 'ALLOW_DUPLICATE' | 'ALLOW_DUPLICATE_FAILED_ONLY') =>
      client.workflow.start(names.workflowType, {
        workflowId,
        taskQueue: names.taskQueue,
        args: [argument],
        memo: { [runnerMemo]: runnerId },
        workflowIdReusePolicy,
        workflowIdConflictPolicy: 'FAIL',
        ...(searchable === null ? {} : { typedSearchAttributes: searchable }),
      })
    try {
      await startAs(names.again ? 'ALLOW_DUPLICATE' : 'ALLOW_DUPLICATE_FAILED_ONLY')
      return { workflowId, standing: null }
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error
    }
    const found = await standing(orderId)
    if (found?.status !== 'COMPLETED' || !(await cameToNothing(workflowId))) return { workflowId, standing: found }
    await startAs('ALLOW_DUPLICATE')
    return { workflowId, standing: null }
  }

  return {
    start: (request) => ask(patienceMs, () => start(request)),
    standing: (orderId) => ask(patienceMs, () => standing(orderId)),
  }
}
