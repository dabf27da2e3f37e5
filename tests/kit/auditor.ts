/**
 * Checks what the services left behind, from their own tables and the ledger alone: no service is asked, none may run. Sagas that
 * Temporal keeps are handed in, as its workers have told of them.
 *
 * A problem is a sentence. Looked for are: a saga that neither ended nor parked; a history with gaps, or one that does not
 * fold to the stored state; an order, a payment or a timer without a saga, or one too many; money that is not where the
 * end of its saga says it is; and what `deliveries.ts` says of payouts.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SagaState } from 'ordersaga/state'
import { redisStore } from 'ordersaga/stores/redis'
import { orchestrators } from '../../services/app/registry.ts'
import { openDatabase } from '../../services/shared/database/database.ts'
import { auditPayments } from '../../services/payment/audit.ts'
import { balancesByPayment, nothing } from '../../services/payment/ledger.ts'
import { paymentMigrations, type PaymentTables } from '../../services/payment/schema.ts'
import { acceptanceProblems, isAccepted } from './acceptances.ts'
import { costOf, deliveryProblems, gaveBack, mayHavePaid, orderOf, type OrderRow, type Payment } from './deliveries.ts'
import { groupBy } from './group-by.ts'
import { historyProblems, readSagas, readStore, type StoredSagas } from './histories.ts'
import { openTables, targetOf, type Place, type Service, type Tables } from './tables.ts'
import { storedIn, workflowProblems, type WorkflowSaga } from './workflow-sagas.ts'

export interface Finding {
  readonly problems: readonly string[]
  /** Create Order sagas by status. */
  readonly statuses: Readonly<Record<string, number>>
  /** Complete Order sagas by status, wherever they are kept. */
  readonly deliveries: Readonly<Record<string, number>>
  /** Accept Order sagas by status. */
  readonly acceptances: Readonly<Record<string, number>>
}

/** Sagas that workflows keep, by what they do. */
export interface OnTemporal {
  readonly deliveries: readonly WorkflowSaga[]
  readonly acceptances: readonly WorkflowSaga[]
}

const nowhere: OnTemporal = { deliveries: [], acceptances: [] }

interface TimerRow {
  readonly order_id: string
  readonly state: string
}

interface Payments {
  readonly all: readonly Payment[]
  /** What the Payment Service's own audit finds: books, payments and gateway against each other. */
  readonly problems: readonly string[]
}

/** What belongs to one saga. */
interface Effects {
  readonly orders: readonly OrderRow[]
  readonly payments: readonly Payment[]
  readonly runningTimers: number
  /** The Complete Order sagas of its order. */
  readonly deliveries: readonly SagaState[]
  /** The Accept Order sagas of its order. */
  readonly acceptances: readonly SagaState[]
}

export async function auditServices(place: Place, onTemporal = nowhere): Promise<Finding> {
  const sagas = await sagasOf(place, 'create-order')
  const deliveries = both(await sagasOf(place, 'complete-order'), storedIn(onTemporal.deliveries))
  const acceptances = storedIn(onTemporal.acceptances)
  const orders = await reading(place, 'order', (tables) => tables.rows<OrderRow>('select * from orders'))
  const timers = await reading(place, 'timer', (tables) => tables.rows<TimerRow>('select * from timers'))
  const accounts = await reading(place, 'user', readAccounts)
  const payments = await readPayments(place)
  const known = new Set(sagas.rows.map(({ id }) => id))
  const delivered = statesOf(deliveries)
  const accepted = statesOf(acceptances)
  const effects = effectsBySaga(orders, timers, payments, delivered, accepted)
  return {
    statuses: countByStatus(sagas),
    deliveries: countByStatus(deliveries),
    acceptances: countByStatus(acceptances),
    problems: [
      ...[sagas, deliveries, acceptances].flatMap(historyProblems),
      ...workflowProblems([...onTemporal.deliveries, ...onTemporal.acceptances]),
      ...payments.problems,
      ...strangers(known, orders, timers, payments),
      ...statesOf(sagas).flatMap((state) => effectProblems(state, effects(state.id))),
      ...deliveryProblems(delivered, { orders, payments: payments.all, accounts }),
      ...acceptanceProblems(accepted, orders),
    ],
  }
}

const both = (one: StoredSagas, other: StoredSagas): StoredSagas => ({
  rows: [...one.rows, ...other.rows],
  history: new Map([...one.history, ...other.history]),
})

const statesOf = ({ rows }: StoredSagas): readonly SagaState[] => rows.map(({ state }) => state)

const countByStatus = (sagas: StoredSagas): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...groupBy(statesOf(sagas), ({ status }) => status)].map(([status, { length }]) => [status, length]),
  )

async function sagasOf(place: Place, orchestrator: 'create-order' | 'complete-order'): Promise<StoredSagas> {
  if (place.redisUrl === undefined) return reading(place, `${orchestrator}-saga`, readSagas)
  const store = redisStore({
    url: place.redisUrl,
    prefix: orchestrators.find(({ name }) => name === orchestrator)?.redisPrefix ?? '',
  })
  await store.open()
  try {
    return await readStore(store)
  } finally {
    await store.close()
  }
}

async function readAccounts(tables: Tables): Promise<ReadonlyMap<string, string | null>> {
  type Row = { readonly user_id: string; readonly stripe_connect_account_id: string | null }
  const rows = await tables.rows<Row>('select user_id, stripe_connect_account_id from users')
  return new Map(rows.map(({ user_id, stripe_connect_account_id }) => [user_id, stripe_connect_account_id]))
}

/** In one snapshot: late answers may still come, and each of them is a move. */
async function reading<T>(place: Place, service: Service, read: (tables: Tables) => Promise<T>): Promise<T> {
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
    const books = await balancesByPayment(database.db)
    const transfers = groupBy(
      await database.db
        .selectFrom('sandbox_transfers')
        .innerJoin('sandbox_intents', 'sandbox_intents.intent_id', 'sandbox_transfers.intent_id')
        .select(['payment_id', 'account', 'sandbox_transfers.cents'])
        .where('reversed', '=', 0)
        .execute(),
      ({ payment_id }) => payment_id,
    )
    const all = rows.map((row) => ({
      row,
      books: books.get(row.payment_id) ?? nothing,
      transfers: (transfers.get(row.payment_id) ?? []).map(({ account, cents }) => ({ account, cents })),
    }))
    return { all, problems }
  } finally {
    await database.close()
  }
}

function effectsBySaga(
  orders: readonly OrderRow[],
  timers: readonly TimerRow[],
  payments: Payments,
  deliveries: readonly SagaState[],
  acceptances: readonly SagaState[],
): (sagaId: string) => Effects {
  const ordersOf = groupBy(orders, ({ saga_id }) => saga_id ?? '')
  const paymentsOf = groupBy(payments.all, ({ row }) => row.saga_id)
  const deliveriesOf = groupBy(deliveries, orderOf)
  const acceptancesOf = groupBy(acceptances, orderOf)
  const running = groupBy(
    timers.filter(({ state }) => state === 'RUNNING'),
    ({ order_id }) => order_id,
  )
  return (sagaId) => {
    const made = ordersOf.get(sagaId) ?? []
    return {
      orders: made,
      payments: paymentsOf.get(sagaId) ?? [],
      runningTimers: made.flatMap(({ order_id }) => running.get(order_id) ?? []).length,
      deliveries: made.flatMap(({ order_id }) => deliveriesOf.get(order_id) ?? []),
      acceptances: made.flatMap(({ order_id }) => acceptancesOf.get(order_id) ?? []),
    }
  }
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
    ...payments.all.flatMap(({ row: { payment_id, saga_id, order_id } }) => [
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

function completedProblems(saga: string, state: SagaState, effects: Effects): string[] {
  const { orders, payments, runningTimers, deliveries, acceptances } = effects
  const order = orders[0]
  if (order === undefined) return [`${saga}, but has no order`]
  const found: string[] = []
  const { customer_id, amount } = state.input as { readonly customer_id: string; readonly amount: number }
  const cost = costOf(order)
  const over = mayHavePaid(deliveries) // what the order and its money must be then is for the deliveries to say
  if (!over && !standing(order).includes(order.status))
    found.push(`${saga}, but its order ${order.order_id} is ${order.status}`)
  if (order.customer_id !== customer_id) found.push(`${saga} for ${customer_id}, its order for ${order.customer_id}`)
  if (cost !== amount) found.push(`${saga} over ${amount} cents, but its order costs ${cost}`)
  // A transfer to the runner that was refused leaves the money in escrow.
  const places = deliveries.length === 0 ? ['held'] : ['held', 'escrow']
  const kept = deliveries.some(gaveBack)
    ? [nothing]
    : places.map((place) => ({ ...nothing, customer: -cost, [place]: cost }))
  const [payment] = payments
  if (payments.length !== 1 || (!over && !kept.some((books) => isDeepStrictEqual(payment?.books, books))))
    found.push(`${saga}, but of the ${cost} cents of its order the books hold ${JSON.stringify(payments)}`)
  if (payment !== undefined && payment.row.order_id !== order.order_id)
    found.push(`${saga} with order ${order.order_id}, but paid for order ${payment.row.order_id}`)
  const timers = isAccepted(acceptances) ? 0 : 1
  if (state.expiresAt === null && runningTimers !== timers)
    found.push(`${saga}, but its order has ${runningTimers} timers`)
  return found
}

/** What an order may be that was created and not completed. */
const standing = ({ runner_id }: OrderRow): readonly string[] =>
  runner_id === null ? ['CREATED'] : ['ACCEPTED', 'PLACED', 'ON_THE_WAY', 'DELIVERED']

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
