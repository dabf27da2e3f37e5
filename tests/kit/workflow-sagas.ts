/** Sagas that Temporal keeps: read by its own list and the queries of their workflows, which need a worker that answers. */
import type { Client } from '@temporalio/client'
import type { Moved } from 'ordersaga/host'
import { hasEnded, type SagaState } from 'ordersaga/state'
import { groupBy } from './group-by.ts'
import type { StoredSagas } from './histories.ts'

export interface WorkflowSaga {
  /** What Temporal's own list says of the workflow: `RUNNING`, `COMPLETED`, `FAILED`, … */
  readonly listed: string
  /** The saga's status as the list shows it; null where the namespace has no search attributes. */
  readonly shown: string | null
  readonly state: SagaState
  readonly moves: readonly Pick<Moved, 'seq' | 'events'>[]
}

/** Those of a workflow type, that the list knows of: it is a moment behind. Each is one run, whatever runs follow. */
export async function readWorkflows(client: Client, type: string): Promise<readonly WorkflowSaga[]> {
  const found: WorkflowSaga[] = []
  for await (const { workflowId, runId } of client.workflow.list({ query: `WorkflowType = '${type}'` })) {
    const handle = client.workflow.getHandle(workflowId, runId)
    const { status, typedSearchAttributes } = await handle.describe()
    const shown = typedSearchAttributes.get({ name: 'SagaStatus', type: 'KEYWORD' })
    const state = await handle.query<SagaState>('state')
    const { moves } = await handle.query<{ readonly moves: readonly Moved[] }, [number]>('moves', 0)
    found.push({ listed: status.name, shown: shown ?? null, state, moves })
  }
  return found
}

/** As an audit reads those of a store. */
export const storedIn = (sagas: readonly WorkflowSaga[]): StoredSagas => ({
  rows: sagas.map(({ shown, state, moves }) => ({
    id: state.id,
    seq: moves.at(-1)?.seq ?? 0,
    status: shown ?? state.status,
    state,
  })),
  history: new Map(sagas.map(({ state, moves }) => [state.id, moves])),
})

/** What Temporal's list may say of the workflow of a saga that has ended; it stays open where a late answer may still come. */
const closed: Readonly<Record<string, readonly string[]>> = {
  COMPLETED: ['COMPLETED', 'RUNNING'],
  FAILED: ['FAILED', 'RUNNING'],
  COMPENSATED: ['FAILED', 'RUNNING'],
  CANCELLED: ['CANCELLED', 'FAILED', 'RUNNING'],
}

/** A sentence for each saga whose workflow tells another story, and for each that there is twice. */
export function workflowProblems(sagas: readonly WorkflowSaga[]): readonly string[] {
  const byId = groupBy(sagas, ({ state }) => state.id)
  return [
    ...sagas
      .filter(({ listed, state: { status } }) => !(hasEnded(status) ? closed[status] : ['RUNNING'])?.includes(listed))
      .map(({ listed, state: { id, status } }) => `saga ${id} is ${status}, but its workflow is ${listed}`),
    ...[...byId]
      .filter(([, { length }]) => length > 1)
      .map(([id, { length }]) => `${length} workflows say that they are saga ${id}`),
  ]
}
