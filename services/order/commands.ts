/**
 * How the Order Service obeys its commands (contract 4.6).
 *
 * Invariants:
 * - a saga has one order, also where its `create_order` comes again under another id (quirk O-03);
 * - every command is answered: refusals with a reason, and with the order and the correlation id where the command has
 *   them, also where its payload cannot be read (O-01, O-02);
 * - an undo never takes an order from a runner who has accepted it (C-20, C-21).
 */
import type { Transaction } from 'kysely'
import { check, type CommandContract } from 'ordersaga/contract'
import { done, handle, rejected, type Answer, type Handled, type ReceivedCommand } from 'ordersaga/participant'
import { z } from 'zod'
import { readContent } from './content.ts'
import { isOrderStatus, orderStatuses, whyNot } from './domain.ts'
import { cancelOrder, createOrder, updateOrderStatus } from './messages.ts'
import { cancel, findOrderOfSaga, insertOrder, setStatus } from './orders.ts'
import type { OrderTables } from './schema.ts'

type Tx = Transaction<OrderTables>

export function orderCommands(now: () => number): readonly Handled<Tx>[] {
  return [
    obey(createOrder, async (tx, command, about) => {
      const { customer_id, order_details, saga_id } = command.payload
      const content = readContent(order_details)
      if (!content.ok) return rejected(content.why, about)

      const sagaId = saga_id ?? command.sagaId
      const asked = { askedBy: { sagaId }, customerId: customer_id, content: content.value }
      const { order } = await insertOrder(tx, asked, now())
      if (order.customer_id !== customer_id) return rejected('the saga has an order of another customer', about)
      if (order.status === 'CANCELLED') return rejected('the order of this saga is cancelled already', about)
      return done({ ...about, order_id: order.order_id, customer_id, status: order.status, saga_id: sagaId })
    }),

    obey(updateOrderStatus, async (tx, command, about) => {
      const { order_id, status } = command.payload
      if (!isOrderStatus(status)) {
        return rejected(`there is no status ${status}: use one of ${orderStatuses.join(', ')}`, about)
      }
      const { order } = await setStatus(tx, order_id, status, now())
      if (order === undefined) return rejected(`there is no order ${order_id}`, about)
      // Also where it had this status before: a producer that gives no ids asks twice.
      if (order.status === status) return done({ ...about, status, saga_id: order.saga_id })
      return rejected(whyNot(order.status, status), about)
    }),

    obey(cancelOrder, async (tx, command, { correlation_id }) => {
      const reason = command.payload.reason ?? ''
      const orderId = await orderToCancel(tx, command)
      const about = { order_id: orderId ?? null, correlation_id }
      if (orderId === undefined) {
        // Nothing was made: the order was refused, or the tombstone that is left now keeps it out.
        if (command.undoes !== null) return done({ ...about, reason })
        return rejected('no order is named, and the saga has none: send its order_id', about)
      }
      const { order } = await cancel(tx, orderId, reason, now())
      if (order === undefined) return rejected(`there is no order ${orderId}`, about)
      if (order.status === 'CANCELLED') return done({ ...about, reason })
      return rejected(whyNot(order.status, 'CANCELLED'), about)
    }),
  ]
}

/** What every answer names. */
interface About extends Readonly<Record<string, unknown>> {
  readonly order_id: string | null
  readonly correlation_id: string
}

/** As `handle`, but what is wrong with a payload is answered like any other refusal. */
function obey<Payload, Data>(
  contract: CommandContract<Payload, Data>,
  work: (tx: Tx, command: ReceivedCommand<Payload>, about: About) => Promise<Answer<Data>>,
): Handled<Tx> {
  const unread: CommandContract<unknown, Data> = {
    ...contract,
    payload: z.unknown(),
    verdict: () => null,
    belongs: () => true,
  }
  return handle(unread, async (tx: Tx, command) => {
    const about = { order_id: orderNamed(command.payload), correlation_id: command.sagaId }
    const payload = check(contract.payload, command.payload)
    if (!payload.ok) return rejected(`the payload of ${contract.type} cannot be obeyed: ${payload.why}`, about)
    return work(tx, { ...command, payload: payload.value }, about)
  })
}

function orderNamed(payload: unknown): string | null {
  const { order_id: named } = Object(payload) as { readonly order_id?: unknown }
  return typeof named === 'string' ? named : null
}

/** The order that is named, else the one that the undone `create_order` made here, else the one of the saga. */
async function orderToCancel(
  tx: Tx,
  { payload, original, sagaId }: ReceivedCommand<{ readonly order_id?: string | null | undefined }>,
): Promise<string | undefined> {
  if (payload.order_id != null) return payload.order_id
  if (original?.kind === 'done') return (original.payload as { readonly order_id: string }).order_id
  return (await findOrderOfSaga(tx, sagaId))?.order_id
}
