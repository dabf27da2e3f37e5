/**
 * What Complete Order sagas must have left, order by order: where one has completed, the order is, and its runner was paid,
 * once, the whole amount; where all came to nothing, nobody was. And no order was completed, and nobody paid, without one.
 */
import { isDeepStrictEqual } from 'node:util'
import { stepOf } from 'ordersaga/core'
import { hasEnded, type SagaState } from 'ordersaga/state'
import { nothing, type Balances } from '../../services/payment/ledger.ts'
import type { PaymentRow } from '../../services/payment/schema.ts'
import { groupBy } from './group-by.ts'

export interface OrderRow {
  readonly order_id: string
  readonly saga_id: string | null
  readonly customer_id: string
  readonly runner_id: string | null
  readonly status: string
  readonly food_cents: number
  readonly delivery_cents: number
}

export interface Payment {
  readonly row: PaymentRow
  readonly books: Balances
  /** What the sandbox gateway has given to runners, and not taken back. */
  readonly transfers: readonly Transfer[]
}

export interface Transfer {
  readonly account: string
  readonly cents: number
}

/** What the services have, that deliveries are held against. */
export interface Left {
  readonly orders: readonly OrderRow[]
  readonly payments: readonly Payment[]
  /** Connect accounts by the runner's id. */
  readonly accounts: ReadonlyMap<string, string | null>
}

export const costOf = ({ food_cents, delivery_cents }: OrderRow): number => food_cents + delivery_cents

export const orderOf = ({ input }: SagaState): string => (input as { readonly order_id: string }).order_id

/** False where all of them came to nothing. */
export const mayHavePaid = (sagas: readonly SagaState[]): boolean =>
  sagas.some(({ status }) => status === 'COMPLETED' || !hasEnded(status))

/** A sentence for each problem. */
export function deliveryProblems(sagas: readonly SagaState[], { orders, payments, accounts }: Left): readonly string[] {
  const orderNamed = new Map(orders.map((order) => [order.order_id, order]))
  const paymentsOf = groupBy(payments, ({ row }) => row.order_id ?? '')
  const byOrder = groupBy(
    sagas.toSorted((one, other) => one.startedAt - other.startedAt),
    orderOf,
  )
  return [
    ...[...byOrder].flatMap(([id, ofOrder]) =>
      problemsOf(id, ofOrder, orderNamed.get(id), paymentsOf.get(id) ?? [], accounts),
    ),
    ...orders
      .filter(({ order_id, status }) => status === 'COMPLETED' && !byOrder.has(order_id))
      .map(({ order_id }) => `order ${order_id} is COMPLETED, but no saga has completed it`),
    ...payments
      .filter((payment) => hasPaid(payment) && !byOrder.has(payment.row.order_id ?? ''))
      .map((payment) => `${paid(payment)}, but no saga was to complete order ${payment.row.order_id}`),
  ]
}

function problemsOf(
  orderId: string,
  sagas: readonly SagaState[],
  order: OrderRow | undefined,
  payments: readonly Payment[],
  accounts: Left['accounts'],
): readonly string[] {
  if (order === undefined)
    return sagas
      .filter(({ status }) => status !== 'FAILED' && status !== 'CANCELLED')
      .map(({ id, status }) => `saga ${id} is ${status}, but there is no order ${orderId}`)
  const completed = sagas.filter(({ status }) => status === 'COMPLETED')
  const [saga] = completed
  if (completed.length > 1)
    return [`order ${orderId} was completed by ${completed.length} sagas: ${completed.map(({ id }) => id).join(', ')}`]
  if (saga !== undefined) return completedProblems(`saga ${saga.id} is COMPLETED`, order, payments, accounts)
  // Of one that is parked a person decides; one that has not ended is a problem by itself.
  return mayHavePaid(sagas) ? [] : undoneProblems(sagas, order, payments)
}

function completedProblems(
  saga: string,
  order: OrderRow,
  payments: readonly Payment[],
  accounts: Left['accounts'],
): readonly string[] {
  const found: string[] = []
  const { order_id, runner_id, status } = order
  if (status !== 'COMPLETED') found.push(`${saga}, but its order ${order_id} is ${status}`)
  const [payment] = payments
  if (payment === undefined || payments.length > 1)
    return [...found, `${saga}, but its order has ${payments.length} payments`]
  const { row, books, transfers } = payment
  const account = accounts.get(runner_id ?? '') ?? null
  const cents = costOf(order)
  if (row.status !== 'SUCCEEDED') found.push(`${saga}, but payment ${row.payment_id} is ${row.status}`)
  if (row.runner_id !== runner_id || row.runner_account !== account)
    found.push(
      `${saga} for ${runner_id} with ${account}, but payment ${row.payment_id} is for ${row.runner_id} with ${row.runner_account}`,
    )
  if (!isDeepStrictEqual(books, { ...nothing, customer: -cents, runner: cents }))
    found.push(`${saga} over ${cents} cents, but ${paid(payment)}`)
  if (row.gateway === 'sandbox' && !isDeepStrictEqual(transfers, [{ account, cents }]))
    found.push(`${saga} for ${cents} cents to ${account}, but the gateway has sent ${JSON.stringify(transfers)}`)
  return found
}

function undoneProblems(
  sagas: readonly SagaState[],
  { order_id, status }: OrderRow,
  payments: readonly Payment[],
): readonly string[] {
  const all = sagas.map(({ id, status: end }) => `saga ${id} is ${end}`).join(', ')
  const found = payments.filter(hasPaid).map((payment) => `${all}, but ${paid(payment)}`)
  const taken = status === 'COMPLETED' || (status === 'DELIVERED' && !wasDeliveredBefore(sagas))
  return taken ? [...found, `${all}, but its order ${order_id} is ${status}`] : found
}

/** By what the first of them was told that delivered it, or looked before it did. */
function wasDeliveredBefore(sagas: readonly SagaState[]): boolean {
  const told = sagas.flatMap(
    (saga) => stepOf(saga, 'deliver').reply ?? stepOf(saga, 'verify').reply ?? [],
  ) as readonly { readonly previous_status?: string; readonly status?: string }[]
  return (told[0]?.previous_status ?? told[0]?.status) === 'DELIVERED'
}

/** Whether its release was taken back: the customer has his money again. (Over Kafka it stays in escrow.) */
export const gaveBack = (saga: SagaState): boolean => stepOf(saga, 'release').phase === 'undone'

const hasPaid = ({ books, transfers }: Payment): boolean => books.runner !== 0 || transfers.length > 0

const paid = ({ row, books, transfers }: Payment): string =>
  `payment ${row.payment_id} has paid: ${JSON.stringify({ books, transfers })}`
