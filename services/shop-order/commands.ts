/**
 * How the orders of the Order Orchestration obey their commands.
 *
 * Invariants:
 * - a transaction has one order, also where its command comes again under another id;
 * - an undo that comes first keeps the command of its transaction out;
 * - an order that is on its way is not undone: the undo is refused, and says where it is.
 */
import type { Transaction } from 'kysely'
import { done, handleAll, rejected, type Handled, type Refuse } from 'ordersaga/participant'
import { v7 as uuidv7 } from 'uuid'
import { claim } from '../shared/database/claims.ts'
import { contentOf } from './domain.ts'
import { createOrder, rollbackOrder, updateOrderPaymentId } from './messages.ts'
import { cancelOrders, findOrders, insertOrders, setPayments, type NewOrder } from './rows.ts'
import type { ShopOrderTables } from './schema.ts'

type Tx = Transaction<ShopOrderTables>

export function shopOrderCommands(now: () => number): readonly Handled<Tx>[] {
  return [
    handleAll(createOrder, async (tx: Tx, commands) => {
      const read = commands.map(({ sagaId, payload }) => ({ sagaId, payload, ...refusalOrOrder(sagaId, payload) }))
      const wanted = read.flatMap(({ order }) => order ?? [])
      const claims = wanted.map(({ transactionId, orderId }) => ({ transactionId, madeId: orderId }))
      const held = await claim(tx, claims)
      await insertOrders(
        tx,
        wanted.filter(({ transactionId, orderId }) => held.get(transactionId) === orderId),
        now(),
      )
      const orders = await findOrders(
        tx,
        [...held.values()].filter((id) => id !== null),
      )
      return read.map(({ sagaId, payload, why }) => {
        if (why !== null) return rejected(why, noOrder)
        const order = orders.get(held.get(sagaId) ?? '')
        if (order === undefined || order.status === 'Canceled')
          return rejected('it was undone before it arrived', noOrder)
        if (order.user_email !== payload.user_email)
          return rejected('its transaction has an order of somebody else', noOrder)
        return done({ order_id: order.order_id })
      })
    }),

    handleAll(rollbackOrder, async (tx: Tx, commands) => {
      const held = await claim(
        tx,
        commands.map(({ sagaId }) => ({ transactionId: sagaId, madeId: null })),
      )
      const orders = await cancelOrders(
        tx,
        [...held.values()].filter((id) => id !== null),
        now(),
      )
      return commands.map(({ sagaId }) => {
        const order = orders.get(held.get(sagaId) ?? '')
        if (order === undefined || order.status === 'Canceled') return done(null)
        return rejected(`order ${order.order_id} is ${order.status}: it is not undone any more`)
      })
    }),

    handleAll(updateOrderPaymentId, async (tx: Tx, commands) => {
      const payments = new Map(commands.map(({ payload }) => [payload.order_id, payload.payment_id]))
      const orders = await setPayments(tx, payments, now())
      return commands.map(({ payload: { order_id, payment_id } }) => {
        const order = orders.get(order_id)
        if (order === undefined) return rejected(`there is no order ${order_id}`)
        return order.payment_id === payment_id ? done(null) : rejected(`order ${order_id} has another payment`)
      })
    }),
  ]
}

interface CreatePayload {
  readonly user_email: string
  readonly vendor_email: string
  readonly delivery_address: string
  readonly description?: string | null | undefined
  readonly status?: string | null | undefined
  readonly items: Parameters<typeof contentOf>[0]
}

function refusalOrOrder(
  transactionId: string,
  payload: CreatePayload,
): { readonly why: string; readonly order: null } | { readonly why: null; readonly order: NewOrder } {
  const { status } = payload
  if (status != null && status !== 'Pending')
    return { why: `a new order is Pending; it becomes ${status} later`, order: null }
  const content = contentOf(payload.items)
  if (!content.ok) return { why: content.why, order: null }
  return {
    why: null,
    order: {
      orderId: uuidv7(),
      transactionId,
      userEmail: payload.user_email,
      vendorEmail: payload.vendor_email,
      deliveryAddress: payload.delivery_address,
      description: payload.description ?? null,
      items: content.items,
      totalCents: content.totalCents,
    },
  }
}

/** Foreign orchestrators read the id before the status, and stand still where there is none (docs/wire-contract.md 7.6). */
const noOrder = { order_id: '' }

/** What no handler sees. */
export const refuseShopOrder: Refuse = ({ why }) => rejected(why, noOrder)
