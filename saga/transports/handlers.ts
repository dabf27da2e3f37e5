/** The handlers that a reader of a broker has in this process: all of one group on one source. */
import type { Clock } from '../clock.ts'
import type { RetryPolicy } from '../core/retry.ts'
import { delivery, type Delivery } from './delivery.ts'
import type { Settled } from './group.ts'
import type { BatchHandler, FailedMessage, Message, Subscription } from './transport.ts'

export interface HandlersOptions {
  readonly source: string
  readonly group: string
  /** Most messages in one batch. */
  readonly prefetch: number
  readonly retry: RetryPolicy
  readonly clock: Clock
  /** Hands a batch to a handler: what the broker gives to others now is left out. */
  readonly hand: (batch: readonly Message[], handler: BatchHandler) => Promise<readonly FailedMessage[] | void>
  /** There is somebody who takes what waits. */
  readonly onJoined: () => void
}

export class Handlers {
  readonly #options: HandlersOptions
  readonly #delivery: Delivery
  #count = 0
  #closing = false

  constructor(options: HandlersOptions) {
    this.#options = options
    this.#delivery = delivery({
      maxBatch: options.prefetch,
      maxQueued: Infinity, // what the broker hands out at most is the bound
      historyPerChannel: 0,
      retry: options.retry,
      clock: options.clock,
      onDead: () => undefined, // each message has its own answer
    })
  }

  get none(): boolean {
    return this.#count === 0
  }

  get closing(): boolean {
    return this.#closing
  }

  /** Messages can be handed to somebody. */
  get taking(): boolean {
    return !this.#closing && this.#count > 0
  }

  join(handler: BatchHandler): Subscription {
    const { source, group, hand, onJoined } = this.#options
    const member = this.#delivery.subscribe(source, group, (batch) => hand(batch, handler))
    this.#count++
    onJoined()
    return {
      close: () => {
        this.#count--
        return member.close()
      },
    }
  }

  /** @param settled called once, with null when the message is handled, else with why not */
  offer(message: Message, settled: Settled, tries: number = this.#options.retry.tries): void {
    this.#delivery.offerOne(this.#options.source, message, tries, settled)
  }

  /** Waits for the batches in hand; what else waits is given up. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#delivery.close()
  }
}
