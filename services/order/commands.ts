/**
 * How the Order Service obeys its commands (contract 4.6).
 *
 * Invariants:
 * - a saga has one order, also where its `create_order` comes again under another id (quirk O-03);
 * - every command is answered, refusals with a reason (O-01, O-02);
 * - an undo never takes an order from a runner who has accepted it (C-20, C-21).
 */
import type { Transaction } from 'kysely'
import { done, handle, rejected, type Handled, type ReceivedCommand } from 'ordersaga/participant'
import { readContent } from './content.ts'
import { isOrderStatus, orderStatuses, whyNot } from './domain.ts'
import { cancelOrder, createOrder, updateOrderStatus } from './messages.ts'
import { cancel, findOrder, findOrderOfSaga, insertOrder, setStatus } from './orders.ts'
import type { OrderTables } from './schema.ts'

type Tx = Transaction<OrderTables>

export function orderCommands(now: () => number): readonly Handled<Tx>[] {
  return [
    handle(createOrder, async (tx: Tx, command) => {
      const { customer_id, order_details, saga_id } = command.payload
      const correlation = { correlation_id: command.sagaId }
      const content = readContent(order_details)
      if (!content.ok) return rejected(content.why, correlation)

      const sagaId = saga_id ?? command.sagaId
      const order = await insertOrder(tx, { sagaId, customerId: customer_id, content: content.value }, now())
      if (order.customer_id !== customer_id) return rejected('the saga has an order of another customer', correlation)
      if (order.status === 'CANCELLED') return rejected('the order of this saga is cancelled already', correlation)
      return done({ order_id: order.order_id, customer_id, status: order.status, saga_id: sagaId, ...correlation })
    }),

    handle(updateOrderStatus, async (tx: Tx, command) => {
      const { order_id, status } = command.payload
      const about = { order_id, correlation_id: command.sagaId }
      if (!isOrderStatus(status)) {
        return rejected(`there is no status ${status}: use one of ${orderStatuses.join(', ')}`, about)
      }
      const order = (await setStatus(tx, order_id, status, now())) ?? (await findOrder(tx, order_id))
      if (order === undefined) return rejected(`there is no order ${order_id}`, about)
      // Also where it had this status before: a producer that gives no ids asks twice.
      if (order.status === status) return done({ ...about, status, saga_id: order.saga_id })
      return rejected(whyNot(order.status, status), about)
    }),

    handle(cancelOrder, async (tx: Tx, command) => {
      const reason = command.payload.reason ?? ''
      const orderId =
        command.payload.order_id ?? madeBy(command) ?? (await findOrderOfSaga(tx, command.sagaId))?.order_id
      const about = { order_id: orderId ?? null, correlation_id: command.sagaId }
      // Nothing was made: the order was refused, or the tombstone that is left now keeps it out.
      if (orderId === undefined) return done({ ...about, reason })

      const order = (await cancel(tx, orderId, reason, now())) ?? (await findOrder(tx, orderId))
      if (order === undefined) return rejected(`there is no order ${orderId}`, about)
      if (order.status === 'CANCELLED') return done({ ...about, reason })
      return rejected(whyNot(order.status, 'CANCELLED'), about)
    }),
  ]
}

/** The order that the undone `create_order` made here. */
function madeBy(undo: ReceivedCommand<unknown>): string | undefined {
  if (undo.original?.kind !== 'done') return undefined
  return (undo.original.payload as { readonly order_id: string }).order_id
}
