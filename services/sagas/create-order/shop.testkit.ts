/** For tests of the Create Order saga: a customer's view of the running services. */
import { randomUUID } from 'node:crypto'
import { expect, vi } from 'vitest'
import { call, type Answered } from '../../shared/testing/call.ts'
import type { Embedded } from '../../shared/testing/embedded.ts'
import { insist } from '../../shared/testing/insist.ts'

/** The documented `order_details`. */
export const burger = {
  foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }],
  deliveryLocation: 'North Campus',
}

export interface SagaBody {
  readonly id: string
  readonly customer_id: string
  readonly order_id: string | null
  readonly status: string
  readonly current_step: string | null
  readonly error: string | null
  readonly created_at: string
  readonly updated_at: string
  readonly completed_at: string | null
  readonly payment_id: string | null
  readonly payment_amount: number
  readonly cancel: { readonly by: string; readonly reason: string } | null
  readonly steps: readonly { readonly step: string; readonly phase: string; readonly attempts: number }[]
}

export interface Shop {
  place(customer: string, details?: object, headers?: Readonly<Record<string, string>>): Promise<Answered>
  /** Places an order that must be taken; gives the saga's id. */
  start(customer: string, details?: object): Promise<string>
  saga(id: string): Promise<SagaBody>
  /** The saga once it has this status. */
  sagaIn(status: string, id: string): Promise<SagaBody>
  /** The order's status at the Order Service. */
  orderStatus(orderId: string | null): Promise<string>
  payment(orderId: string | null): Promise<{ readonly status: string; readonly amount: number }>
  /** How many sagas there are. */
  count(): Promise<number>
  /** What the payment ledger's audit finds. */
  problems(): Promise<readonly string[]>
}

/** The services are busy with other tests, too. */
const patience = { timeout: 30_000, interval: 20 }

export function shopOf({ urls }: Pick<Embedded, 'urls'>): Shop {
  const place: Shop['place'] = (customer_id, order_details = burger, headers = {}) =>
    call('POST', `${urls.sagas}/api/orders`, { json: { customer_id, order_details }, headers })
  const saga: Shop['saga'] = async (id) => (await call('GET', `${urls.sagas}/api/sagas/${id}`)).body as SagaBody
  return {
    place,
    async start(customer, details) {
      const key = { 'idempotency-key': randomUUID() }
      const answer = await insist(() => place(customer, details, key))
      expect([answer.status, answer.text]).toEqual([202, expect.stringContaining('"saga_id":"')])
      return (answer.body as { readonly saga_id: string }).saga_id
    },
    saga,
    // Not by `expect.poll`: it is called where no test runs yet, too.
    sagaIn: (status, id) =>
      vi.waitFor(async () => {
        const found = await saga(id)
        expect(found.status).toBe(status)
        return found
      }, patience),
    async orderStatus(orderId) {
      const { body } = await call('GET', `${urls.order}/getOrderDetails?orderId=${orderId}`)
      return (body as { readonly orderStatus: string }).orderStatus
    },
    async payment(orderId) {
      const { body } = await call('GET', `${urls.payment}/payment/${orderId}/status`)
      return (body as { readonly payment: { readonly status: string; readonly amount: number } }).payment
    },
    async count() {
      let count = 0
      for (let after: string | null = ''; after !== null;) {
        const page: Answered = await call(
          'GET',
          `${urls.sagas}/api/sagas?limit=1000${after === '' ? '' : `&after=${after}`}`,
        )
        count += (page.body as readonly unknown[]).length
        after = page.headers.get('x-next')
      }
      return count
    },
    async problems() {
      const { body } = await call('GET', `${urls.payment}/ledger/audit`)
      return (body as { readonly problems: readonly string[] }).problems
    },
  }
}
