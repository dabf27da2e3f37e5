/**
 * How many requests and streams are passed on at once: of all clients, and of one, so that nobody alone keeps the others
 * out. Connections have a limit of their own; over one of them several requests may come without waiting.
 */
import { clientOf } from '../shared/http/client.ts'
import { HttpError } from '../shared/http/http-error.ts'
import type { ConnectionLimits } from '../shared/http/connections.ts'

export class InHand {
  readonly #limits: ConnectionLimits
  readonly #perClient = new Map<string, number>()
  #open = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
  }

  /**
   * @param address where the client is
   * @returns what ends it
   * @throws HttpError 429 where one client has too many, 503 where all have
   */
  begin(address: string): () => void {
    const client = clientOf(address)
    const own = this.#perClient.get(client) ?? 0
    if (own >= this.#limits.perClient)
      throw new HttpError(429, `${own} of your requests and streams are open here already: end some, or try again`, 1)
    if (this.#open >= this.#limits.most)
      throw new HttpError(503, `${this.#open} requests and streams are open here already: try again in a moment`, 1)
    this.#open += 1
    this.#perClient.set(client, own + 1)
    return () => {
      this.#open -= 1
      const left = (this.#perClient.get(client) ?? 1) - 1
      if (left > 0) this.#perClient.set(client, left)
      else this.#perClient.delete(client)
    }
  }
}
