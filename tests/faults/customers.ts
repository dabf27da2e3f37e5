/**
 * Customers who order without end, some at a time, and remember what they were told; and runners, who deliver some of it.
 *
 * Each has one saga in flight: places an order, perhaps places it again under the same key, perhaps cancels it, and follows
 * it to its end. Where the service dies under them, an order without an answer is placed again under its key later, and a
 * delivery taken up where it was left.
 */
import { insist } from '../../services/shared/testing/insist.ts'
import type { System } from '../kit/system.ts'
import { follow } from './follow.ts'
import type { Random } from './random.ts'
import { requestOf, Runners, type Ask } from './runners.ts'

interface Order {
  readonly key: string
  readonly body: object
  readonly mayCancel: boolean
  readonly repeats: boolean
  /** Where it completes. */
  readonly delivers: boolean
}

const customers = [
  ['cust_123', 60],
  ['cust_declined', 20],
  ['cust_lost_answer', 10],
  ['cust_no_card', 5],
  ['cust_slow', 5],
  ['cust_release_fails', 10],
] as const

export class Customers {
  readonly runners: Runners
  readonly #random: Random
  /** Sagas by the key under which their start was acknowledged. */
  readonly acknowledged = new Map<string, string>()
  /** The last status that a customer saw, of sagas that he saw ending. */
  readonly seenEnding = new Map<string, string>()
  /** What no customer should ever see. */
  readonly complaints: string[] = []
  /** Cancels that were taken. */
  cancels = 0
  readonly #ask: Ask
  #unanswered: Order[] = []
  /** Sagas whose orders a runner carries, or is to. */
  #undelivered: string[] = []
  #count = 0
  #following = 0

  constructor(random: Random, system: System) {
    this.#random = random
    this.#ask = (service, path, asked) =>
      insist(async () => {
        const response = await fetch(`${system.url(service)}${path}`, requestOf(asked))
        return { status: response.status, text: await response.text() }
      })
    this.runners = new Runners(random, this.#ask)
  }

  /** Sagas that are followed now. */
  get inFlight(): number {
    return this.#following + this.runners.inFlight
  }

  /** Orders that a runner carries, or is to. */
  get undelivered(): number {
    return this.#undelivered.length
  }

  /** Orders, and has runners carry what completes, until the services are gone: as many at a time as said. */
  async order(atATime: number): Promise<void> {
    await Promise.all(Array.from({ length: atATime }, () => this.#untilTheyAreGone()))
  }

  /** Delivers at once what is carried, until all is or the services are gone. */
  async deliver(): Promise<void> {
    const delivering = this.#undelivered.splice(0).map((saga) =>
      this.#orGone(
        () => this.#deliver(saga),
        () => this.#undelivered.push(saga),
      ),
    )
    await Promise.all(delivering)
  }

  /** Places the orders again whose answer never came, one more of each kind, and delivers what is left. */
  async finish(): Promise<void> {
    await Promise.all(this.#unanswered.splice(0).map((order) => this.#place(order)))
    // Which there were before, is chance.
    const rest = { repeats: false, mayCancel: false, delivers: false }
    const kinds = [
      ['cust_123', { ...rest, delivers: true }],
      ['cust_release_fails', { ...rest, delivers: true }],
      ['cust_slow', { ...rest, mayCancel: true }],
      ['cust_declined', rest],
    ] as const
    await Promise.all(
      kinds.map(([customer, kind]) => this.#order({ ...kind, key: this.#newKey(), body: this.#orderFor(customer) })),
    )
    await this.deliver()
  }

  async #untilTheyAreGone(): Promise<void> {
    for (let there = true; there;) {
      const order = this.#unanswered.pop() ?? this.#newOrder()
      there = await this.#orGone(
        () => this.#order(order),
        () => this.acknowledged.has(order.key) || this.#unanswered.push(order),
      )
    }
  }

  /** @returns false where the services are gone, after `undone` */
  async #orGone(work: () => Promise<void>, undone: () => unknown): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      if (!(error instanceof TypeError)) throw error // fetch's own: the service is gone
      undone()
      return false
    }
  }

  async #order(order: Order): Promise<void> {
    const saga = await this.#place(order)
    this.#following += 1
    try {
      if (order.repeats && (await this.#place(order)) !== saga) this.complaints.push(`${order.key}: two sagas`)
      if (order.mayCancel) await this.#cancel(saga)
      await this.#follow(saga)
    } finally {
      this.#following -= 1
    }
    if (!order.delivers || this.seenEnding.get(saga) !== 'COMPLETED') return
    try {
      await this.runners.carry(await this.#orderOf(saga))
    } finally {
      this.#undelivered.push(saga) // whoever delivers it goes on from where it is
    }
  }

  async #deliver(saga: string): Promise<void> {
    await this.runners.deliver(await this.#orderOf(saga))
  }

  async #orderOf(saga: string): Promise<string> {
    const { text } = await this.#ask('create-order', `/api/sagas/${saga}`)
    return (JSON.parse(text) as { order_id: string }).order_id
  }

  #newOrder(): Order {
    const { next, pick } = this.#random
    const [least, ...others] = customers.flatMap(([id, share]) => Array.from({ length: share }, () => id))
    const mayCancel = next() < 0.15
    return {
      key: this.#newKey(),
      body: this.#orderFor(pick([least ?? 'cust_123', ...others])),
      mayCancel,
      repeats: next() < 0.15,
      delivers: !mayCancel && next() < 0.25,
    }
  }

  #newKey(): string {
    return `order-${(this.#count += 1)}`
  }

  #orderFor(customer_id: string): object {
    const { between, pick } = this.#random
    const order_details = {
      foodItems: [{ name: 'Burger', price: between(50, 9_999) / 100, quantity: between(1, 3) }],
      deliveryFee: pick([0, 3.99, '2.50']),
      deliveryLocation: 'North Campus',
    }
    return { customer_id, order_details }
  }

  async #place({ key, body }: Order): Promise<string> {
    const { status, text } = await this.#ask('create-order', '/api/orders', {
      method: 'POST',
      headers: { 'idempotency-key': key },
      json: body,
    })
    if (status !== 202) throw new Error(`${key} was answered ${status}: ${text}`)
    const { saga_id } = JSON.parse(text) as { saga_id: string }
    const before = this.acknowledged.get(key)
    if (before !== undefined && before !== saga_id) this.complaints.push(`${key} was ${before} and is ${saga_id}`)
    this.acknowledged.set(key, saga_id)
    return saga_id
  }

  async #cancel(saga: string): Promise<void> {
    const { status } = await this.#ask('create-order', `/sagas/${saga}/cancel`, { method: 'POST' })
    if (status === 202) this.cancels += 1
    else if (status !== 409) this.complaints.push(`the cancel of ${saga} was answered ${status}`)
  }

  async #follow(saga: string): Promise<void> {
    const told = await follow((seen) =>
      this.#ask('create-order', `/sagas/${saga}/updates`, { headers: { 'last-event-id': seen } }),
    )
    if ('ended' in told) this.seenEnding.set(saga, told.ended)
    else this.complaints.push(`the updates of ${saga} were answered ${told.answered}`)
  }
}
