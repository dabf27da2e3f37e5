/** The worker of Complete Order on Temporal. */
import type { OpenService } from '../../shared/service.ts'
import { openWorker, workflowsBeside, type WorkerDescription, type WorkerServiceOptions } from '../workflows/worker.ts'
import { completeOrderActivities, type Addresses } from './activities.ts'
import { completeOrderNames } from './saga.ts'

export type CompleteOrderWorkerOptions = WorkerServiceOptions & Addresses & Pick<WorkerDescription, 'only'>

export function openCompleteOrderWorker({ only, ...options }: CompleteOrderWorkerOptions): Promise<OpenService> {
  return openWorker(options, {
    name: 'complete-order-worker',
    title: 'Complete Order worker',
    description: 'Runs Complete Order workflows, and calls the services that they ask for.',
    portVariable: 'COMPLETE_ORDER_WORKER_PORT',
    taskQueue: completeOrderNames.taskQueue,
    workflows: workflowsBeside(import.meta.url),
    activities: completeOrderActivities(options),
    ...(only === undefined ? {} : { only }),
  })
}
