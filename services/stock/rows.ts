/**
 * What is left, and who has taken what.
 *
 * Invariants:
 * - products are locked before they are read, in the order of their ids, so that two transactions neither take the same last
 *   one nor wait for each other;
 * - however many reservations are made or ended at once, each table is written by one statement for hundreds of rows;
 * - a reservation is made once under its id, and ended once: what it took goes back in the same transaction.
 */
import { PostgresAdapter, sql, type Kysely, type Transaction } from 'kysely'
import { shareOut, type Line } from './domain.ts'
import type { ReservationRow, ReservationState, StockTables } from './schema.ts'

type Tx = Transaction<StockTables>

/** Databases take so many values in one statement, and one that is longer is no faster. */
const mostRows = 500

export interface Wanted {
  readonly transactionId: string
  readonly lines: readonly Line[]
  readonly state: Exclude<ReservationState, 'RETURNED'>
  readonly expiresAt: number | null
  /** The user of a hold; null where it is an order's, or nobody knows. */
  readonly heldBy: string | null
}

/**
 * Reserves for each all or nothing.
 *
 * @returns for each why not; null where it has what it wants
 */
export async function reserve(tx: Tx, wanted: readonly Wanted[], now: number): Promise<readonly (string | null)[]> {
  if (wanted.length === 0) return []
  const ids = [...new Set(wanted.flatMap(({ lines }) => lines.map(({ productId }) => productId)))].toSorted()
  const { refusals, taken } = shareOut(
    wanted.map(({ lines }) => lines),
    await leftOf(tx, ids),
  )
  const served = wanted.filter((_each, index) => refusals[index] === null)
  if (served.length === 0) return refusals
  await move(tx, taken, -1, now)
  for (const some of parts(served))
    await tx
      .insertInto('reservations')
      .values(
        some.map(({ transactionId, state, expiresAt, heldBy }) => ({
          transaction_id: transactionId,
          state,
          expires_at: expiresAt,
          held_by: heldBy,
          created_at: now,
          updated_at: now,
        })),
      )
      .execute()
  const lines = served.flatMap(({ transactionId, lines }) =>
    lines.map(({ productId, quantity }) => ({ transaction_id: transactionId, product_id: productId, quantity })),
  )
  for (const some of parts(lines)) await tx.insertInto('reservation_lines').values(some).execute()
  return refusals
}

/** How many are left of those that are for sale, locked. */
async function leftOf(tx: Tx, productIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const left = new Map<string, number>()
  for (const some of parts(productIds))
    for (const { product_id, stock, removed_at } of await lockProducts(tx, some))
      if (removed_at === null) left.set(product_id, stock)
  return left
}

function lockProducts(tx: Tx, productIds: readonly string[]) {
  return tx
    .selectFrom('products')
    .select(['product_id', 'stock', 'removed_at'])
    .where('product_id', 'in', productIds)
    .orderBy('product_id')
    .$if(locksRows(tx), (query) => query.forUpdate())
    .execute()
}

/** SQLite's transactions have the whole file for themselves from their beginning. */
const locksRows = (db: Kysely<StockTables>): boolean => db.getExecutor().adapter instanceof PostgresAdapter

async function move(tx: Tx, quantities: ReadonlyMap<string, number>, sign: 1 | -1, now: number): Promise<void> {
  for (const some of parts([...quantities])) {
    const cases = some.map(([id, quantity]) => sql`when ${id} then cast(${sign * quantity} as bigint)`)
    await tx
      .updateTable('products')
      .set({ stock: sql<number>`stock + case product_id ${sql.join(cases, sql` `)} end`, updated_at: now })
      .where(
        'product_id',
        'in',
        some.map(([id]) => id),
      )
      .execute()
  }
}

/** By transaction, with what each took; locked. */
export async function findReservations(
  tx: Tx,
  transactionIds: readonly string[],
): Promise<ReadonlyMap<string, ReservationRow>> {
  const found = new Map<string, ReservationRow>()
  for (const some of parts([...new Set(transactionIds)].toSorted())) {
    const rows = await tx
      .selectFrom('reservations')
      .selectAll()
      .where('transaction_id', 'in', some)
      .orderBy('transaction_id')
      .$if(locksRows(tx), (query) => query.forUpdate())
      .execute()
    for (const row of rows) found.set(row.transaction_id, row)
  }
  return found
}

/** In the order of their products. */
export async function linesTaken(db: Kysely<StockTables>, transactionId: string): Promise<Line[]> {
  const rows = await db
    .selectFrom('reservation_lines')
    .select(['product_id', 'quantity'])
    .where('transaction_id', '=', transactionId)
    .orderBy('product_id')
    .execute()
  return rows.map(({ product_id, quantity }) => ({ productId: product_id, quantity }))
}

/** Gives back what these have taken, and keeps out what of them is still to come. */
export async function giveBack(tx: Tx, transactionIds: readonly string[], now: number): Promise<void> {
  const ids = [...new Set(transactionIds)]
  const known = await findReservations(tx, ids)
  await end(tx, [...known.values()], now)
  const unknown = ids.filter((id) => !known.has(id))
  for (const some of parts(unknown))
    await tx
      .insertInto('reservations')
      .values(
        some.map((id) => ({
          transaction_id: id,
          state: 'RETURNED' as const,
          expires_at: null,
          held_by: null,
          created_at: now,
          updated_at: now,
        })),
      )
      .execute()
}

/** Gives back what those of these took that are in force. */
async function end(tx: Tx, reservations: readonly ReservationRow[], now: number): Promise<void> {
  const inForce = reservations.filter(({ state }) => state !== 'RETURNED').map(({ transaction_id }) => transaction_id)
  const quantities = new Map<string, number>()
  for (const some of parts(inForce)) {
    const rows = await tx
      .selectFrom('reservation_lines')
      .select(['product_id', 'quantity'])
      .where('transaction_id', 'in', some)
      .execute()
    for (const { product_id, quantity } of rows)
      quantities.set(product_id, (quantities.get(product_id) ?? 0) + quantity)
    await tx
      .updateTable('reservations')
      .set({ state: 'RETURNED', updated_at: now })
      .where('transaction_id', 'in', some)
      .execute()
  }
  const products = [...quantities.keys()].toSorted()
  if (locksRows(tx)) for (const some of parts(products)) await lockProducts(tx, some)
  await move(tx, quantities, 1, now)
}

/** Ends a hold: kept for good, or given back. @returns undefined where there is none */
export async function endHold(
  tx: Tx,
  holdId: string,
  to: 'TAKEN' | 'RETURNED',
  now: number,
): Promise<ReservationRow | undefined> {
  const hold = (await findReservations(tx, [holdId])).get(holdId)
  if (hold?.state !== 'HELD') return hold
  if (to === 'RETURNED' || hold.expires_at === null || hold.expires_at <= now) {
    await end(tx, [hold], now)
    return { ...hold, state: 'RETURNED', updated_at: now }
  }
  await tx
    .updateTable('reservations')
    .set({ state: 'TAKEN', expires_at: null, updated_at: now })
    .where('transaction_id', '=', holdId)
    .execute()
  return { ...hold, state: 'TAKEN', expires_at: null, updated_at: now }
}

/** Gives back what was held until now, some at a time. @returns how many holds it ended */
export async function endExpired(tx: Tx, now: number, most: number): Promise<number> {
  const due = await tx
    .selectFrom('reservations')
    .select('transaction_id')
    .where('state', '=', 'HELD')
    .where('expires_at', '<=', now)
    .orderBy('expires_at')
    .limit(most)
    .execute()
  // Locked and read again: of several processes one ends each.
  const locked = await findReservations(
    tx,
    due.map(({ transaction_id }) => transaction_id),
  )
  const expired = [...locked.values()].filter(({ state }) => state === 'HELD')
  await end(tx, expired, now)
  return due.length
}

/** When the next hold expires; null where there is none. */
export async function nextExpiry(db: Kysely<StockTables>): Promise<number | null> {
  const row = await db
    .selectFrom('reservations')
    .select('expires_at')
    .where('state', '=', 'HELD')
    .orderBy('expires_at')
    .limit(1)
    .executeTakeFirst()
  return row?.expires_at ?? null
}

export interface Restock {
  readonly restockId: string
  readonly productId: string
  readonly quantity: number
}

/** Adds to the stock, once under its id: that is `known` if it added something else before. */
export async function restock(
  tx: Tx,
  { restockId, productId, quantity }: Restock,
  now: number,
): Promise<'done' | 'no product' | 'known'> {
  const [product] = await lockProducts(tx, [productId])
  const before = await tx.selectFrom('restocks').selectAll().where('restock_id', '=', restockId).executeTakeFirst()
  if (before !== undefined) return before.product_id === productId && before.quantity === quantity ? 'done' : 'known'
  if (product === undefined || product.removed_at !== null) return 'no product'
  await tx
    .insertInto('restocks')
    .values({ restock_id: restockId, product_id: productId, quantity, restocked_at: now })
    .execute()
  await move(tx, new Map([[productId, quantity]]), 1, now)
  return 'done'
}

function parts<Row>(rows: readonly Row[]): readonly (readonly Row[])[] {
  const found: Row[][] = []
  for (let at = 0; at < rows.length; at += mostRows) found.push(rows.slice(at, at + mostRows))
  return found
}
