/**
 * Complete Order on Temporal (docs/wire-contract.md 3): the order is delivered, learn where its runner is paid and which payment it
 * has, release the funds to him, complete the order. Pure: it runs inside a workflow.
 *
 * Releasing is the point of no return. Refused, the payment is given back, whatever of the release was done, and the order goes back
 * to what it was. After it nothing is given back: the order is completed, however often that must be asked for.
 */
import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import type { SagaDefinition } from 'ordersaga/definition'
import { defaultRetry, forever } from 'ordersaga/retry'
import { z } from 'zod'
import { storableText } from '../../shared/database/text.ts'
import { hears, type Calls } from '../workflows/hearing.ts'

export const completeOrderNames = {
  workflowType: 'CompleteOrderWorkflow',
  taskQueue: 'complete-order-queue',
  idOf: (orderId: string): string => `complete-order-workflow-${orderId}`,
  // One that has paid the runner is the last; one that came to nothing may be followed by another.
  again: false,
} as const

/** What the seed's client sends, or the original's frontend (`clerk_user_id`). */
export const DeliveryRequest = z
  .looseObject({ order_id: storableText, runner_id: storableText.nullish(), clerk_user_id: storableText.nullish() })
  .refine(({ runner_id, clerk_user_id }) => (runner_id ?? clerk_user_id) != null, {
    error: 'send runner_id, the id of the runner who delivered the order',
    path: ['runner_id'],
  })
  .refine(({ runner_id: one, clerk_user_id: other }) => one == null || other == null || one === other, {
    error: 'runner_id and clerk_user_id name two runners: send one of them',
    path: ['runner_id'],
  })
export type DeliveryRequest = z.infer<typeof DeliveryRequest>

export const runnerOf = ({ runner_id, clerk_user_id }: DeliveryRequest): string => runner_id ?? clerk_user_id ?? ''

const Nothing = z.object({}).nullish()
const Refused = z.object({ error: z.string() })
const answer = <Data extends z.ZodType>(type: string, data: Data) =>
  ({ done: [`${type}.done`, data], rejected: [`${type}.refused`, Refused] }) as const

const [order, user, payment] = ['order', 'user', 'payment'].map((name) =>
  participantContract(name, { tombstones: true }),
) as [
  ReturnType<typeof participantContract>,
  ReturnType<typeof participantContract>,
  ReturnType<typeof participantContract>,
]

const verifyRunner = order.command('verify_runner', {
  payload: z.object({ order_id: z.string(), runner_id: z.string() }),
  ...answer('verify_runner', z.object({ status: z.string() })),
})
const StatusUpdate = z.object({ order_id: z.string(), status: z.string() })
const updateOrderStatus = order.command('update_order_status', {
  payload: StatusUpdate,
  ...answer('update_order_status', Nothing),
  safeOnNothing: true,
})
const getUserStripeConnect = user.command('get_user_stripe_connect', {
  payload: z.object({ runner_id: z.string() }),
  ...answer('get_user_stripe_connect', z.string().min(1)),
})
const getPaymentStatus = payment.command('get_payment_status', {
  payload: z.object({ order_id: z.string() }),
  ...answer('get_payment_status', z.string().min(1)),
})
const releaseFunds = payment.command('release_funds', {
  payload: z.object({ payment_id: z.string(), runner_id: z.string(), connect_id: z.string() }),
  ...answer('release_funds', Nothing),
  // Taken from the customer, and not given to the runner: that is refused, too.
  rejectedInPart: true,
})
const rollbackReleaseFunds = payment.command('rollback_release_funds', {
  payload: z.object({ payment_id: z.string() }),
  ...answer('rollback_release_funds', Nothing),
  safeOnNothing: true,
})

export interface CompleteOrderWorkflowOptions {
  /** How long an attempt may take, in milliseconds; the original's activities have ten seconds. */
  readonly attemptMs?: number
  /** After how many a person is asked; 25 take about ten minutes, so that one is asked only where nothing helps. */
  readonly tries?: number
}

export function completeOrderWorkflowSaga({
  attemptMs = 10_000,
  tries = 25,
}: CompleteOrderWorkflowOptions = {}): SagaDefinition<DeliveryRequest> {
  const patient = { ...defaultRetry, tries }
  const runner = ({ input }: { readonly input: DeliveryRequest }): string => runnerOf(input)
  return defineSaga('complete-order-workflow', { version: 1, input: DeliveryRequest })
    .step('verify', {
      do: verifyRunner,
      effect: 'none',
      with: ({ input }) => ({ order_id: input.order_id, runner_id: runner({ input }) }),
      retry: patient,
      attemptMs,
    })
    .step('deliver', {
      do: updateOrderStatus,
      with: ({ input }) => ({ order_id: input.order_id, status: 'DELIVERED' }),
      keep: () => null,
      undo: updateOrderStatus,
      undoWith: ({ input, replies: { verify } }) => ({ order_id: input.order_id, status: verify.status }),
      undoRetry: patient,
      attemptMs,
    })
    .step('connect', {
      do: getUserStripeConnect,
      effect: 'none',
      with: ({ input }) => ({ runner_id: runner({ input }) }),
      retry: patient,
      attemptMs,
    })
    .step('payment', {
      do: getPaymentStatus,
      effect: 'none',
      with: ({ input }) => ({ order_id: input.order_id }),
      retry: patient,
      attemptMs,
    })
    .step('release', {
      do: releaseFunds,
      retry: forever, // while it is unknown whether the runner has the money, nothing else can be done
      with: ({ input, replies: { payment, connect } }) => ({
        payment_id: payment,
        runner_id: runner({ input }),
        connect_id: connect,
      }),
      keep: () => null,
      undo: rollbackReleaseFunds,
      undoWith: ({ replies: { payment } }) => ({ payment_id: payment }),
      undoRetry: patient,
      attemptMs,
    })
    .pivot()
    .step('complete', {
      do: updateOrderStatus,
      with: ({ input }) => ({ order_id: input.order_id, status: 'COMPLETED' }),
      onRejected: 'retry',
      retry: forever,
      keep: () => null,
      attemptMs,
    })
    .end({ businessKey: ({ input }) => input.order_id })
}

/** The original's activities, by their names and arguments; `verify_runner` is ours alone, and stays in our worker. */
export const completeOrderCalls = {
  verify_runner: ({ order_id, runner_id }) => ({ args: [order_id, runner_id], local: true, hear: hears.value }),
  update_order_status: ({ order_id, status }) => ({ args: [order_id, status], hear: hears.word }),
  get_user_stripe_connect: ({ runner_id }) => ({
    args: [runner_id],
    hear: hears.text('the runner has no account that he could be paid to'),
  }),
  get_payment_status: ({ order_id }) => ({ args: [order_id], hear: hears.text('the order has no payment') }),
  release_funds: ({ payment_id, runner_id, connect_id }) => ({
    args: [payment_id, runner_id, connect_id],
    hear: hears.word,
  }),
  rollback_release_funds: ({ payment_id }) => ({ args: [payment_id], hear: hears.word }),
} as const satisfies Calls
