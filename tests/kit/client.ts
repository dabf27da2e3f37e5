/** What a client of the system does, over HTTP alone. */
import { randomUUID } from 'node:crypto'
import { insist } from '../../services/shared/testing/insist.ts'
import { until } from './until.ts'
import type { System } from './system.ts'

export interface Answer {
  readonly status: number
  readonly text: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface Saga {
  readonly id: string
  readonly status: string
  readonly current_step: string | null
  readonly order_id: string | null
  readonly payment_id: string | null
  readonly error: string | null
}

const endMs = 150_000
const ended = ['COMPLETED', 'FAILED', 'COMPENSATED', 'CANCELLED', 'PARKED']

/** The documented order. */
export const burger = (customer_id: string) => ({
  customer_id,
  order_details: {
    foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }],
    deliveryLocation: 'North Campus',
  },
})

export class Client {
  readonly #system: System

  constructor(system: System) {
    this.#system = system
  }

  async send(method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await insist(() =>
      fetch(url, {
        method,
        headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(60_000),
      }),
    )
    const text = await response.text()
    return { status: response.status, text, body: JSON.parse(text) as Answer['body'] }
  }

  /** Starts an order; gives the saga's id. */
  async order(customer: string, headers: Record<string, string> = {}): Promise<string> {
    const url = `${this.#system.url('create-order')}/api/orders`
    const keyed = { 'idempotency-key': randomUUID(), ...headers }
    const answer = await this.send('POST', url, burger(customer), keyed)
    if (answer.status !== 202) throw new Error(`an order was answered ${answer.status}: ${answer.text}`)
    return String(answer.body['saga_id'])
  }

  async saga(id: string, at = this.#system.url('create-order')): Promise<Saga> {
    const { status, text, body } = await this.send('GET', `${at}/api/sagas/${id}`)
    if (status !== 200) throw new Error(`saga ${id} was answered ${status}: ${text}`)
    return body as unknown as Saga
  }

  /** Waits until the saga has ended or needs a person, or has one of these statuses. */
  async end(id: string, statuses: readonly string[] = ended): Promise<Saga> {
    let saga = await this.saga(id)
    await until(
      `saga ${id} ends`,
      endMs,
      async () => {
        saga = await this.saga(id)
        return statuses.includes(saga.status)
      },
      () => `${JSON.stringify(saga)}\n${this.#system.tails()}`,
    )
    return saga
  }

  cancel(id: string): Promise<Answer> {
    return this.send('POST', `${this.#system.url('create-order')}/sagas/${id}/cancel`)
  }

  /** The order object of docs/wire-contract.md 4.1. */
  async orderOf(saga: Saga): Promise<Readonly<Record<string, unknown>>> {
    return (await this.send('GET', `${this.#system.url('order')}/getOrderDetails?orderId=${saga.order_id ?? ''}`)).body
  }

  /** The payment's status by its order (docs/wire-contract.md 6.2); null where there is none. */
  async paymentOf(saga: Saga): Promise<string | null> {
    const { body } = await this.send('GET', `${this.#system.url('payment')}/payment/${saga.order_id ?? ''}/status`)
    const payment = body['payment'] as { readonly status: string } | undefined
    return payment?.status ?? null
  }

  /** The code with which the timer of the saga's order is answered. */
  async timerCode(saga: Saga): Promise<number> {
    return (await this.send('GET', `${this.#system.url('timer')}/timers/order/${saga.order_id ?? ''}`)).status
  }

  accept(saga: Saga, runner_id: string): Promise<Answer> {
    return this.send('POST', `${this.#system.url('order')}/verifyAndAcceptOrder`, { orderId: saga.order_id, runner_id })
  }
}
