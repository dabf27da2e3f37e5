/** What an order costs, and what may become of it. */
import { centsOf, decimalOf, mostCents } from '../shared/money/money.ts'
import type { OrderStatus } from './messages.ts'

export interface Item {
  readonly product_id: string
  readonly quantity: number
  readonly unit_cents: number
}

export type Content =
  | { readonly ok: true; readonly items: readonly Item[]; readonly totalCents: number }
  | { readonly ok: false; readonly why: string }

export function contentOf(
  asked: readonly { readonly product_id: string; readonly quantity: number; readonly unit_price: number }[],
): Content {
  const items = asked.map(({ product_id, quantity, unit_price }) => ({
    product_id,
    quantity,
    unit_cents: centsOf(unit_price, 'unit_price'),
  }))
  const totalCents = items.reduce((sum, { quantity, unit_cents }) => sum + quantity * unit_cents, 0)
  if (totalCents > mostCents) return { ok: false, why: `an order costs at most ${decimalOf(mostCents)}` }
  return { ok: true, items, totalCents }
}

/** Where a parcel goes, step by step; what is not here is no step of it. */
const way: readonly OrderStatus[] = ['Pending', 'Preparing for Shipment', 'Shipped', 'Out for Delivery', 'Delivered']

/**
 * An order goes forward, and may leave steps out. Only its undo cancels it, so that stock and money go back with it; and no order
 * becomes `Refund` here, where neither does.
 */
export const statusesBefore = (status: OrderStatus): readonly OrderStatus[] =>
  way.slice(0, Math.max(0, way.indexOf(status)))

/** Once it is on its way it is not undone any more. */
export const cancellable: readonly OrderStatus[] = ['Pending', 'Preparing for Shipment']
