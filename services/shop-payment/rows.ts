/** Payments in the database: every change is one statement that names the statuses it may leave. */
import { sql, type Kysely, type Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { claim } from '../shared/database/claims.ts'
import type { PaymentMethod } from './messages.ts'
import type { PaymentRow, PaymentStatus, ShopPaymentTables } from './schema.ts'

type Db = Kysely<ShopPaymentTables>
type Tx = Transaction<ShopPaymentTables>

export interface NewPayment {
  readonly transactionId: string
  readonly userEmail: string
  readonly orderId: string | null
  readonly cents: number
  readonly method: PaymentMethod
}

/**
 * The payments of transactions, made `Pending` where there was none; by transaction. One is missing where its transaction was
 * undone before.
 */
export async function begin(
  tx: Tx,
  payments: readonly NewPayment[],
  now: number,
): Promise<ReadonlyMap<string, PaymentRow>> {
  const wanted = payments.map((payment) => ({ ...payment, paymentId: uuidv7() }))
  const held = await claim(
    tx,
    wanted.map(({ transactionId, paymentId }) => ({ transactionId, madeId: paymentId })),
  )
  const made = wanted.filter(({ transactionId, paymentId }) => held.get(transactionId) === paymentId)
  if (made.length > 0)
    await tx
      .insertInto('payments')
      .values(
        made.map(({ paymentId, transactionId, userEmail, orderId, cents, method }) => ({
          payment_id: paymentId,
          transaction_id: transactionId,
          user_email: userEmail,
          order_id: orderId,
          cents,
          payment_method: method,
          status: 'Pending' as const,
          created_at: now,
          updated_at: now,
        })),
      )
      .execute()
  const rows = await findPayments(
    tx,
    [...held.values()].filter((id) => id !== null),
  )
  return new Map([...rows.values()].map((row) => [row.transaction_id, row]))
}

export const findPayment = (db: Db, paymentId: string): Promise<PaymentRow | undefined> =>
  db.selectFrom('payments').selectAll().where('payment_id', '=', paymentId).executeTakeFirst()

/** By their ids. */
async function findPayments(db: Db, paymentIds: readonly string[]): Promise<ReadonlyMap<string, PaymentRow>> {
  if (paymentIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('payments')
    .selectAll()
    .where('payment_id', 'in', [...new Set(paymentIds)])
    .execute()
  return new Map(rows.map((row) => [row.payment_id, row]))
}

/** @returns by id, how all of them stand afterwards */
export async function setStatuses(
  db: Db,
  paymentIds: readonly string[],
  { from, to }: { readonly from: readonly PaymentStatus[]; readonly to: PaymentStatus },
  now: number,
): Promise<ReadonlyMap<string, PaymentRow>> {
  if (paymentIds.length === 0) return new Map()
  await db
    .updateTable('payments')
    .set({ status: to, updated_at: now })
    .where('payment_id', 'in', paymentIds)
    .where('status', 'in', from)
    .execute()
  return findPayments(db, paymentIds)
}

/** Undoes the payments of transactions, and keeps out those that are still to come. */
export async function cancelPayments(tx: Tx, transactionIds: readonly string[], now: number): Promise<void> {
  const held = await claim(
    tx,
    transactionIds.map((transactionId) => ({ transactionId, madeId: null })),
  )
  const ids = [...held.values()].filter((id) => id !== null)
  await setStatuses(tx, ids, { from: ['Pending', 'Failed', 'Success'], to: 'Cancelled' }, now)
}

/** Each payment gets its order, unless it has another. @returns by id, how all of them stand then */
export async function setOrders(
  tx: Tx,
  orders: ReadonlyMap<string, string>,
  now: number,
): Promise<ReadonlyMap<string, PaymentRow>> {
  const ids = [...orders.keys()]
  if (ids.length === 0) return new Map()
  const cases = [...orders].map(([payment, order]) => sql`when ${payment} then ${order}`)
  await tx
    .updateTable('payments')
    .set({ order_id: sql<string>`case payment_id ${sql.join(cases, sql` `)} end`, updated_at: now })
    .where('payment_id', 'in', ids)
    .where('order_id', 'is', null)
    .execute()
  return findPayments(tx, ids)
}

/** Newest first, those before one. */
export const listPayments = (db: Db, userEmail: string | null, before: string, limit: number): Promise<PaymentRow[]> =>
  db
    .selectFrom('payments')
    .selectAll()
    .$if(before !== '', (query) => query.where('payment_id', '<', before))
    .$if(userEmail !== null, (query) => query.where('user_email', '=', userEmail ?? ''))
    .orderBy('payment_id', 'desc')
    .limit(limit)
    .execute()
