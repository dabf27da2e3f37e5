/** The trigger of Complete Order on Temporal, on 3103 (docs/wire-contract.md 3.1). */
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import type { OpenService } from '../../shared/service.ts'
import { checkRunner } from '../workflows/checking.ts'
import { openTrigger, type TriggerServiceOptions } from '../workflows/trigger.ts'
import { completeOrderNames, completeOrderWorkflowSaga, DeliveryRequest, runnerOf } from './saga.ts'

export const openCompleteOrderTrigger = (options: TriggerServiceOptions): Promise<OpenService> =>
  openTrigger(options, {
    name: 'complete-order-trigger',
    title: 'Complete Order trigger',
    description: 'Starts a Complete Order workflow on Temporal when a runner has delivered.',
    portVariable: 'COMPLETE_ORDER_TRIGGER_PORT',
    path: '/triggerCompleteOrderWorkflow',
    operationId: 'trigger_complete_order',
    summary: 'A runner has delivered an order',
    names: completeOrderNames,
    definition: completeOrderWorkflowSaga(),
    body: DeliveryRequest.meta({ example: { order_id: exampleIds.order, runner_id: exampleIds.runner } }),
    read: (request) => ({ orderId: request.order_id, runnerId: runnerOf(request) }),
    check: (orders, orderId, runnerId) =>
      checkRunner(orders, orderId, (found) => {
        if (found.runnerId !== runnerId) throw new HttpError(403, `order ${orderId} is not carried by this runner`)
      }),
  })
