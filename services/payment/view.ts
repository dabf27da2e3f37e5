/** A payment as clients know it. */
import { decimalOf } from '../shared/money/money.ts'
import { utcText } from '../shared/time/utc.ts'
import type { PaymentRow } from './schema.ts'

/**
 * The status as clients know it. Money on its way is shown where it is known to be; a payment is never
 * `SUCCEEDED` before the runner has the money, and never `AUTHORIZED` before the gateway has said so.
 */
export function shownStatus(row: PaymentRow): 'INITIATING' | 'AUTHORIZED' | 'SUCCEEDED' | 'REVERTED' | 'FAILED' {
  switch (row.status) {
    case 'RELEASING':
    case 'CAPTURED':
      return 'AUTHORIZED'
    case 'REVERTING':
      if (row.transfer_id !== null) return 'SUCCEEDED'
      return row.intent_id === null ? 'INITIATING' : 'AUTHORIZED'
    default:
      return row.status
  }
}

/** As docs/wire-contract.md has it. */
export const paymentJson = (row: PaymentRow) => ({
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
