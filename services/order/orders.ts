/**
 * Orders in the database: every change is one statement that names the statuses it may leave, so that of two changes
 * at once the second sees what the first has done.
 */
import type { ExpressionBuilder, Kysely, Updateable } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { utcText } from '../time/utc.ts'
import { decimalOf } from '../money/money.ts'
import { cancellable, momentOf, statusesBefore, type OrderStatus } from './domain.ts'
import type { OrderContent } from './content.ts'
import type { OrderRow, OrderTables } from './schema.ts'

type Db = Kysely<OrderTables>

export interface NewOrder {
  readonly sagaId: string | null
  readonly customerId: string
  readonly content: OrderContent
}

/** Inserts a `PENDING` order; where its saga has one already, that one comes back, whatever its status. */
export async function insertOrder(db: Db, order: NewOrder, now: number): Promise<OrderRow> {
  const { content, customerId, sagaId } = order
  const inserted = await db
    .insertInto('orders')
    .values({
      order_id: uuidv7(),
      saga_id: sagaId,
      customer_id: customerId,
      description: content.description,
      food_cents: content.foodCents,
      delivery_cents: content.deliveryCents,
      store_location: content.storeLocation,
      delivery_location: content.deliveryLocation,
      status: 'PENDING',
      created_at: now,
      updated_at: now,
    })
    .onConflict((conflict) => conflict.column('saga_id').doNothing())
    .returningAll()
    .executeTakeFirst()
  return inserted ?? db.selectFrom('orders').selectAll().where('saga_id', '=', sagaId).executeTakeFirstOrThrow()
}

export function findOrder(db: Db, orderId: string): Promise<OrderRow | undefined> {
  return db.selectFrom('orders').selectAll().where('order_id', '=', orderId).executeTakeFirst()
}

export function findOrderOfSaga(db: Db, sagaId: string): Promise<OrderRow | undefined> {
  return db.selectFrom('orders').selectAll().where('saga_id', '=', sagaId).executeTakeFirst()
}

/** The order as changed; undefined where it is not there or its status may not be left for this one. */
export function setStatus(db: Db, orderId: string, status: OrderStatus, now: number): Promise<OrderRow | undefined> {
  return change(db, orderId, statusesBefore(status), { status, updated_at: now, ...moment(status, now) })
}

/** As `setStatus`: undefined where a runner has accepted the order, or it is cancelled already. */
export function cancel(db: Db, orderId: string, reason: string, now: number): Promise<OrderRow | undefined> {
  return change(db, orderId, cancellable, {
    status: 'CANCELLED',
    cancel_reason: reason,
    cancelled_at: now,
    updated_at: now,
  })
}

/** Gives the order to the runner; of several at once exactly one gets it, the others undefined. */
export function accept(db: Db, orderId: string, runnerId: string, now: number): Promise<OrderRow | undefined> {
  return change(db, orderId, ['CREATED'], {
    status: 'ACCEPTED',
    runner_id: runnerId,
    accepted_at: now,
    updated_at: now,
  })
}

async function change(
  db: Db,
  orderId: string,
  from: readonly OrderStatus[],
  to: Updateable<OrderTables['orders']>,
): Promise<OrderRow | undefined> {
  if (from.length === 0) return undefined
  return db
    .updateTable('orders')
    .set(to)
    .where('order_id', '=', orderId)
    .where('status', 'in', from)
    .returningAll()
    .executeTakeFirst()
}

function moment(status: OrderStatus, now: number): Updateable<OrderTables['orders']> {
  return status in momentOf ? { [momentOf[status as keyof typeof momentOf]]: now } : {}
}

export interface OrderFilter {
  readonly customerId?: string | undefined
  readonly runnerId?: string | undefined
  readonly status?: OrderStatus | undefined
}

/** Newest first. Page and limit count from 1. */
export async function listOrders(
  db: Db,
  filter: OrderFilter,
  page: number,
  limit: number,
): Promise<{ rows: readonly OrderRow[]; total: number }> {
  const [rows, counted] = await Promise.all([
    db
      .selectFrom('orders')
      .selectAll()
      .where((where) => matches(where, filter))
      .orderBy('created_at', 'desc')
      .orderBy('order_id', 'desc')
      .limit(limit)
      .offset((page - 1) * limit)
      .execute(),
    db
      .selectFrom('orders')
      .select((select) => select.fn.countAll<number>().as('total'))
      .where((where) => matches(where, filter))
      .executeTakeFirstOrThrow(),
  ])
  return { rows, total: counted.total }
}

function matches(where: ExpressionBuilder<OrderTables, 'orders'>, filter: OrderFilter) {
  return where.and([
    ...(filter.customerId === undefined ? [] : [where('customer_id', '=', filter.customerId)]),
    ...(filter.runnerId === undefined ? [] : [where('runner_id', '=', filter.runnerId)]),
    ...(filter.status === undefined ? [] : [where('status', '=', filter.status)]),
  ])
}

/** An order as the contract (4.1) shows it. */
export function orderJson(row: OrderRow) {
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
