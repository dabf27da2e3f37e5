/** What the worker bundles: the workflow, by the name that clients know. */
import { foreignSagaWorkflow } from 'ordersaga/temporal/workflow'
import { callBy } from '../workflows/hearing.ts'
import { acceptOrderCalls, acceptOrderWorkflowSaga, type AcceptanceRequest } from './saga.ts'

export const AcceptOrderWorkflow = foreignSagaWorkflow(acceptOrderWorkflowSaga(), {
  input: (request) => request,
  result: ({ input }) => `Order ${(input as AcceptanceRequest).order_id} successfully accepted and timer notified.`,
  call: callBy(acceptOrderCalls),
})
