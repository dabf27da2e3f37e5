/** The trigger of Accept Order on Temporal, on 3102 (docs/wire-contract.md 6.4). */
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import type { OpenService } from '../../shared/service.ts'
import { checkRunner } from '../workflows/checking.ts'
import { openTrigger, type TriggerServiceOptions } from '../workflows/trigger.ts'
import { AcceptanceRequest, acceptOrderNames, acceptOrderWorkflowSaga } from './saga.ts'

export const openAcceptOrderTrigger = (options: TriggerServiceOptions): Promise<OpenService> =>
  openTrigger(options, {
    name: 'accept-order-trigger',
    title: 'Accept Order trigger',
    description: 'Starts an Accept Order workflow on Temporal when a runner accepts an order.',
    portVariable: 'ACCEPT_ORDER_TRIGGER_PORT',
    path: '/acceptOrder',
    operationId: 'accept_order',
    summary: 'A runner accepts an order',
    names: acceptOrderNames,
    definition: acceptOrderWorkflowSaga(),
    body: AcceptanceRequest.meta({ example: { order_id: exampleIds.order, runner_id: exampleIds.runner } }),
    read: ({ order_id, runner_id }) => ({ orderId: order_id, runnerId: runner_id }),
    check: (orders, orderId, runnerId) =>
      checkRunner(orders, orderId, (found) => {
        const his = found.runnerId === runnerId && found.status === 'ACCEPTED'
        if (found.status !== 'CREATED' && !his)
          throw new HttpError(400, `order ${orderId} is ${found.status}: only one that is CREATED can be accepted`)
      }),
  })
