/**
 * How the Timer Service obeys its commands.
 *
 * Invariants:
 * - an order has one running timer; a command that comes again, under whatever id, is answered with that one;
 * - a timer that was started over HTTP belongs to no saga until one asks for it: then it is that saga's, with its time.
 */
import type { Transaction } from 'kysely'
import { done, handle, handleAll, rejected, type Answer, type Handled } from 'ordersaga/participant'
import { utcMs, utcText } from '../shared/time/utc.ts'
import { cancelOrderTimer, startOrderTimer } from './messages.ts'
import type { TimerRow, TimerTables } from './schema.ts'
import { adoptTimer, endTimerOfOrder, findTimerOfOrder, insertTimers, type NewTimer } from './rows.ts'

type Tx = Transaction<TimerTables>

export function timerCommands(now: () => number): readonly Handled<Tx>[] {
  return [
    handleAll(startOrderTimer, async (tx: Tx, commands) => {
      const wanted = commands.flatMap(({ payload, sagaId }): NewTimer[] => {
        const { order_id, customer_id, timeout_at, saga_id } = payload
        const expiresAt = utcMs(timeout_at)
        if (expiresAt === null) return []
        return [{ orderId: order_id, customerId: customer_id, runnerId: null, sagaId: saga_id ?? sagaId, expiresAt }]
      })
      const made = wanted.length === 0 ? [] : await insertTimers(tx, wanted, now())
      const timers = new Map(made.map((timer) => [timer.order_id, timer]))
      const answers: Answer<ReturnType<typeof started>>[] = []
      for (const { payload } of commands) {
        const { order_id, timeout_at } = payload
        if (utcMs(timeout_at) === null) {
          answers.push(rejected(`timeout_at ${timeout_at} is no ISO 8601 time`, { order_id }))
          continue
        }
        const asked = wanted.find(({ orderId }) => orderId === order_id)
        const timer =
          timers.get(order_id) ??
          (asked === undefined ? undefined : await adoptTimer(tx, asked)) ??
          (await findTimerOfOrder(tx, order_id))
        if (timer === undefined) throw new Error(`the timer of order ${order_id} ended in this moment; asked again`)
        answers.push(done(started(timer)))
      }
      return answers
    }),

    handle(cancelOrderTimer, async (tx: Tx, command) => {
      const orderId = command.payload.order_id ?? startedBy(command.original?.payload)
      if (orderId !== undefined) await endTimerOfOrder(tx, orderId, { state: 'CANCELLED' })
      return done({ order_id: orderId ?? null, reason: command.payload.reason ?? null })
    }),
  ]
}

const started = (timer: TimerRow) => ({
  order_id: timer.order_id,
  timer_id: timer.timer_id,
  timeout_at: utcText(timer.expires_at),
  timer_set_at: utcText(timer.created_at),
  status: timer.state,
})

/** The order whose timer the undone `start_order_timer` started. */
function startedBy(payload: unknown): string | undefined {
  return (payload as { readonly order_id?: string } | undefined)?.order_id
}
