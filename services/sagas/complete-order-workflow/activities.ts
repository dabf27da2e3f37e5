/** The activities of Complete Order, by the names and arguments of the originals: HTTP calls of the services (docs/wire-contract.md 3.3). */
import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { at, attempt, call, refusal, type Attempt } from '../workflows/calling.ts'

/** Where the services are; asked for at each call. */
export interface Addresses {
  readonly order: () => string
  readonly user: () => string
  readonly payment: () => string
}

const Order = z.looseObject({ orderStatus: z.string(), runnerId: z.string().nullish() })
const Account = z.looseObject({ stripe_connect_account_id: z.string().nullish() })
const Payment = z.looseObject({
  payment: z.looseObject({ paymentId: z.string(), status: z.string().nullish(), runnerId: z.string().nullish() }),
})

/** In these an order can be delivered, or was. */
const deliverable: ReadonlySet<string> = new Set(['ON_THE_WAY', 'DELIVERED'])

/** How often a payment is looked at whose service has only taken the order for it. */
const lookMs = 250

export function completeOrderActivities({ order, user, payment }: Addresses) {
  const get = (service: string, url: string, own: Attempt) => call(service, { method: 'GET', url }, own)

  /**
   * A service that answers 202 has only queued it: the payment tells when the money has moved. What another queues again when it
   * is asked again is looked at first.
   */
  async function move(
    paymentId: string,
    what: 'release' | 'revert',
    body: { readonly runner_id?: string; readonly [field: string]: string | undefined },
    ends: string,
  ): Promise<true> {
    const own = attempt()
    const path = at(payment(), `/payment/${encodeURIComponent(paymentId)}`)
    const seconds = Math.max(1, Math.floor((own.until - Date.now()) / 1000) - 1)
    const look = async () =>
      read(Payment, 'the Payment Service', await get('the Payment Service', `${path}/details`, own)).payment
    /** A release to somebody else is not this one. */
    const isDone = ({ status, runnerId }: Awaited<ReturnType<typeof look>>): boolean =>
      status === ends && (body.runner_id === undefined || runnerId == null || runnerId === body.runner_id)
    if (isDone(await look())) return true
    const { status: code } = await call(
      'the Payment Service',
      { method: 'POST', url: `${path}/${what}`, body, headers: { prefer: `wait=${seconds}` } },
      own,
    )
    if (code !== 202) return true
    while (Date.now() + lookMs < own.until) {
      await pause(lookMs, undefined, { signal: own.signal }).catch(() => undefined)
      const now = await look()
      if (isDone(now)) return true
      if (what === 'release' && (now.status === 'FAILED' || now.status === 'REVERTED'))
        throw refusal(`the payment is ${now.status}`)
    }
    throw new Error(`the ${what} of payment ${paymentId} was asked for; nobody knows yet what became of it`)
  }

  return {
    /** Whether this runner has the order, and what its status is. */
    async verify_runner(orderId: string, runnerId: string): Promise<{ readonly status: string }> {
      const url = at(order(), `/getOrderDetails?orderId=${encodeURIComponent(orderId)}`)
      const found = read(Order, 'the Order Service', await get('the Order Service', url, attempt()))
      if (found.runnerId == null) throw refusal(`order ${orderId} is ${found.orderStatus} and has no runner`)
      if (found.runnerId !== runnerId) throw refusal(`order ${orderId} is carried by another runner`)
      if (!deliverable.has(found.orderStatus))
        throw refusal(
          `order ${orderId} is ${found.orderStatus}: only one that is ON_THE_WAY or DELIVERED can be completed`,
        )
      return { status: found.orderStatus }
    },

    async update_order_status(orderId: string, status: string): Promise<true> {
      const request = { method: 'POST', url: at(order(), '/updateOrderStatus'), body: { orderId, status } } as const
      await call('the Order Service', request, attempt())
      return true
    },

    async get_user_stripe_connect(runnerId: string): Promise<string | null> {
      const url = at(user(), `/api/user/${encodeURIComponent(runnerId)}/connect-account`)
      const found = read(Account, 'the User Service', await get('the User Service', url, attempt()))
      return found.stripe_connect_account_id ?? null
    },

    async get_payment_status(orderId: string): Promise<string> {
      const url = at(payment(), `/payment/${encodeURIComponent(orderId)}/status`)
      return read(Payment, 'the Payment Service', await get('the Payment Service', url, attempt())).payment.paymentId
    },

    release_funds: (paymentId: string, runnerId: string, connectId: string): Promise<true> =>
      move(paymentId, 'release', { runner_id: runnerId, runner_connect_account_id: connectId }, 'SUCCEEDED'),

    /** The original payment API wants a JSON body. */
    rollback_release_funds: (paymentId: string): Promise<true> =>
      move(paymentId, 'revert', { reason: 'requested_by_customer' }, 'REVERTED'),
  }
}

/** @throws Error where the service does not speak by its contract: it may, once it is mended */
function read<T>(schema: z.ZodType<T>, service: string, { status, body }: { status: number; body: unknown }): T {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new Error(`${service} does not answer as its contract says (${status})`)
}
