/**
 * Checks what the services left behind, from their own tables and the ledger alone: no service is asked, none may run.
 *
 * A problem is a sentence. Looked for are: a saga that neither ended nor parked; a history with gaps, or one that does not
 * fold to the stored state; an order, a payment or a timer without a saga, or one too many; money that is not where the
 * end of its saga says it is.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SagaState } from 'ordersaga/state'
import { redisStore } from 'ordersaga/stores/redis'
import { openDatabase } from '../../services/shared/database/database.ts'
import { auditPayments } from '../../services/payment/audit.ts'
import { balancesByPayment, nothing, type Balances } from '../../services/payment/ledger.ts'
import { paymentMigrations, type PaymentRow, type PaymentTables } from '../../services/payment/schema.ts'
import { historyProblems, readSagas, readStore, type StoredSagas } from './histories.ts'
import { openTables, targetOf, type Place, type Tables } from './tables.ts'

export interface Finding {
  readonly problems: readonly string[]
  /** Sagas by status. */
  readonly statuses: Readonly<Record<string, number>>
}

interface OrderRow {
  readonly order_id: string
  readonly saga_id: string | null
  readonly customer_id: string
  readonly status: string
  readonly food_cents: number
  readonly delivery_cents: number
}

interface TimerRow {
  readonly order_id: string
  readonly state: string
}

interface Payments {
  readonly rows: readonly PaymentRow[]
  readonly balances: ReadonlyMap<string, Balances>
  /** What the Payment Service's own audit finds: books, payments and gateway against each other. */
  readonly problems: readonly string[]
}

/** What belongs to one saga. */
interface Effects {
  readonly orders: readonly OrderRow[]
  readonly payments: readonly { readonly row: PaymentRow; readonly books: Balances }[]
  readonly runningTimers: number
}

export async function auditServices(place: Place): Promise<Finding> {
  const sagas = await sagasAt(place)
  const orders = await reading(place, 'order', (tables) => tables.rows<OrderRow>('select * from orders'))
  const timers = await reading(place, 'timer', (tables) => tables.rows<TimerRow>('select * from timers'))
  const payments = await readPayments(place)
  const known = new Set(sagas.rows.map(({ id }) => id))
  const effects = effectsBySaga(orders, timers, payments)
  const statuses: Record<string, number> = {}
  for (const { state } of sagas.rows) statuses[state.status] = (statuses[state.status] ?? 0) + 1
  return {
    statuses,
    problems: [
      ...historyProblems(sagas),
      ...payments.problems,
      ...strangers(known, orders, timers, payments),
      ...sagas.rows.flatMap(({ state }) => effectProblems(state, effects(state.id))),
    ],
  }
}

async function sagasAt(place: Place): Promise<StoredSagas> {
  if (place.redisUrl === undefined) return reading(place, 'create-order-saga', readSagas)
  const store = redisStore({ url: place.redisUrl })
  await store.open()
  try {
    return await readStore(store)
  } finally {
    await store.close()
  }
}

/** In one snapshot: late answers may still come, and each of them is a move. */
async function reading<T>(
  place: Place,
  service: Parameters<typeof targetOf>[1],
  read: (tables: Tables) => Promise<T>,
): Promise<T> {
  const tables = await openTables(targetOf(place, service))
  try {
    await tables.rows(tables.kind === 'postgres' ? 'begin isolation level repeatable read' : 'begin')
    return await read(tables)
  } finally {
    await tables.close()
  }
}

async function readPayments(place: Place): Promise<Payments> {
  const target = targetOf(place, 'payment')
  const database = await openDatabase<PaymentTables>(target, paymentMigrations(target.kind))
  try {
    const { problems } = await auditPayments(database)
    const rows = await database.db.selectFrom('payments').selectAll().execute()
    return { rows, balances: await balancesByPayment(database.db), problems }
  } finally {
    await database.close()
  }
}

function effectsBySaga(
  orders: readonly OrderRow[],
  timers: readonly TimerRow[],
  payments: Payments,
): (sagaId: string) => Effects {
  const ordersOf = groupBy(orders, ({ saga_id }) => saga_id ?? '')
  const paymentsOf = groupBy(payments.rows, ({ saga_id }) => saga_id)
  const running = groupBy(
    timers.filter(({ state }) => state === 'RUNNING'),
    ({ order_id }) => order_id,
  )
  return (sagaId) => {
    const made = ordersOf.get(sagaId) ?? []
    return {
      orders: made,
      payments: (paymentsOf.get(sagaId) ?? []).map((row) => ({
        row,
        books: payments.balances.get(row.payment_id) ?? nothing,
      })),
      runningTimers: made.flatMap(({ order_id }) => running.get(order_id) ?? []).length,
    }
  }
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}

/** Rows that no saga accounts for. */
function strangers(
  sagas: ReadonlySet<string>,
  orders: readonly OrderRow[],
  timers: readonly TimerRow[],
  payments: Payments,
): readonly string[] {
  const made = new Set(orders.map(({ order_id }) => order_id))
  const strange = (what: string, saga: string | null): readonly string[] =>
    saga !== null && sagas.has(saga) ? [] : [`${what} is of saga ${saga}, which there is not`]
  const unordered = (what: string, order: string | null): readonly string[] =>
    order === null || made.has(order) ? [] : [`${what} is for order ${order}, which there is not`]
  return [
    ...orders.flatMap(({ order_id, saga_id }) => strange(`order ${order_id}`, saga_id)),
    ...payments.rows.flatMap(({ payment_id, saga_id, order_id }) => [
      ...strange(`payment ${payment_id}`, saga_id),
      ...unordered(`payment ${payment_id}`, order_id),
    ]),
    ...timers.flatMap(({ order_id }) => unordered('a timer', order_id)),
  ]
}

function effectProblems(state: SagaState, effects: Effects): readonly string[] {
  const saga = `saga ${state.id} is ${state.status}`
  const made = effects.orders.length
  if (made > 1) return [`${saga} and has ${made} orders`]
  switch (state.status) {
    case 'COMPLETED':
      return completedProblems(saga, state, effects)
    case 'COMPENSATED':
    case 'CANCELLED':
    case 'FAILED':
      return undoneProblems(saga, effects)
    default:
      return [] // parked: a person decides; not ended: said already
  }
}

function completedProblems(saga: string, state: SagaState, { orders, payments, runningTimers }: Effects): string[] {
  const order = orders[0]
  if (order === undefined) return [`${saga}, but has no order`]
  const found: string[] = []
  const { customer_id, amount } = state.input as { readonly customer_id: string; readonly amount: number }
  const cost = order.food_cents + order.delivery_cents
  if (order.status !== 'CREATED') found.push(`${saga}, but its order ${order.order_id} is ${order.status}`)
  if (order.customer_id !== customer_id) found.push(`${saga} for ${customer_id}, its order for ${order.customer_id}`)
  if (cost !== amount) found.push(`${saga} over ${amount} cents, but its order costs ${cost}`)
  const held = { ...nothing, customer: -cost, held: cost }
  const [payment] = payments
  if (payments.length !== 1 || !isDeepStrictEqual(payment?.books, held))
    found.push(`${saga}, but of the ${cost} cents of its order the books hold ${JSON.stringify(payments)}`)
  if (payment !== undefined && payment.row.order_id !== order.order_id)
    found.push(`${saga} with order ${order.order_id}, but paid for order ${payment.row.order_id}`)
  if (state.expiresAt === null && runningTimers !== 1) found.push(`${saga}, but its order has ${runningTimers} timers`)
  return found
}

function undoneProblems(saga: string, { orders, payments, runningTimers }: Effects): string[] {
  const found: string[] = []
  for (const { order_id, status } of orders)
    if (status !== 'CANCELLED') found.push(`${saga}, but its order ${order_id} is ${status}`)
  for (const { row, books } of payments)
    if (!isDeepStrictEqual(books, nothing))
      found.push(`${saga}, but payment ${row.payment_id} has ${JSON.stringify(books)}`)
  if (runningTimers > 0) found.push(`${saga}, but its order has a running timer`)
  return found
}
