/** The newest messages of a channel, for groups that come later. A message that is repeated under its id is kept once. */
import type { Message } from './transport.ts'

export class ChannelLog {
  readonly #limit: number
  readonly #ids = new Set<string>()
  /** A ring: where it is full, the next message takes the place of the oldest. */
  readonly #messages: Message[] = []
  #oldest = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** @returns false where it is kept already */
  add(message: Message): boolean {
    if (this.#limit === 0) return true
    if (this.#ids.has(message.id)) return false
    this.#ids.add(message.id)
    if (this.#messages.length < this.#limit) this.#messages.push(message)
    else {
      this.#ids.delete(this.#messages[this.#oldest]?.id ?? '')
      this.#messages[this.#oldest] = message
      this.#oldest = (this.#oldest + 1) % this.#limit
    }
    return true
  }

  /** Oldest first. */
  all(): readonly Message[] {
    return [...this.#messages.slice(this.#oldest), ...this.#messages.slice(0, this.#oldest)]
  }
}
