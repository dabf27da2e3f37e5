/**
 * What the Order Service can be asked over messages, and how it answers (docs/wire-contract.md).
 *
 * Answers are read loosely: a foreign Order Service gives ids that are no UUIDs, leaves fields out and adds others.
 */
import { participantContract, type EventContract } from 'ordersaga/contract'
import { z } from 'zod'
import { completeOrderFailed, partInCompleteOrder, speaksOfOrder } from '../shared/complete-order.ts'
import { storableText } from '../shared/database/text.ts'

const failure = z.object({ error: z.string() })

const order = participantContract('order', { tombstones: true })

export const createOrder = order.command('create_order', {
  payload: z.object({
    customer_id: storableText,
    /** As the customer's request had it; the Order Service checks it. */
    order_details: z.record(z.string(), z.unknown()),
    saga_id: storableText.optional(),
    correlation_id: z.string().optional(),
  }),
  done: [
    'order.created',
    z.object({
      order_id: z.string().min(1),
      customer_id: z.string().nullish(),
      status: z.string().nullish(),
      saga_id: z.string().nullish(),
      correlation_id: z.string().nullish(),
    }),
  ],
  rejected: ['order.creation_failed', failure],
})

export const updateOrderStatus = order.command('update_order_status', {
  payload: z.object({ order_id: storableText, status: storableText, correlation_id: z.string().optional() }),
  done: [
    'order.status_updated',
    z.object({
      order_id: z.string().nullish(),
      status: z.string(),
      saga_id: z.string().nullish(),
      correlation_id: z.string().nullish(),
    }),
  ],
  rejected: ['order.status_update_failed', failure],
  // A foreign service reports what the status is, not whether it did as asked.
  verdict: (data, asked) => (data.status === asked.status ? null : data.status),
})

/** A foreign service answers `order.cancelled` for these too, changes nothing and names the state. */
const beyondCancelling = /\b(DELIVERED|COMPLETED)\b/

/** The undo of `create_order`. May name the order by its id, or only by the command that it undoes. */
export const cancelOrder = order.command('cancel_order', {
  payload: z.object({
    order_id: storableText.nullish(),
    reason: z.string().optional(),
    correlation_id: z.string().optional(),
    /** Asks only while no runner has the order, and is refused otherwise. */
    only_without_runner: z.boolean().optional(),
  }),
  done: [
    'order.cancelled',
    z.object({
      order_id: z.string().nullish(),
      reason: z.string().nullish(),
      correlation_id: z.string().nullish(),
    }),
  ],
  rejected: ['order.cancellation_failed', failure],
  safeOnNothing: true,
  verdict: (data, asked) =>
    data.reason != null && data.reason !== asked.reason && beyondCancelling.test(data.reason) ? data.reason : null,
})

const inCompleteOrder = partInCompleteOrder('order')

/**
 * The status is in the answer's type; what else ours tell (who has the order, what it was before) a foreign service does not, or
 * means something else by it.
 */
const StatusUpdated = z
  .looseObject({
    previous_status: z.enum(['ON_THE_WAY', 'DELIVERED']).nullish().catch(null),
    runner_id: storableText.nullish().catch(null),
  })
  .nullish()
  .catch(null)

const statusUpdatedTo = (status: string): string => `order.status_updated_to_${status.toLowerCase()}`

const StatusUpdate = z.object({ order_id: storableText, status: storableText })
type StatusUpdate = z.infer<typeof StatusUpdate>

function statusUpdate(when: (asked: StatusUpdate) => boolean, status: string, ...also: readonly string[]) {
  return inCompleteOrder.command('update_order_status', {
    payload: StatusUpdate,
    done: [statusUpdatedTo(status), StatusUpdated, ...also.map(statusUpdatedTo)],
    rejected: completeOrderFailed,
    safeOnNothing: true,
    when,
    belongs: (reply, asked) =>
      speaksOfOrder(reply, asked) &&
      (!reply.type.startsWith(statusUpdatedTo('')) || reply.type === statusUpdatedTo(asked.status)),
  })
}

/** Says that the order was delivered: of one that is on its way with a runner. One that is `DELIVERED` already counts as such. */
export const deliverOrder = statusUpdate(({ status }) => status === 'DELIVERED', 'DELIVERED')

export const completeOrder = statusUpdate(({ status }) => status === 'COMPLETED', 'COMPLETED')

/** The undo of `deliverOrder`: asks for the status that the order had, which may have been `DELIVERED`. */
export const takeDeliveryBack = statusUpdate(
  ({ status }) => status !== 'DELIVERED' && status !== 'COMPLETED',
  'ON_THE_WAY',
  'DELIVERED',
)

/** The types of the events that HTTP routes cause, by the word that their payload has for what happened. */
export const orderEvents = {
  created: 'ORDER_CREATED',
  updated: 'ORDER_UPDATED',
  accepted: 'ORDER_ACCEPTED',
  cancelled: 'ORDER_CANCELLED',
  acceptanceCancelled: 'ORDER_ACCEPTANCE_CANCELLED',
  runnerCleared: 'ORDER_RUNNER_CLEARED',
  completed: 'ORDER_COMPLETED',
} as const

export type Happening = keyof typeof orderEvents

/**
 * What happened to an order by another way than its saga. The message has a correlation id of its own; which saga made the
 * order is in its payload.
 */
export const orderHappened = (happening: Happening): EventContract => ({
  type: orderEvents[happening],
  data: z.object({}),
  channel: 'order_events',
  sagaId: (payload) => {
    const told = Told.safeParse(payload)
    return told.success ? (Order.safeParse(jsonOf(told.data.event)).data?.sagaId ?? null) : null
  },
})

const Told = z.object({ event: z.string() })
const Order = z.object({ sagaId: z.string().nullish() })

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
