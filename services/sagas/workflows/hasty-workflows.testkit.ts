/** Workflows whose sagas ask for a person after seconds. */
import { foreignSagaWorkflow } from 'ordersaga/temporal/workflow'
import {
  accepted,
  acceptOrderCalls,
  acceptOrderWorkflowSaga,
  type AcceptanceRequest,
} from '../accept-order-workflow/saga.ts'
import { completeOrderCalls, completeOrderWorkflowSaga } from '../complete-order-workflow/saga.ts'
import { callBy } from './hearing.ts'

const hasty = { attemptMs: 1_000, tries: 3 }

export const CompleteOrderWorkflow = foreignSagaWorkflow(completeOrderWorkflowSaga(hasty), {
  input: (request) => request,
  result: () => 'Order Completed',
  call: callBy(completeOrderCalls),
})

export const AcceptOrderWorkflow = foreignSagaWorkflow(acceptOrderWorkflowSaga(hasty), {
  input: (request) => request,
  result: ({ input }) => accepted((input as AcceptanceRequest).order_id),
  call: callBy(acceptOrderCalls),
})
