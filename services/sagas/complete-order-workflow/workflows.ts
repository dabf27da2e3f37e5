/** What the worker bundles: the workflow, by the name that clients know. */
import { foreignSagaWorkflow } from 'ordersaga/temporal/workflow'
import { callBy } from '../workflows/hearing.ts'
import { completeOrderCalls, completeOrderWorkflowSaga } from './saga.ts'

export const CompleteOrderWorkflow = foreignSagaWorkflow(completeOrderWorkflowSaga(), {
  input: (request) => request,
  result: () => 'Order Completed',
  call: callBy(completeOrderCalls),
})
