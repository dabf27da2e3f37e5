/**
 * What the orders of the Order Orchestration can be asked over messages, and how they answer (docs/wire-contract.md 5.4).
 */
import { z } from 'zod'
import { emailText, storableText } from '../shared/database/text.ts'
import { wholeCents } from '../shared/money/money.ts'
import {
  asEither,
  AnyId,
  Nothing,
  orderOrchestrationChannels,
  partInOrderOrchestration,
  refusalOf,
  unanswered,
} from '../shared/order-orchestration.ts'

const order = partInOrderOrchestration('shop-order', orderOrchestrationChannels.order)

export const orderStatuses = [
  'Pending',
  'Preparing for Shipment',
  'Shipped',
  'Out for Delivery',
  'Delivered',
  'Refund',
  'Canceled',
] as const
export type OrderStatus = (typeof orderStatuses)[number]

const Price = z.number().superRefine(wholeCents)

export const createOrder = order.command('create_order', {
  payload: z.object({
    user_email: emailText,
    vendor_email: emailText,
    delivery_address: storableText,
    description: storableText.nullish(),
    /** `Pending` where nothing is said. */
    status: z.enum(orderStatuses).nullish(),
    items: z
      .array(z.object({ product_id: storableText, quantity: z.int().min(1).max(1_000_000), unit_price: Price }))
      .min(1)
      .max(200)
      .readonly(),
  }),
  done: ['create_order.success', z.looseObject({ order_id: AnyId })],
  rejected: refusalOf('create_order'),
})

/**
 * The undo of `create_order`; the order is found by the transaction. A foreign service waits without end where it has no such
 * order: what was never sent is not undone, and on its queue this comes after what it undoes.
 */
export const rollbackOrder = order.command('rollback_order', {
  payload: z.looseObject({}).nullish().catch(null),
  done: ['rollback_order.success', Nothing],
  rejected: refusalOf('rollback_order'),
  safeOnNothing: true,
})

const PaymentOfOrder = z.object({ order_id: storableText, payment_id: storableText })

/** Tells by which payment the order was paid. */
export const updateOrderPaymentId = order.command('update_order_payment_id', {
  payload: PaymentOfOrder,
  done: ['update_order_payment_id.success', Nothing],
  rejected: refusalOf('update_order_payment_id'),
})

/** The commands of a saga. A foreign service answers neither rollbacks nor updates. */
export const shopOrderCommands = asEither(
  { createOrder, rollbackOrder, updateOrderPaymentId },
  {
    rollbackOrder: unanswered(rollbackOrder),
    updateOrderPaymentId: order.notice('update_order_payment_id', { payload: PaymentOfOrder }),
  },
)
