/**
 * Orders at a steady rate, whatever becomes of the services: an open loop, unlike `customers.ts`.
 *
 * An order that is not acknowledged is placed again under its key until it is, on another orchestrator if need be. What was
 * acknowledged is remembered, for the test to look for.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from './random.ts'

const customers = [
  ['cust_123', 75],
  ['cust_declined', 15],
  ['cust_lost_answer', 5],
  ['cust_no_card', 5],
] as const
const shares = customers.flatMap(([id, share]) => Array.from({ length: share }, () => id))

/** Answers that mean "not now". */
const later = new Set([502, 503, 504])

export class Load {
  /** Sagas whose start was acknowledged. */
  readonly acknowledged: string[] = []
  /** What no customer should ever see. */
  readonly complaints: string[] = []
  /** Cancels that were taken. */
  cancels = 0
  readonly #random: Random
  readonly #urls: readonly string[]
  readonly #under: Set<Promise<void>> = new Set()
  readonly #resting = new AbortController()

  constructor(random: Random, urls: readonly string[]) {
    this.#random = random
    this.#urls = urls
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

  /** Places no more orders, and waits until every one that was placed is acknowledged. */
  async rest(): Promise<void> {
    this.#resting.abort()
    await Promise.all(this.#under)
  }

  async #place(): Promise<void> {
    const { between, next } = this.#random
    const [customer, price, mayCancel] = [shares[between(0, shares.length - 1)], between(50, 9_999) / 100, next() < 0.1]
    const body = JSON.stringify({
      customer_id: customer,
      order_details: { foodItems: [{ name: 'Burger', price, quantity: 1 }], deliveryLocation: 'North Campus' },
    })
    const headers = { 'content-type': 'application/json', 'idempotency-key': randomUUID() }
    const { saga_id } = JSON.parse(await this.#insist('/api/orders', [202], { method: 'POST', headers, body })) as {
      saga_id: string
    }
    this.acknowledged.push(saga_id)
    if (!mayCancel) return
    const answer = await this.#insist(`/sagas/${saga_id}/cancel`, [202, 409], { method: 'POST' })
    if (!answer.includes('"error"')) this.cancels += 1
  }

  /** Asks one orchestrator after the other until one of them answers. */
  async #insist(path: string, expected: readonly number[], request: RequestInit): Promise<string> {
    for (let turn = this.#random.between(0, this.#urls.length - 1); ; turn += 1) {
      try {
        const url = this.#urls[turn % this.#urls.length] ?? ''
        const response = await fetch(`${url}${path}`, { ...request, signal: AbortSignal.timeout(15_000) })
        const text = await response.text()
        if (expected.includes(response.status)) return text
        if (!later.has(response.status)) {
          this.complaints.push(`${path} was answered ${response.status}: ${text}`)
          return text
        }
      } catch {
        // Nobody there, or no answer in time: what became of it is unknown, so it is asked again under its key.
      }
      await delay(200)
    }
  }
}
