/**
 * The newest messages of a channel, for groups that come later. Before the first group has come, all that may wait are kept;
 * from then on they give way to newer ones, down to the limit.
 */
import type { Message } from './transport.ts'

export class ChannelLog {
  readonly #limit: number
  /** Of those that were added once. */
  readonly #ids = new Set<string>()
  #messages: Message[] = []
  /** Of the oldest that is kept. */
  #first = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** @param room the most that may be kept now: more than the limit while nobody has read the channel */
  add(message: Message, room = this.#limit): void {
    if (this.#limit === 0) return
    this.#messages.push(message)
    // Two at a time, so that what is above the limit goes little by little: the next group may be about to come.
    for (let times = 0; times < 2 && this.#messages.length - this.#first > Math.max(room, this.#limit); times += 1)
      this.#ids.delete(this.#messages[this.#first++]?.id ?? '')
    if (this.#first > this.#messages.length / 2) this.#compact()
  }

  /** Adds a message that its sender may repeat; false where it is kept already. */
  addOnce(message: Message, room?: number): boolean {
    if (this.#limit === 0) return true
    if (this.#ids.has(message.id)) return false
    this.#ids.add(message.id)
    this.add(message, room)
    return true
  }

  /** Oldest first. */
  all(): readonly Message[] {
    return this.#messages.slice(this.#first)
  }

  #compact(): void {
    this.#messages = this.#messages.slice(this.#first)
    this.#first = 0
  }
}
