/**
 * Accept Order on Temporal (docs/wire-contract.md 6.4): the order is given to the runner, then the timer is stopped that would cancel
 * it. Of several runners one gets the order; one who is refused leaves it as it is. Pure: it runs inside a workflow.
 */
import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import type { SagaDefinition } from 'ordersaga/definition'
import { defaultRetry } from 'ordersaga/retry'
import { z } from 'zod'
import { storableText } from '../../shared/database/text.ts'
import { hears, type Calls } from '../workflows/hearing.ts'

export const acceptOrderNames = {
  workflowType: 'AcceptOrderWorkflow',
  taskQueue: 'accept-order-task-queue',
  idOf: (orderId: string): string => `accept-order-workflow-${orderId}`,
  // An order that its runner gave back may be accepted again: the order itself knows.
  again: true,
} as const

export const AcceptanceRequest = z.looseObject({ order_id: storableText, runner_id: storableText })
export type AcceptanceRequest = z.infer<typeof AcceptanceRequest>

const Nothing = z.object({}).nullish()
const Refused = z.object({ error: z.string() })
const answer = (type: string) => ({ done: [`${type}.done`, Nothing], rejected: [`${type}.refused`, Refused] }) as const

const order = participantContract('order', { tombstones: true })
const timer = participantContract('timer', { tombstones: true })

const Acceptance = z.object({ order_id: z.string(), runner_id: z.string() })
const verifyAndAcceptOrder = order.command('verify_and_accept_order', {
  payload: Acceptance,
  ...answer('verify_and_accept_order'),
})
/**
 * Never sent blind: another Order Service would take the order from whoever has it. (Ours goes by the key of the acceptance.)
 */
const revertOrderStatus = order.command('revert_order_status', {
  payload: z.object({ order_id: z.string() }),
  ...answer('revert_order_status'),
})
const notifyTimerService = timer.command('notify_timer_service', {
  payload: Acceptance,
  ...answer('notify_timer_service'),
})

export interface AcceptOrderWorkflowOptions {
  /** How long an attempt may take, in milliseconds. */
  readonly attemptMs?: number
  /** After how many a person is asked; 25 take about ten minutes, so that one is asked only where nothing helps. */
  readonly tries?: number
}

export function acceptOrderWorkflowSaga({
  attemptMs = 10_000,
  tries = 25,
}: AcceptOrderWorkflowOptions = {}): SagaDefinition<AcceptanceRequest> {
  const patient = { ...defaultRetry, tries }
  return defineSaga('accept-order-workflow', { version: 1, input: AcceptanceRequest })
    .step('accept', {
      do: verifyAndAcceptOrder,
      with: ({ input: { order_id, runner_id } }) => ({ order_id, runner_id }),
      keep: () => null,
      retry: patient,
      undo: revertOrderStatus,
      undoWith: ({ input }) => ({ order_id: input.order_id }),
      undoRetry: patient,
      attemptMs,
    })
    .step('timer', {
      do: notifyTimerService,
      with: ({ input: { order_id, runner_id } }) => ({ order_id, runner_id }),
      keep: () => null,
      retry: patient,
      attemptMs,
    })
    .pivot()
    .end({ businessKey: ({ input }) => input.order_id })
}

/** What the workflow returns. */
export const accepted = (orderId: string): string => `Order ${orderId} successfully accepted and timer notified.`

export const acceptOrderCalls = {
  verify_and_accept_order: ({ order_id, runner_id }) => ({ args: [order_id, runner_id], hear: hears.word }),
  revert_order_status: ({ order_id }) => ({ args: [order_id], hear: hears.word }),
  notify_timer_service: ({ order_id, runner_id }) => ({ args: [order_id, runner_id], hear: hears.word }),
} as const satisfies Calls
