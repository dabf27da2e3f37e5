/**
 * How the Timer Service obeys its commands.
 *
 * Invariant: an order has one running timer; a command that comes again, under whatever id, is answered with that one.
 */
import type { Transaction } from 'kysely'
import { done, handle, rejected, type Handled } from 'ordersaga/participant'
import { utcMs, utcText } from '../time/utc.ts'
import { cancelOrderTimer, startOrderTimer } from './messages.ts'
import type { TimerTables } from './schema.ts'
import { endTimerOfOrder, findTimerOfOrder, insertTimer } from './timers.ts'

type Tx = Transaction<TimerTables>

export function timerCommands(now: () => number): readonly Handled<Tx>[] {
  return [
    handle(startOrderTimer, async (tx: Tx, { payload, sagaId }) => {
      const { order_id, customer_id, timeout_at } = payload
      const expiresAt = utcMs(timeout_at)
      if (expiresAt === null) return rejected(`timeout_at ${timeout_at} is no ISO 8601 time`, { order_id })
      const wanted = { orderId: order_id, customerId: customer_id, runnerId: null, expiresAt }
      const timer =
        (await insertTimer(tx, { ...wanted, sagaId: payload.saga_id ?? sagaId }, now())) ??
        (await findTimerOfOrder(tx, order_id))
      if (timer === undefined) throw new Error(`the timer of order ${order_id} ended in this moment; asked again`)
      return done({
        order_id,
        timer_id: timer.timer_id,
        timeout_at: utcText(timer.expires_at),
        timer_set_at: utcText(timer.created_at),
        status: timer.state,
      })
    }),

    handle(cancelOrderTimer, async (tx: Tx, command) => {
      const orderId = command.payload.order_id ?? startedBy(command.original?.payload)
      if (orderId !== undefined) await endTimerOfOrder(tx, orderId, { state: 'CANCELLED' })
      return done({ order_id: orderId ?? null, reason: command.payload.reason ?? null })
    }),
  ]
}

/** The order whose timer the undone `start_order_timer` started. */
function startedBy(payload: unknown): string | undefined {
  return (payload as { readonly order_id?: string } | undefined)?.order_id
}
