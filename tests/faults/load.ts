/**
 * Orders at a steady rate, some of which are delivered, whatever becomes of the services: an open loop, unlike `customers.ts`.
 *
 * An order that is not acknowledged is placed again under its key until it is, on another orchestrator if need be. What was
 * acknowledged is remembered, for the test to look for.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceName } from '../../services/app/registry.ts'
import type { System } from '../kit/system.ts'
import type { Random } from './random.ts'
import { isLater } from '../../services/shared/testing/insist.ts'
import { requestOf, Runners, type Asked } from './runners.ts'

const customers = [
  ['cust_123', 75],
  ['cust_declined', 15],
  ['cust_lost_answer', 5],
  ['cust_no_card', 5],
  ['cust_release_fails', 5],
] as const
const shares = customers.flatMap(([id, share]) => Array.from({ length: share }, () => id))

/** Runners at a time: each asks again and again how far his order is, which must not become a load of its own. */
const mostRunners = 20

export class Load {
  /** Sagas whose start was acknowledged. */
  readonly acknowledged: string[] = []
  /** What no customer should ever see. */
  readonly complaints: string[] = []
  /** Cancels that were taken. */
  cancels = 0
  readonly runners: Runners
  readonly #random: Random
  readonly #system: System
  readonly #under: Set<Promise<void>> = new Set()
  #running = 0
  readonly #resting = new AbortController()

  constructor(random: Random, system: System) {
    this.#random = random
    this.#system = system
    this.runners = new Runners(random, (service, path, asked) => this.#insist(service, path, asked))
  }

  /** Orders so many times a second until `rest`. */
  async run(perSecond: number): Promise<void> {
    const began = performance.now()
    for (let count = 0; !this.#resting.signal.aborted; count += 1) {
      const due = began + (count * 1000) / perSecond
      if (due > performance.now()) await delay(due - performance.now())
      const placing = this.#place().finally(() => this.#under.delete(placing))
      this.#under.add(placing)
    }
  }

  /** Places no more orders. */
  stop(): void {
    this.#resting.abort()
  }

  /** Places no more orders, and waits until every one that was placed is acknowledged, and delivered where it shall be. */
  async rest(): Promise<void> {
    this.stop()
    await Promise.all(this.#under)
  }

  async #place(): Promise<void> {
    const { between, next } = this.#random
    const [customer_id, price] = [shares[between(0, shares.length - 1)], between(50, 9_999) / 100]
    const [mayCancel, delivers] = [next() < 0.1, next() < 0.3]
    const order_details = { foodItems: [{ name: 'Burger', price, quantity: 1 }], deliveryLocation: 'North Campus' }
    const { saga_id } = await this.#told<{ saga_id: string }>('/api/orders', [202], {
      method: 'POST',
      headers: { 'idempotency-key': randomUUID() },
      json: { customer_id, order_details },
    })
    this.acknowledged.push(saga_id)
    if (mayCancel) {
      const { error } = await this.#told<{ error?: string }>(`/sagas/${saga_id}/cancel`, [202, 409], { method: 'POST' })
      if (error === undefined) this.cancels += 1
    } else if (delivers && this.#running < mostRunners) {
      this.#running += 1
      await this.#deliver(saga_id).finally(() => (this.#running -= 1))
    }
  }

  /** Where it completes. */
  async #deliver(sagaId: string): Promise<void> {
    for (;;) {
      const { status, order_id } = await this.#told<{ status: string; order_id: string }>(`/api/sagas/${sagaId}`, [200])
      if (status === 'COMPLETED')
        return this.runners.deliver(order_id).catch((error: unknown) => void this.complaints.push(String(error)))
      if (status !== 'STARTED') return
      await delay(500)
    }
  }

  async #told<Body>(path: string, expected: readonly number[], asked?: Asked): Promise<Body> {
    const { status, text } = await this.#insist('create-order', path, asked)
    if (!expected.includes(status)) this.complaints.push(`${path} was answered ${status}: ${text}`)
    return JSON.parse(text) as Body
  }

  /** Asks one process of the service after the other until one of them answers. */
  async #insist(
    service: ServiceName,
    path: string,
    asked?: Asked,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const [urls, request] = [this.#system.urls(service), requestOf(asked)]
    for (let turn = this.#random.between(0, urls.length - 1); ; turn += 1) {
      try {
        const url = urls[turn % urls.length] ?? ''
        const response = await fetch(`${url}${path}`, { ...request, signal: AbortSignal.timeout(15_000) })
        const text = await response.text()
        if (!isLater(response.status)) return { status: response.status, text }
      } catch {
        // Nobody there, or no answer in time: what became of it is unknown, so it is asked again under its key.
      }
      await delay(200)
    }
  }
}
