/**
 * Acknowledges what is settled, many at once: in one frame all up to the oldest that is not settled, then what is settled
 * beyond it. (A quorum queue writes each acknowledgement to its log.)
 */
import type { Channel, ConsumeMessage } from 'amqplib'

interface Open {
  readonly raw: ConsumeMessage
  settled: boolean
}

export class Acknowledgements {
  readonly #channel: Channel
  /** What is not acknowledged, by delivery tag: in the order of coming. */
  readonly #open = new Map<number, Open>()
  #settled: number[] = []

  constructor(channel: Channel) {
    this.#channel = channel
  }

  came(raw: ConsumeMessage): void {
    this.#open.set(raw.fields.deliveryTag, { raw, settled: false })
  }

  settled({ fields }: ConsumeMessage): void {
    const open = this.#open.get(fields.deliveryTag)
    if (open === undefined) return
    open.settled = true
    this.#settled.push(fields.deliveryTag)
    if (this.#settled.length === 1) setImmediate(() => this.flush())
  }

  flush(): void {
    const settled = this.#settled
    this.#settled = []
    let last: ConsumeMessage | null = null
    for (const [tag, open] of this.#open) {
      if (!open.settled) break
      last = open.raw
      this.#open.delete(tag)
    }
    if (last !== null) this.#send(last, true)
    for (const tag of settled) {
      const beyond = this.#open.get(tag)
      if (beyond === undefined) continue
      this.#open.delete(tag)
      this.#send(beyond.raw, false)
    }
  }

  #send(raw: ConsumeMessage, allUpTo: boolean): void {
    try {
      this.#channel.ack(raw, allUpTo)
    } catch {
      // The channel is gone, and the broker hands out again what it was not told of.
    }
  }
}
