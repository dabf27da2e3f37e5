/** An order as it is shown: one object in reads, answers and events alike. */
import { z } from 'zod'
import { decimalOf } from '../shared/money/money.ts'
import { utcText } from '../shared/time/utc.ts'
import { orderStatuses, paymentOnceOrderIs } from './domain.ts'
import type { OrderRow } from './schema.ts'

const payments = Object.entries(paymentOnceOrderIs)
  .map(([status, payment]) => `${payment.join(' or ')} once it is ${status}`)
  .join(', ')

const time = z.string().describe('ISO 8601 in UTC, without an offset')
const moment = (what: string) => z.string().nullable().describe(`When ${what}; otherwise as createdAt`)

export const OrderView = z.object({
  orderId: z.string(),
  custId: z.string(),
  runnerId: z.string().nullable(),
  orderDescription: z.string().describe('The foodItems as they were ordered, as JSON text'),
  foodFee: z.number().describe('Decimal SGD'),
  deliveryFee: z.number().describe('Decimal SGD'),
  storeLocation: z.string().nullable(),
  deliveryLocation: z.string().describe('Empty where none was given'),
  orderStatus: z
    .enum(orderStatuses)
    .describe(`The payment of an order that a saga made is ${payments}; the Payment Service shows it`),
  sagaId: z.string().nullable().describe('The saga that made the order; null where none did'),
  createdAt: time,
  updatedAt: time,
  acceptedAt: moment('its runner accepted it'),
  placedAt: moment('it became PLACED'),
  pickedUpAt: moment('it became ON_THE_WAY'),
  deliveredAt: moment('it became DELIVERED'),
  completedAt: moment('it became COMPLETED'),
  cancelledAt: moment('it became CANCELLED'),
})

export function viewOf(row: OrderRow): z.infer<typeof OrderView> {
  return {
    orderId: row.order_id,
    custId: row.customer_id,
    runnerId: row.runner_id,
    orderDescription: row.description,
    foodFee: decimalOf(row.food_cents),
    deliveryFee: decimalOf(row.delivery_cents),
    storeLocation: row.store_location,
    deliveryLocation: row.delivery_location,
    orderStatus: row.status,
    sagaId: row.saga_id,
    createdAt: utcText(row.created_at),
    updatedAt: utcText(row.updated_at),
    acceptedAt: momentText(row.accepted_at),
    placedAt: momentText(row.placed_at),
    pickedUpAt: momentText(row.picked_up_at),
    deliveredAt: momentText(row.delivered_at),
    completedAt: momentText(row.completed_at),
    cancelledAt: momentText(row.cancelled_at),
  }
}

function momentText(ms: number | null): string | null {
  return ms === null ? null : utcText(ms)
}
