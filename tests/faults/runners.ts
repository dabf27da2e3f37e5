/** Runners who take orders, carry them and have them completed, and remember what they were told. */
import type { ServiceName } from '../../services/app/registry.ts'
import { follow } from './follow.ts'
import type { Random } from './random.ts'

/** A request's options, but for where it goes. */
export interface Asked {
  readonly method?: 'GET' | 'POST'
  readonly json?: object
  readonly headers?: Readonly<Record<string, string>>
}

/** As `fetch` has it. */
export const requestOf = ({ method = 'GET', json, headers }: Asked = {}): RequestInit => ({
  method,
  headers: { ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
  ...(json === undefined ? {} : { body: JSON.stringify(json) }),
})

/** One request to a service. Whether one that nobody answers is made again, and where, is for whoever gives this. */
export type Ask = (
  service: ServiceName,
  path: string,
  asked?: Asked,
) => Promise<{ readonly status: number; readonly text: string }>

/** What comes next for an order that a runner is to complete. */
const next: Readonly<Record<string, string>> = { ACCEPTED: 'PLACED', PLACED: 'ON_THE_WAY' }

export class Runners {
  /** Complete Order sagas whose start was acknowledged, by their orders. */
  readonly acknowledged = new Map<string, string>()
  /** The last status that a runner saw, of sagas that he saw ending. */
  readonly seenEnding = new Map<string, string>()
  /** What no runner should ever see. */
  readonly complaints: string[] = []
  /** Sagas that are followed now. */
  inFlight = 0
  /** Sagas that were followed, or are. */
  begun = 0
  readonly #random: Random
  readonly #ask: Ask

  constructor(random: Random, ask: Ask) {
    this.#random = random
    this.#ask = ask
  }

  /** Says that it was delivered, and follows the saga to its end. */
  async deliver(orderId: string): Promise<void> {
    const runnerId = await this.carry(orderId)
    const body = { orderId, ...(this.#random.next() < 0.5 ? { runnerId } : {}) }
    for (let times = this.#random.next() < 0.15 ? 2 : 1; times > 0; times -= 1) await this.#begin(body)
    await this.#follow(this.acknowledged.get(orderId) ?? '')
  }

  /**
   * Takes it, and has it on its way, wherever that was left.
   *
   * @returns whose it is
   */
  async carry(orderId: string): Promise<string> {
    for (;;) {
      const { text } = await this.#ask('order', `/getOrderDetails?orderId=${orderId}`)
      const { orderStatus, runnerId } = JSON.parse(text) as { orderStatus: string; runnerId: string | null }
      const status = next[orderStatus]
      if (status !== undefined) await this.#must('order', '/updateOrderStatus', { orderId, status })
      else if (orderStatus !== 'CREATED') return runnerId ?? ''
      else {
        // Refused where the answer to the first try was lost; the order then says whose it is.
        const runner_id = this.#random.pick(['runner_123', 'runner_456'])
        await this.#ask('order', '/verifyAndAcceptOrder', { method: 'POST', json: { orderId, runner_id } })
      }
    }
  }

  async #begin(body: { readonly orderId: string }): Promise<void> {
    const text = await this.#must('complete-order', '/saga/complete/completeOrder', body)
    const { sagaId } = JSON.parse(text) as { sagaId: string }
    const { orderId } = body
    const before = this.acknowledged.get(orderId)
    this.acknowledged.set(orderId, sagaId)
    // After one that came to nothing there may be another.
    if (before === undefined || before === sagaId || this.seenEnding.get(before) === 'COMPENSATED') return
    const ended = await this.#end(before)
    if (ended !== 'COMPENSATED') this.complaints.push(`${orderId} had saga ${before}, ${ended}, and has ${sagaId}`)
  }

  async #follow(sagaId: string): Promise<void> {
    this.inFlight += 1
    this.begun += 1
    try {
      this.seenEnding.set(sagaId, await this.#end(sagaId))
    } finally {
      this.inFlight -= 1
    }
  }

  async #end(sagaId: string): Promise<string> {
    const told = await follow((seen) =>
      this.#ask('complete-order', `/saga/complete/orderUpdateStream/${sagaId}`, { headers: { 'last-event-id': seen } }),
    )
    if ('ended' in told) return told.ended
    this.complaints.push(`the stream of ${sagaId} was answered ${told.answered}`)
    return told.answered
  }

  async #must(service: ServiceName, path: string, json: object): Promise<string> {
    const { status, text } = await this.#ask(service, path, { method: 'POST', json })
    if (status !== 200) throw new Error(`${path} with ${JSON.stringify(json)} was answered ${status}: ${text}`)
    return text
  }
}
