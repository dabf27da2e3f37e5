/**
 * What the Order Service can be asked over messages, and how it answers (contract 1.4, 1.5 and 4.6).
 *
 * Answers are read loosely: a foreign Order Service gives ids that are no UUIDs, leaves fields out and adds others.
 */
import { participantContract } from 'ordersaga/contract'
import { z } from 'zod'
import { storableText } from '../database/text.ts'

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
  // A foreign service reports what the status is, not whether it did as asked (quirk C-07).
  verdict: (data, asked) => (data.status === asked.status ? null : data.status),
})

/** A foreign service answers `order.cancelled` for these too, changes nothing and names the state (contract 4.5). */
const beyondCancelling = /\b(DELIVERED|COMPLETED)\b/

/** The undo of `create_order`. May name the order by its id, or only by the command that it undoes. */
export const cancelOrder = order.command('cancel_order', {
  payload: z.object({
    order_id: storableText.nullish(),
    reason: z.string().optional(),
    correlation_id: z.string().optional(),
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

/** The types of the events that HTTP routes cause (contract 4.6), by the word that their payload has for what happened. */
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

const happenings = new Map(
  Object.entries(orderEvents).map(([happening, type]) => [type as string, happening as Happening]),
)
const Told = z.object({ event: z.string() })
const Order = z.object({ sagaId: z.string().nullish() })

/** What happened to an order that a saga made, and which saga; null for any other message. */
export function readOrderEvent(message: {
  readonly type: string
  readonly payload: unknown
}): { readonly happening: Happening; readonly sagaId: string } | null {
  const happening = happenings.get(message.type)
  const told = Told.safeParse(message.payload)
  if (happening === undefined || !told.success) return null
  const sagaId = Order.safeParse(jsonOf(told.data.event)).data?.sagaId ?? null
  return sagaId === null ? null : { happening, sagaId }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
