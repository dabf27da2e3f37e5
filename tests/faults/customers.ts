/**
 * Customers who order without end, some at a time, and remember what they were told.
 *
 * Each has one saga in flight: places an order, perhaps places it again under the same key, perhaps cancels it, and follows
 * it to its end. Where the service dies under them, an order without an answer is placed again under its key later.
 */
import type { Random } from './random.ts'

interface Order {
  readonly key: string
  readonly body: string
  readonly mayCancel: boolean
  readonly repeats: boolean
}

const customers = [
  ['cust_123', 60],
  ['cust_declined', 20],
  ['cust_lost_answer', 10],
  ['cust_no_card', 5],
  ['cust_slow', 5],
] as const

export class Customers {
  readonly #random: Random
  /** Sagas by the key under which their start was acknowledged. */
  readonly acknowledged = new Map<string, string>()
  /** The last status that a customer saw, of sagas that he saw ending. */
  readonly seenEnding = new Map<string, string>()
  /** What no customer should ever see. */
  readonly complaints: string[] = []
  /** Cancels that were taken. */
  cancels = 0
  /** Sagas that are followed now. */
  inFlight = 0
  #unanswered: Order[] = []
  #count = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Orders until the service is gone: as many at a time as said. */
  async order(url: string, atATime: number): Promise<void> {
    await Promise.all(Array.from({ length: atATime }, () => this.#orderOn(url)))
  }

  /** Places the orders again whose answer never came. */
  async orderAgain(url: string): Promise<void> {
    for (const order of this.#unanswered.splice(0)) await this.#place(url, order)
  }

  async #orderOn(url: string): Promise<void> {
    for (;;) {
      const order = this.#unanswered.pop() ?? this.#newOrder()
      let known = 0
      try {
        const saga = await this.#place(url, order)
        known = 1
        this.inFlight += known
        if (order.repeats && (await this.#place(url, order)) !== saga) this.complaints.push(`${order.key}: two sagas`)
        if (order.mayCancel) await this.#cancel(url, saga)
        await this.#follow(url, saga)
      } catch (error) {
        if (!(error instanceof TypeError)) throw error // fetch's own: the service is gone
        if (!this.acknowledged.has(order.key)) this.#unanswered.push(order)
        return
      } finally {
        this.inFlight -= known
      }
    }
  }

  #newOrder(): Order {
    const { next, between, pick } = this.#random
    const [least, ...others] = customers.flatMap(([id, share]) => Array.from({ length: share }, () => id))
    const order_details = {
      foodItems: [{ name: 'Burger', price: between(50, 9_999) / 100, quantity: between(1, 3) }],
      deliveryFee: pick([0, 3.99, '2.50']),
      deliveryLocation: 'North Campus',
    }
    return {
      key: `order-${(this.#count += 1)}`,
      body: JSON.stringify({ customer_id: pick([least ?? 'cust_123', ...others]), order_details }),
      mayCancel: next() < 0.15,
      repeats: next() < 0.15,
    }
  }

  async #place(url: string, { key, body }: Order): Promise<string> {
    const response = await fetch(`${url}/api/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body,
    })
    const text = await response.text()
    if (response.status !== 202) throw new Error(`${key} was answered ${response.status}: ${text}`)
    const { saga_id } = JSON.parse(text) as { saga_id: string }
    const before = this.acknowledged.get(key)
    if (before !== undefined && before !== saga_id) this.complaints.push(`${key} was ${before} and is ${saga_id}`)
    this.acknowledged.set(key, saga_id)
    return saga_id
  }

  async #cancel(url: string, saga: string): Promise<void> {
    const response = await fetch(`${url}/sagas/${saga}/cancel`, { method: 'POST' })
    await response.text()
    if (response.status === 202) this.cancels += 1
    else if (response.status !== 409) this.complaints.push(`the cancel of ${saga} was answered ${response.status}`)
  }

  /** As an EventSource does: a stream that ended may have been cut off, and only 204 says that nothing more is to come. */
  async #follow(url: string, saga: string): Promise<void> {
    let seen = '0'
    let status = ''
    for (;;) {
      const response = await fetch(`${url}/sagas/${saga}/updates`, { headers: { 'last-event-id': seen } })
      const text = await response.text()
      if (response.status === 204) {
        this.seenEnding.set(saga, status)
        return
      }
      if (response.status !== 200) {
        this.complaints.push(`the updates of ${saga} were answered ${response.status}: ${text.slice(0, 200)}`)
        return
      }
      for (const [, id = '', data = ''] of text.matchAll(/^id: (\d+)\ndata: (.*)\n\n/gm)) {
        seen = id
        status = (JSON.parse(data) as { status: string }).status
      }
    }
  }
}
