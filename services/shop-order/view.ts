/** An order as docs/wire-contract.md 6.7 shows it. */
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { decimalOf } from '../shared/money/money.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import type { Item } from './domain.ts'
import { orderStatuses } from './messages.ts'
import type { OrderRow } from './schema.ts'

export const exampleUser = 'ada@example.com'
export const exampleVendor = 'vendor@example.com'

export const ShopOrderView = z.object({
  id: z.string().meta({ example: exampleIds.shopOrder }),
  user_email: z.string().meta({ example: exampleUser }),
  vendor_email: z.string().meta({ example: exampleVendor }),
  delivery_address: z.string().meta({ example: '1 Main Street' }),
  description: z.string().nullable().meta({ example: 'Ring twice' }),
  status: z.enum(orderStatuses),
  total_price: z.number().meta({ description: 'Decimal', example: 25.98 }),
  order_date: UtcText,
  delivery_date: UtcText.nullable(),
  payment_id: z.string().nullable().meta({ example: exampleIds.shopPayment }),
  items: z.array(
    z.object({
      product_id: z.string().meta({ example: '65f000000000000000000001' }),
      quantity: z.int().meta({ example: 2 }),
      unit_price: z.number().meta({ description: 'Decimal', example: 12.99 }),
    }),
  ),
})

export const shopOrderJson = (row: OrderRow): z.infer<typeof ShopOrderView> => ({
  id: row.order_id,
  user_email: row.user_email,
  vendor_email: row.vendor_email,
  delivery_address: row.delivery_address,
  description: row.description,
  status: row.status,
  total_price: decimalOf(row.total_cents),
  order_date: utcText(row.created_at),
  delivery_date: row.delivered_at === null ? null : utcText(row.delivered_at),
  payment_id: row.payment_id,
  items: (JSON.parse(row.items) as readonly Item[]).map(({ product_id, quantity, unit_cents }) => ({
    product_id,
    quantity,
    unit_price: decimalOf(unit_cents),
  })),
})
