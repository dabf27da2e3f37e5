/** A payment as docs/wire-contract.md 6.7 shows it. */
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { decimalOf } from '../shared/money/money.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import { paymentMethods } from './messages.ts'
import { paymentStatuses, type PaymentRow } from './schema.ts'

export const ShopPaymentView = z.object({
  id: z.string().meta({ example: exampleIds.shopPayment }),
  user_email: z.string().meta({ example: 'ada@example.com' }),
  order_id: z.string().nullable().meta({ example: exampleIds.shopOrder }),
  amount: z.number().meta({ description: 'Decimal', example: 25.98 }),
  payment_method: z.enum(paymentMethods),
  payment_status: z.enum(paymentStatuses),
  transaction_id: z.string().meta({ example: exampleIds.saga }),
  created_at: UtcText,
})

export const shopPaymentJson = (row: PaymentRow): z.infer<typeof ShopPaymentView> => ({
  id: row.payment_id,
  user_email: row.user_email,
  order_id: row.order_id,
  amount: decimalOf(row.cents),
  payment_method: row.payment_method,
  payment_status: row.status,
  transaction_id: row.transaction_id,
  created_at: utcText(row.created_at),
})
