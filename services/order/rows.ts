/**
 * Orders in the database: every change is one statement that names the statuses it may leave, so that of two changes
 * at once the second sees what the first has done.
 */
import { sql, type ExpressionBuilder, type Insertable, type Kysely, type UpdateObject } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { asStorable } from '../shared/database/text.ts'
import { momentOf, statusesBefore, type OrderStatus } from './domain.ts'
import type { OrderContent } from '../shared/order-details.ts'
import type { OrderRow, OrderTables } from './schema.ts'

type Db = Kysely<OrderTables>

export interface NewOrder {
  readonly customerId: string
  readonly content: OrderContent
}

export interface OrderOfSaga extends NewOrder {
  readonly sagaId: string
}

/** Inserts `PENDING` orders. By saga; where a saga has an order already, that one is there, whatever its status. */
export async function insertOrdersOfSagas(
  db: Db,
  orders: readonly OrderOfSaga[],
  now: number,
): Promise<ReadonlyMap<string, OrderRow>> {
  const made = await insert(
    db,
    orders.map((order) => ({ ...newRow(order, now), saga_id: order.sagaId })),
  )
  const bySaga = new Map(made.map((row) => [row.saga_id ?? '', row]))
  const others = orders.map(({ sagaId }) => sagaId).filter((sagaId) => !bySaga.has(sagaId))
  if (others.length === 0) return bySaga
  const found = await db.selectFrom('orders').selectAll().where('saga_id', 'in', others).execute()
  for (const row of found) bySaga.set(row.saga_id ?? '', row)
  return bySaga
}

export interface OrderOfRequest extends NewOrder {
  /** A request that comes again under its key is answered with the same order. */
  readonly request: { readonly key: string; readonly hash: string } | null
}

/** Inserts a `PENDING` order; where its request has made one already, that one comes back, whatever its status. */
export async function insertOrderOfRequest(
  db: Db,
  { request, ...order }: OrderOfRequest,
  now: number,
): Promise<{ readonly order: OrderRow; readonly made: boolean }> {
  const asked = { request_key: request?.key ?? null, request_hash: request?.hash ?? null }
  const [made] = await insert(db, [{ ...newRow(order, now), ...asked }])
  if (made !== undefined) return { order: made, made: true }
  const before = db.selectFrom('orders').selectAll().where('request_key', '=', asked.request_key)
  return { order: await before.executeTakeFirstOrThrow(), made: false }
}

const newRow = ({ customerId, content }: NewOrder, now: number) => ({
  order_id: uuidv7(),
  customer_id: customerId,
  description: content.description,
  food_cents: content.foodCents,
  delivery_cents: content.deliveryCents,
  store_location: content.storeLocation,
  delivery_location: content.deliveryLocation,
  status: 'PENDING' as const,
  created_at: now,
  updated_at: now,
})

/** Those that were inserted: an order of a saga or of a request that has one already is left out. */
const insert = (db: Db, rows: readonly Insertable<OrderTables['orders']>[]): Promise<readonly OrderRow[]> =>
  db
    .insertInto('orders')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .execute()

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

/** Which orders may be changed. */
export interface Leaving {
  /** Those in one of these statuses, */
  readonly from: readonly OrderStatus[]
  /** that have a runner, where it says so, or this one. */
  readonly withRunner?: true | string | undefined
}

const mayLeave = ({ from, withRunner }: Leaving, { status, runner_id }: OrderRow): boolean =>
  from.includes(status) &&
  (withRunner === undefined || (withRunner === true ? runner_id !== null : runner_id === withRunner))

/** @returns what became of each order, by its id */
export function setStatuses(
  db: Db,
  orderIds: readonly string[],
  status: OrderStatus,
  now: number,
  leaving: Leaving = { from: statusesBefore(status) },
): Promise<ReadonlyMap<string, Change>> {
  return changeAll(db, orderIds, leaving, { status, updated_at: now, ...moment(status, now) })
}

export async function setStatus(db: Db, orderId: string, status: OrderStatus, now: number): Promise<Change> {
  return (await setStatuses(db, [orderId], status, now)).get(orderId) ?? nothing
}

export interface Cancel {
  /** The statuses in which it may be cancelled. */
  readonly from: readonly OrderStatus[]
  readonly reason: string | null
}

export function cancel(db: Db, orderId: string, { from, reason }: Cancel, now: number): Promise<Change> {
  return change(
    db,
    orderId,
    { from },
    {
      status: 'CANCELLED',
      cancel_reason: reason === null ? null : asStorable(reason),
      cancelled_at: now,
      updated_at: now,
    },
  )
}

/** Gives the order to the runner; of several at once exactly one gets it. */
export function accept(db: Db, orderId: string, runnerId: string, now: number): Promise<Change> {
  return change(
    db,
    orderId,
    { from: ['CREATED'] },
    {
      status: 'ACCEPTED',
      runner_id: runnerId,
      accepted_at: now,
      updated_at: now,
    },
  )
}

/** Takes an order that was accepted from its runner again, as if nobody had accepted it; from this one alone, where one is named. */
export function giveBack(db: Db, orderId: string, now: number, withRunner?: string): Promise<Change> {
  return change(
    db,
    orderId,
    { from: ['ACCEPTED'], withRunner },
    { status: 'CREATED', runner_id: null, accepted_at: null, updated_at: now },
  )
}

const nothing: Change = { order: undefined, changed: false }

async function change(db: Db, orderId: string, leaving: Leaving, to: NewValues): Promise<Change> {
  return (await changeAll(db, [orderId], leaving, to)).get(orderId) ?? nothing
}

type NewValues = UpdateObject<OrderTables, 'orders'>

/** By id. Of an order that does not exist nothing is there. */
async function changeAll(
  db: Db,
  orderIds: readonly string[],
  leaving: Leaving,
  to: NewValues,
): Promise<ReadonlyMap<string, Change>> {
  const changes = new Map<string, Change>()
  for (let left = [...new Set(orderIds)]; left.length > 0;) {
    const changed = leaving.from.length === 0 ? [] : await update(db, left, leaving, to)
    for (const order of changed) changes.set(order.order_id, { order, changed: true })
    left = left.filter((orderId) => !changes.has(orderId))
    if (left.length === 0) break
    const others = await db.selectFrom('orders').selectAll().where('order_id', 'in', left).execute()
    for (const order of others) if (!mayLeave(leaving, order)) changes.set(order.order_id, { order, changed: false })
    // Come to such a state between the two statements, they are tried again: a refusal always names what refuses.
    left = others.filter((order) => mayLeave(leaving, order)).map(({ order_id }) => order_id)
  }
  return changes
}

function update(
  db: Db,
  orderIds: readonly string[],
  { from, withRunner }: Leaving,
  to: NewValues,
): Promise<readonly OrderRow[]> {
  return db
    .updateTable('orders')
    .set(to)
    .where('order_id', 'in', orderIds)
    .where('status', 'in', from)
    .$if(withRunner === true, (query) => query.where('runner_id', 'is not', null))
    .$if(typeof withRunner === 'string', (query) => query.where('runner_id', '=', withRunner as string))
    .returningAll()
    .execute()
}

function moment(status: OrderStatus, now: number): NewValues {
  // Also where a delivery is taken back: it was picked up when it was.
  if (status === 'ON_THE_WAY') return { picked_up_at: sql<number>`coalesce(picked_up_at, ${now})`, delivered_at: null }
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
