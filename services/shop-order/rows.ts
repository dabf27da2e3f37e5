/** Orders in the database: every change is one statement that names the statuses it may leave. */
import { sql, type Kysely, type Transaction } from 'kysely'
import { cancellable, statusesBefore, type Item } from './domain.ts'
import type { OrderStatus } from './messages.ts'
import type { OrderRow, ShopOrderTables } from './schema.ts'

type Db = Kysely<ShopOrderTables>
type Tx = Transaction<ShopOrderTables>

export interface NewOrder {
  readonly orderId: string
  readonly transactionId: string
  readonly userEmail: string
  readonly vendorEmail: string
  readonly deliveryAddress: string
  readonly description: string | null
  readonly items: readonly Item[]
  readonly totalCents: number
}

export async function insertOrders(tx: Tx, orders: readonly NewOrder[], now: number): Promise<void> {
  if (orders.length === 0) return
  await tx
    .insertInto('orders')
    .values(
      orders.map((order) => ({
        order_id: order.orderId,
        transaction_id: order.transactionId,
        user_email: order.userEmail,
        vendor_email: order.vendorEmail,
        delivery_address: order.deliveryAddress,
        description: order.description,
        status: 'Pending' as const,
        total_cents: order.totalCents,
        items: JSON.stringify(order.items),
        payment_id: null,
        created_at: now,
        updated_at: now,
        delivered_at: null,
      })),
    )
    .execute()
}

export const findOrder = (db: Db, orderId: string): Promise<OrderRow | undefined> =>
  db.selectFrom('orders').selectAll().where('order_id', '=', orderId).executeTakeFirst()

/** By their ids. */
export async function findOrders(db: Db, orderIds: readonly string[]): Promise<ReadonlyMap<string, OrderRow>> {
  if (orderIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('orders')
    .selectAll()
    .where('order_id', 'in', [...new Set(orderIds)])
    .execute()
  return new Map(rows.map((row) => [row.order_id, row]))
}

/** Those that may be cancelled are so afterwards. @returns by id, how all of them stand then */
export async function cancelOrders(
  tx: Tx,
  orderIds: readonly string[],
  now: number,
): Promise<ReadonlyMap<string, OrderRow>> {
  if (orderIds.length === 0) return new Map()
  await tx
    .updateTable('orders')
    .set({ status: 'Canceled', updated_at: now })
    .where('order_id', 'in', orderIds)
    .where('status', 'in', cancellable)
    .execute()
  return findOrders(tx, orderIds)
}

/** Each order gets its payment, unless it has another. @returns by id, how all of them stand then */
export async function setPayments(
  tx: Tx,
  payments: ReadonlyMap<string, string>,
  now: number,
): Promise<ReadonlyMap<string, OrderRow>> {
  const ids = [...payments.keys()]
  if (ids.length === 0) return new Map()
  const cases = [...payments].map(([order, payment]) => sql`when ${order} then ${payment}`)
  await tx
    .updateTable('orders')
    .set({ payment_id: sql<string>`case order_id ${sql.join(cases, sql` `)} end`, updated_at: now })
    .where('order_id', 'in', ids)
    .where('payment_id', 'is', null)
    .execute()
  return findOrders(tx, ids)
}

/** @returns the order as it is then, and whether that was this change; undefined where there is none */
export async function setStatus(
  db: Db,
  orderId: string,
  status: OrderStatus,
  now: number,
): Promise<{ readonly order: OrderRow; readonly changed: boolean } | undefined> {
  const from = statusesBefore(status)
  const changed =
    from.length === 0
      ? undefined
      : await db
          .updateTable('orders')
          .set({ status, updated_at: now, ...(status === 'Delivered' ? { delivered_at: now } : {}) })
          .where('order_id', '=', orderId)
          .where('status', 'in', from)
          .returningAll()
          .executeTakeFirst()
  if (changed !== undefined) return { order: changed, changed: true }
  const order = await findOrder(db, orderId)
  return order === undefined ? undefined : { order, changed: false }
}

export interface OrderFilter {
  readonly userEmail?: string
  readonly vendorEmail?: string
}

/** Newest first, those before one. */
export const listOrders = (
  db: Db,
  { userEmail, vendorEmail }: OrderFilter,
  before: string,
  limit: number,
): Promise<OrderRow[]> =>
  db
    .selectFrom('orders')
    .selectAll()
    .$if(before !== '', (query) => query.where('order_id', '<', before))
    .$if(userEmail !== undefined, (query) => query.where('user_email', '=', userEmail ?? ''))
    .$if(vendorEmail !== undefined, (query) => query.where('vendor_email', '=', vendorEmail ?? ''))
    .orderBy('order_id', 'desc')
    .limit(limit)
    .execute()
