/** What is said on `order_events` when an HTTP route has changed an order (contract 4.6), written and read. */
import { v7 as uuidv7 } from 'uuid'
import type { Message } from 'ordersaga/transport'
import { z } from 'zod'
import type { OrderRow } from './schema.ts'
import { OrderView, viewOf } from './view.ts'

const source = 'order-service'

/** By the word that the payload has for what happened. */
const types = {
  created: 'ORDER_CREATED',
  updated: 'ORDER_UPDATED',
  accepted: 'ORDER_ACCEPTED',
  cancelled: 'ORDER_CANCELLED',
  acceptanceCancelled: 'ORDER_ACCEPTANCE_CANCELLED',
  runnerCleared: 'ORDER_RUNNER_CLEARED',
  completed: 'ORDER_COMPLETED',
} as const

export type Happening = keyof typeof types

/**
 * Correlation id and source are in the envelope and in the payload: seed 003 has them there, its code here (contract 0.3).
 * Each event has a correlation id of its own: known readers take a second one of the same type for a repeat (contract 6.5).
 */
export function orderEvent(happening: Happening, order: OrderRow, now: number): Message {
  const id = uuidv7()
  const time = new Date(now).toISOString()
  const correlationId = `order-${time.slice(0, 19).replaceAll(/\D/g, '')}-${id.slice(-8)}`
  return {
    id,
    type: types[happening],
    correlationId,
    timestamp: time,
    source,
    payload: {
      customerId: order.customer_id,
      runnerId: order.runner_id,
      orderId: order.order_id,
      status: happening,
      event: JSON.stringify(viewOf(order)),
      correlation_id: correlationId,
      source,
    },
  }
}

const happenings = new Map(Object.entries(types).map(([happening, type]) => [type as string, happening as Happening]))

const Told = z.object({ event: z.string() })
const Named = OrderView.pick({ orderId: true, sagaId: true }).partial({ sagaId: true })

/** What happened to which order, and the saga that made it; null for any other message. */
export function readOrderEvent({ type, payload }: Message): {
  readonly happening: Happening
  readonly orderId: string
  readonly sagaId: string | null
} | null {
  const happening = happenings.get(type)
  const told = Told.safeParse(payload)
  if (happening === undefined || !told.success) return null
  const order = Named.safeParse(jsonOf(told.data.event))
  if (!order.success) return null
  const { orderId, sagaId = null } = order.data
  return { happening, orderId, sagaId }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
