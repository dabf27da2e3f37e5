/**
 * What the payments of the Order Orchestration can be asked over messages, and how they answer (docs/wire-contract.md 5.4).
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

const payment = partInOrderOrchestration('shop-payment', orderOrchestrationChannels.payment)

export const paymentMethods = ['Credit Card', 'Debit Card', 'Cash on Delivery'] as const
export type PaymentMethod = (typeof paymentMethods)[number]

/** Decimals with at most two places, more than nothing. */
const Amount = z
  .number()
  .superRefine(wholeCents)
  .refine((amount) => amount !== 0, 'it must be more than 0')

export const takePayment = payment.command('take_payment', {
  payload: z.object({
    user_email: emailText,
    /** Not known yet; `update_payment_order_id` tells it. */
    order_id: storableText.nullish(),
    amount: Amount,
    payment_method: z.enum(paymentMethods),
    /** As the original orchestrator sends it; what became of the payment is for this service to say. */
    payment_status: z.string().nullish(),
  }),
  done: ['take_payment.success', z.looseObject({ payment_id: AnyId })],
  rejected: refusalOf('take_payment'),
})

/** The undo of `take_payment`: whatever has happened by then, nothing is taken afterwards. Goes by the transaction, not by the id. */
export const rollbackPayment = payment.command('rollback_payment', {
  payload: z
    .object({ payment_id: storableText.nullish().catch(null) })
    .nullish()
    .catch(null),
  done: ['rollback_payment.success', Nothing],
  rejected: refusalOf('rollback_payment'),
  safeOnNothing: true,
})

const OrderOfPayment = z.object({ payment_id: storableText, order_id: storableText })

/** Tells which order was paid. */
export const updatePaymentOrderId = payment.command('update_payment_order_id', {
  payload: OrderOfPayment,
  done: ['update_payment_order_id.success', Nothing],
  rejected: refusalOf('update_payment_order_id'),
})

/** The commands of a saga. A foreign service answers neither rollbacks nor updates. */
export const shopPaymentCommands = asEither(
  { takePayment, rollbackPayment, updatePaymentOrderId },
  {
    rollbackPayment: unanswered(rollbackPayment),
    updatePaymentOrderId: payment.notice('update_payment_order_id', { payload: OrderOfPayment }),
  },
)
