/** From open to closed: what a transport takes meanwhile, and in which order it ends. */
import { UnavailableError } from './transport.ts'

export class Lifecycle {
  readonly #transport: string
  #state: 'open' | 'closing' | 'closed' = 'open'
  #closing: Promise<void> | null = null

  /** @param transport as errors call it: `Kafka` */
  constructor(transport: string) {
    this.#transport = transport
  }

  get open(): boolean {
    return this.#state === 'open'
  }

  /** While it closes, the handlers in hand still publish their replies. @throws Error where it takes nothing */
  checkPublish(channel: string, messages: unknown): void {
    checkName('a channel', channel)
    if (!Array.isArray(messages)) throw new TypeError(`publish to ${channel} was given no list of messages`)
    if (this.#state === 'closed') throw this.#closed('publish to', channel)
  }

  /** @throws Error where it takes no subscribers */
  checkSubscribe(channel: string, group: string, handler: unknown): void {
    checkName('a channel', channel)
    checkName('a group', group)
    if (typeof handler !== 'function') throw new TypeError(`subscribe to ${channel} was given no handler`)
    if (!this.open) throw this.#closed('subscribe to', channel)
  }

  /**
   * Ends once, however often it is asked to.
   *
   * @param finish waits for what is in hand
   * @param disconnect comes when nothing is published any more
   */
  close(finish: () => Promise<unknown>, disconnect: () => Promise<unknown>): Promise<void> {
    this.#closing ??= this.#close(finish, disconnect)
    return this.#closing
  }

  async #close(finish: () => Promise<unknown>, disconnect: () => Promise<unknown>): Promise<void> {
    this.#state = 'closing'
    await finish()
    this.#state = 'closed'
    await disconnect()
  }

  #closed(what: string, channel: string): Error {
    return new UnavailableError(`cannot ${what} ${channel}: the ${this.#transport} transport is closed`)
  }
}

function checkName(what: string, name: unknown): void {
  if (typeof name === 'string' && name.trim() !== '') return
  throw new TypeError(
    `${what} was given as ${typeof name === 'string' ? JSON.stringify(name) : typeof name}: it must be a text that is not empty`,
  )
}
