/**
 * Who reads what in this process, for transports that stand on a broker: one reader for all handlers of a group on a source.
 * It comes with the first handler and goes with the last.
 */
import type { BatchHandler, Subscription } from './transport.ts'

export interface GroupReader {
  /** It reads, or stands by for another that does. */
  readonly ready: boolean
  /** It has no handler any more. */
  readonly idle: boolean
  /** Adds a handler; closing it waits for its batch. The handlers of one reader share its messages. */
  join(handler: BatchHandler): Subscription
  /** Waits for the batches in hand and hands the rest back to the broker. */
  close(): Promise<void>
}

export class Readers<Reader extends GroupReader> {
  readonly #bySource = new Map<string, Reader>()
  /** Also those without handlers, until they have handed back what they had. */
  readonly #unclosed = new Set<Reader>()

  /** All that is subscribed to is read. */
  get ready(): boolean {
    return [...this.#bySource.values()].every((reader) => reader.ready)
  }

  of(source: string): Reader | undefined {
    return this.#bySource.get(source)
  }

  /** @param make is called where the source has no reader yet */
  join(source: string, make: () => Reader, handler: BatchHandler): { reader: Reader; subscription: Subscription } {
    const reader = this.#bySource.get(source) ?? make()
    this.#bySource.set(source, reader)
    this.#unclosed.add(reader)
    const member = reader.join(handler)
    let left: Promise<void> | null = null
    return { reader, subscription: { close: () => (left ??= this.#leave(source, reader, member)) } }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#unclosed].map((reader) => reader.close()))
  }

  async #leave(source: string, reader: Reader, member: Subscription): Promise<void> {
    await member.close()
    if (!reader.idle) return
    if (this.#bySource.get(source) === reader) this.#bySource.delete(source)
    await reader.close()
    this.#unclosed.delete(reader)
  }
}
