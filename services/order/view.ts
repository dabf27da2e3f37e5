/** An order as it is shown: one object in reads, answers and events alike. */
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { decimalOf } from '../shared/money/money.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import { orderStatuses, paymentOnceOrderIs } from './domain.ts'
import type { OrderRow } from './schema.ts'

const payments = Object.entries(paymentOnceOrderIs)
  .map(([status, payment]) => `${payment.join(' or ')} once it is ${status}`)
  .join(', ')

const moment = (what: string) => UtcText.nullable().describe(`When ${what}; otherwise as createdAt`)

export const OrderView = z.object({
  orderId: z.string().meta({ example: exampleIds.order }),
  custId: z.string().meta({ example: exampleIds.customer }),
  runnerId: z.string().nullable().meta({ example: exampleIds.runner }),
  orderDescription: z.string().meta({
    description: 'The foodItems as they were ordered, as JSON text',
    example: '[{"name":"Burger","price":12.99,"quantity":1}]',
  }),
  foodFee: z.number().meta({ description: 'Decimal SGD', example: 12.99 }),
  deliveryFee: z.number().meta({ description: 'Decimal SGD', example: 0 }),
  storeLocation: z.string().nullable().meta({ example: 'Canteen 2' }),
  deliveryLocation: z.string().meta({ description: 'Empty where none was given', example: 'North Campus' }),
  orderStatus: z
    .enum(orderStatuses)
    .describe(`The payment of an order that a saga made is ${payments}; the Payment Service shows it`),
  sagaId: z.string().nullable().meta({
    description: 'The saga that made the order; null where none did',
    example: exampleIds.saga,
  }),
  createdAt: UtcText,
  updatedAt: UtcText,
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
