/** What is said on `order_events` when an HTTP route has changed an order. */
import { v7 as uuidv7 } from 'uuid'
import type { Message } from 'ordersaga/transport'
import { orderEvents, type Happening } from './messages.ts'
import type { OrderRow } from './schema.ts'
import { viewOf } from './view.ts'

const source = 'order-service'

/**
 * Correlation id and source are in the envelope and in the payload: known readers look in either place.
 * Each event has a correlation id of its own: known readers take a second one of the same type for a repeat.
 */
export function orderEvent(happening: Happening, order: OrderRow, now: number): Message {
  const id = uuidv7()
  const time = new Date(now).toISOString()
  const correlationId = `order-${time.slice(0, 19).replaceAll(/\D/g, '')}-${id.slice(-8)}`
  return {
    id,
    type: orderEvents[happening],
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
