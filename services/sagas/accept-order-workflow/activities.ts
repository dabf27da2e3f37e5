/** The activities of Accept Order, by the names and arguments of the original: HTTP calls of the services (docs/wire-contract.md 6.4). */
import { z } from 'zod'
import { at, attempt, call, refusal } from '../workflows/calling.ts'

export interface AcceptAddresses {
  readonly order: () => string
  readonly timer: () => string
  /** Another timer service's whole address, `…/StopTimer`; ours is asked where none is given. */
  readonly stopTimer?: string | undefined
}

const Order = z.looseObject({ orderStatus: z.string(), runnerId: z.string().nullish() })
const Timer = z.looseObject({ timer: z.looseObject({ runnerAccepted: z.boolean() }) })

export function acceptOrderActivities({ order, timer, stopTimer }: AcceptAddresses) {
  return {
    async verify_and_accept_order(orderId: string, runnerId: string): Promise<true> {
      const own = attempt()
      const { status, body } = await call(
        'the Order Service',
        {
          method: 'POST',
          url: at(order(), '/verifyAndAcceptOrder'),
          body: { orderId, runner_id: runnerId },
          reads: [400, 409],
        },
        own,
      )
      if (status < 300) return true
      // One that keeps no keys refuses the repeat of what it has done.
      const url = at(order(), `/getOrderDetails?orderId=${encodeURIComponent(orderId)}`)
      const found = Order.safeParse((await call('the Order Service', { method: 'GET', url }, own)).body)
      if (!found.success) throw new Error('the Order Service does not answer as its contract says')
      const { orderStatus, runnerId: runner } = found.data
      if (orderStatus === 'ACCEPTED' && runner === runnerId) return true
      const { error } = Object(body) as { readonly error?: unknown }
      throw refusal(typeof error === 'string' ? error : `order ${orderId} is ${orderStatus}`)
    },

    async revert_order_status(orderId: string): Promise<true> {
      await call(
        'the Order Service',
        { method: 'POST', url: at(order(), '/clearRunner'), body: { orderId } },
        attempt(),
      )
      return true
    },

    async notify_timer_service(orderId: string, runnerId: string): Promise<true> {
      const own = attempt()
      if (stopTimer !== undefined) {
        const body = { OrderId: orderId, RunnerId: runnerId }
        // Stopped before, or not there: nothing cancels the order.
        await call('the timer service', { method: 'POST', url: stopTimer, body, reads: [400, 404] }, own)
        return true
      }
      const stop = { method: 'POST', url: at(timer(), '/stop-request-timer'), body: { orderId, runnerId } } as const
      const { status } = await call('the Timer Service', { ...stop, reads: [400, 404] }, own)
      if (status < 300) return true
      const url = at(timer(), `/timers/order/${encodeURIComponent(orderId)}`)
      const shown = await call('the Timer Service', { method: 'GET', url, reads: [404] }, own)
      // Without a timer nothing cancels the order.
      if (shown.status === 404) return true
      const found = Timer.safeParse(shown.body)
      if (!found.success) throw new Error('the Timer Service does not answer as its contract says')
      if (found.data.timer.runnerAccepted) return true
      throw refusal(`the time in which order ${orderId} could be accepted is over`)
    },
  }
}
