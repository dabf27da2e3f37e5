/**
 * Orders in the database: every change is one statement that names the statuses it may leave, so that of two changes
 * at once the second sees what the first has done.
 */
import type { ExpressionBuilder, Kysely, Updateable } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { cancellable, momentOf, statusesBefore, type OrderStatus } from './domain.ts'
import type { OrderContent } from './content.ts'
import type { OrderRow, OrderTables } from './schema.ts'

type Db = Kysely<OrderTables>

export interface NewOrder {
  readonly customerId: string
  readonly content: OrderContent
  /** Who asked for it, and is answered with the same order when asking again. */
  readonly askedBy:
    | { readonly sagaId: string }
    | { readonly request: { readonly key: string; readonly hash: string } }
    | { readonly nobody: true }
}

/** Inserts a `PENDING` order; where its saga or request has one already, that one comes back, whatever its status. */
export async function insertOrder(
  db: Db,
  { askedBy, content, customerId }: NewOrder,
  now: number,
): Promise<{ readonly order: OrderRow; readonly made: boolean }> {
  const sagaId = 'sagaId' in askedBy ? askedBy.sagaId : null
  const request = 'request' in askedBy ? askedBy.request : null
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
      request_key: request?.key ?? null,
      request_hash: request?.hash ?? null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()
  if (inserted !== undefined) return { order: inserted, made: true }
  const order = await db
    .selectFrom('orders')
    .selectAll()
    .where((where) => (sagaId === null ? where('request_key', '=', request?.key ?? '') : where('saga_id', '=', sagaId)))
    .executeTakeFirstOrThrow()
  return { order, made: false }
}

export function findOrder(db: Db, orderId: string): Promise<OrderRow | undefined> {
  return db.selectFrom('orders').selectAll().where('order_id', '=', orderId).executeTakeFirst()
}

export function findOrderOfSaga(db: Db, sagaId: string): Promise<OrderRow | undefined> {
  return db.selectFrom('orders').selectAll().where('saga_id', '=', sagaId).executeTakeFirst()
}

/** What became of a try to change an order. */
export interface Change {
  /** As it is now; undefined where there is none. */
  readonly order: OrderRow | undefined
  /** False where its status may not be left in this way. */
  readonly changed: boolean
}

export function setStatus(db: Db, orderId: string, status: OrderStatus, now: number): Promise<Change> {
  return change(db, orderId, statusesBefore(status), { status, updated_at: now, ...moment(status, now) })
}

export function cancel(db: Db, orderId: string, reason: string | null, now: number): Promise<Change> {
  return change(db, orderId, cancellable, {
    status: 'CANCELLED',
    cancel_reason: reason,
    cancelled_at: now,
    updated_at: now,
  })
}

/** Gives the order to the runner; of several at once exactly one gets it. */
export function accept(db: Db, orderId: string, runnerId: string, now: number): Promise<Change> {
  return change(db, orderId, ['CREATED'], {
    status: 'ACCEPTED',
    runner_id: runnerId,
    accepted_at: now,
    updated_at: now,
  })
}

/** Takes an order that was accepted from its runner again, as if nobody had accepted it. */
export function giveBack(db: Db, orderId: string, now: number): Promise<Change> {
  return change(db, orderId, ['ACCEPTED'], { status: 'CREATED', runner_id: null, accepted_at: null, updated_at: now })
}

async function change(
  db: Db,
  orderId: string,
  from: readonly OrderStatus[],
  to: Updateable<OrderTables['orders']>,
): Promise<Change> {
  for (;;) {
    const changed = from.length === 0 ? undefined : await update(db, orderId, from, to)
    if (changed !== undefined) return { order: changed, changed: true }
    const order = await findOrder(db, orderId)
    // Come to such a status between the two statements, it is tried again: a refusal always names what refuses.
    if (order === undefined || !from.includes(order.status)) return { order, changed: false }
  }
}

function update(
  db: Db,
  orderId: string,
  from: readonly OrderStatus[],
  to: Updateable<OrderTables['orders']>,
): Promise<OrderRow | undefined> {
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
  readonly sagaId?: string | undefined
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
    ...(filter.sagaId === undefined ? [] : [where('saga_id', '=', filter.sagaId)]),
    ...(filter.runnerId === undefined ? [] : [where('runner_id', '=', filter.runnerId)]),
    ...(filter.status === undefined ? [] : [where('status', '=', filter.status)]),
  ])
}
