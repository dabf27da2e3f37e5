/** What the worker bundles: the workflow, by the name that clients know. */
import { foreignSagaWorkflow } from 'ordersaga/temporal/workflow'
import { callBy } from '../workflows/hearing.ts'
import { accepted, acceptOrderCalls, acceptOrderWorkflowSaga, type AcceptanceRequest } from './saga.ts'

export const AcceptOrderWorkflow = foreignSagaWorkflow(acceptOrderWorkflowSaga(), {
  input: (request) => request,
  result: ({ input }) => accepted((input as AcceptanceRequest).order_id),
  call: callBy(acceptOrderCalls),
})
