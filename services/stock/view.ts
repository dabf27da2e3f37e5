/** Products, categories and holds as docs/wire-contract.md 6.7 shows them. */
import { z } from 'zod'
import { errorShape } from '../shared/http/error-shapes.ts'
import { decimalOf } from '../shared/money/money.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import type { Line } from './domain.ts'
import type { CategoryRow, ProductRow, ReservationRow } from './schema.ts'

export const exampleProduct = '65f000000000000000000001'
export const exampleCategory = '65f0000000000000000000c1'

export const ProductView = z.object({
  Id: z.string().meta({ example: exampleProduct }),
  Name: z.string().meta({ example: 'Coffee beans' }),
  Price: z.number().meta({ description: 'Decimal', example: 12.99 }),
  Stock: z.int().meta({ description: 'How many are left', example: 100 }),
  VendorId: z.string().meta({ example: 'vendor@example.com' }),
  Image: z.string().meta({ example: 'https://example.com/beans.png' }),
  CategoryId: z.string().meta({ description: 'Empty where it is in none', example: exampleCategory }),
  Description: z.string().meta({ example: 'Dark roast, 500 g' }),
})

export const productJson = (row: ProductRow): z.infer<typeof ProductView> => ({
  Id: row.product_id,
  Name: row.name,
  Price: decimalOf(row.price_cents),
  Stock: row.stock,
  VendorId: row.vendor_id,
  Image: row.image,
  CategoryId: row.category_id ?? '',
  Description: row.description,
})

export const CategoryView = z.object({
  Id: z.string().meta({ example: exampleCategory }),
  Name: z.string().meta({ example: 'Kitchen' }),
})

export const categoryJson = (row: CategoryRow): z.infer<typeof CategoryView> => ({
  Id: row.category_id,
  Name: row.name,
})

export const exampleHold = '01920a3c-5d1e-7000-8000-0000000000f8'

export const HoldView = z.object({
  Id: z.string().meta({ example: exampleHold }),
  State: z
    .enum(['TAKEN', 'HELD', 'RETURNED'])
    .describe('TAKEN: for good, until an order is undone; HELD: until ExpiresAt; RETURNED: given back'),
  ExpiresAt: UtcText.nullable(),
  Products: z.array(
    z.object({ ProductId: z.string().meta({ example: exampleProduct }), Quantity: z.int().meta({ example: 1 }) }),
  ),
})

export const holdJson = (
  { transaction_id, state, expires_at }: Pick<ReservationRow, 'transaction_id' | 'state' | 'expires_at'>,
  lines: readonly Line[],
): z.infer<typeof HoldView> => ({
  Id: transaction_id,
  State: state,
  ExpiresAt: expires_at === null ? null : utcText(expires_at),
  Products: lines.map(({ productId, quantity }) => ({ ProductId: productId, Quantity: quantity })),
})

/** Where an answer has no data. */
export const nothing = z.null().meta({ example: null })

/** `{ "status": "success", "message", "data" }` */
export const answerOf = <Data extends z.ZodType>(data: Data) =>
  z.object({ status: z.literal('success'), message: z.string().meta({ example: 'Done' }), data })

export const answer = <Data>(message: string, data: Data) => ({ status: 'success' as const, message, data })

/** `{ "status": "error", "message", "data": null }` */
export const stockError = errorShape(
  z.object({
    status: z.literal('error'),
    message: z.string().meta({ description: 'What is wrong, and what to do', example: 'There is no such product.' }),
    data: nothing,
  }),
  (_status, message) => ({ status: 'error' as const, message, data: null }),
)
