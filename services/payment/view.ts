/** A payment as clients know it. */
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { decimalOf } from '../shared/money/money.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import type { PaymentRow } from './schema.ts'

const Shown = z.enum(['INITIATING', 'AUTHORIZED', 'SUCCEEDED', 'REVERTING', 'REVERTED', 'FAILED'])

export const PaymentView = z.object({
  paymentId: z.string().meta({ example: exampleIds.payment }),
  orderId: z.string().nullable().meta({ example: exampleIds.order }),
  customerId: z.string().nullable().meta({ example: exampleIds.customer }),
  runnerId: z.string().nullable().meta({ example: exampleIds.runner }),
  amount: z.number().meta({ description: 'Decimal SGD', example: 12.99 }),
  status: Shown.meta({ example: 'AUTHORIZED' }),
  description: z.string().nullable().meta({ example: 'Order 42' }),
  paymentIntentId: z.string().nullable().meta({ description: "The gateway's id of the hold", example: 'pi_123' }),
  transferId: z
    .string()
    .nullable()
    .meta({ description: "The gateway's id of the transfer to the runner", example: 'tr_123' }),
  createdAt: UtcText,
  updatedAt: UtcText,
})

/**
 * The status as clients know it. Money on its way is shown where it is known to be; a payment is never `SUCCEEDED` before the
 * runner has the money or once it is taken back, and never `AUTHORIZED` before the gateway has said so.
 */
export function shownStatus(row: PaymentRow): z.infer<typeof Shown> {
  switch (row.status) {
    case 'RELEASING':
    case 'CAPTURED':
      return 'AUTHORIZED'
    default:
      return row.status
  }
}

/** As docs/wire-contract.md has it. */
export const paymentJson = (row: PaymentRow): z.infer<typeof PaymentView> => ({
  paymentId: row.payment_id,
  orderId: row.order_id,
  customerId: row.customer_id,
  runnerId: row.runner_id,
  amount: decimalOf(row.cents),
  status: shownStatus(row),
  description: row.description,
  paymentIntentId: row.intent_id,
  transferId: row.transfer_id,
  createdAt: utcText(row.created_at),
  updatedAt: utcText(row.updated_at),
})
