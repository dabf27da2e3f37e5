/** The worker of Accept Order on Temporal. */
import type { OpenService } from '../../shared/service.ts'
import { openWorker, workflowsBeside, type WorkerDescription, type WorkerServiceOptions } from '../workflows/worker.ts'
import { acceptOrderActivities, type AcceptAddresses } from './activities.ts'
import { acceptOrderNames } from './saga.ts'

export type AcceptOrderWorkerOptions = WorkerServiceOptions & AcceptAddresses & Pick<WorkerDescription, 'only'>

export function openAcceptOrderWorker({ only, ...options }: AcceptOrderWorkerOptions): Promise<OpenService> {
  return openWorker(options, {
    name: 'accept-order-worker',
    title: 'Accept Order worker',
    description: 'Runs Accept Order workflows, and calls the services that they ask for.',
    portVariable: 'ACCEPT_ORDER_WORKER_PORT',
    taskQueue: acceptOrderNames.taskQueue,
    workflows: workflowsBeside(import.meta.url),
    activities: acceptOrderActivities(options),
    ...(only === undefined ? {} : { only }),
  })
}
