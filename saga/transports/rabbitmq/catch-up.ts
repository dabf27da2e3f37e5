/**
 * What a group reads that subscribes for the first time: the history of its channel, up to a marker that is put there once
 * the group's own queue gets what is published. What comes between the two is in both, and comes twice.
 *
 * The queue `behind` stands until all of it is handled, and only who consumes that queue reads the history: the others of
 * the group stand by. When it ends before, by whatever cause, the next one begins anew.
 */
import type { Channel, ConsumeMessage } from 'amqplib'
import { randomUUID } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import type { OnProblem } from '../../problem.ts'
import { pause, within } from '../within.ts'
import type { Publisher } from './publisher.ts'
import type { History } from './topology.ts'

export interface CatchUpOptions {
  readonly channel: Channel
  readonly history: History
  readonly publisher: Publisher
  readonly timeoutMs: number
  readonly clock: Clock
  readonly report: OnProblem
}

const markerHeader = 'ordersaga-marker'

/** What was on its way through the broker when the queue was bound is in the history by then. */
const settlingMs = 50

/** A marker that the limit of the history has overtaken is not seen any more: there is a new one after this long. */
const remarkMs = 60_000

/** After a marker that could not be published. */
const retryMs = 1_000

export class CatchUp {
  readonly #options: CatchUpOptions
  readonly #marker = randomUUID()
  readonly #over = new AbortController()
  /** Resolves at the marker. */
  readonly reached: Promise<void>
  #reach: () => void = () => undefined
  /** Resolves when all before the marker is handled. */
  readonly handled: Promise<void>
  #finish: () => void = () => undefined
  #open = 0
  #atMarker = false

  constructor(options: CatchUpOptions) {
    this.#options = options
    this.reached = new Promise((resolve) => (this.#reach = resolve))
    this.handled = new Promise((resolve) => (this.#finish = resolve))
  }

  /** Begins to read. @throws Error where another reads the history for this group */
  async begin(take: (raw: ConsumeMessage | null) => void): Promise<void> {
    const { channel, history, timeoutMs, clock } = this.#options
    await within(
      clock,
      timeoutMs,
      channel.consume(history.behind, () => undefined, { exclusive: true }),
    )
    const first = { arguments: { 'x-stream-offset': 'first' } }
    const { consumerTag } = await within(clock, timeoutMs, channel.consume(history.stream, take, first))
    void this.#mark()
    void this.reached.then(() => channel.cancel(consumerTag)).catch(() => undefined)
  }

  /** @returns whether it is to be handled: markers are not, nor what comes after ours, which is in the queue */
  takes({ properties }: ConsumeMessage): boolean {
    const marker: unknown = properties.headers?.[markerHeader]
    if (this.#atMarker) return false
    if (marker === undefined) {
      this.#open++
      return true
    }
    if (marker === this.#marker) {
      this.#atMarker = true
      this.#over.abort()
      this.#reach()
      this.#finishWhereDone()
    }
    return false
  }

  /** One that it took is handled. */
  settled(): void {
    this.#open--
    this.#finishWhereDone()
  }

  /** Its connection is gone. */
  abandon(): void {
    this.#over.abort()
  }

  /** All before the marker is handled. */
  get done(): boolean {
    return this.#atMarker && this.#open === 0
  }

  #finishWhereDone(): void {
    if (this.done) this.#finish()
  }

  async #mark(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#over
    await pause(clock, settlingMs, signal)
    while (!signal.aborted) await pause(clock, (await this.#putMarker()) ? remarkMs : retryMs, signal)
  }

  async #putMarker(): Promise<boolean> {
    const { history, publisher, report } = this.#options
    const write = () => ({ content: Buffer.alloc(0), properties: { headers: { [markerHeader]: this.#marker } } })
    try {
      await publisher.publish(history.target, [{ id: this.#marker, write }])
      return true
    } catch (cause) {
      const what = `The end of ${history.stream} cannot be marked; it is tried again until it can`
      if (!this.#over.signal.aborted) report({ what, needsPerson: false, cause })
      return false
    }
  }
}
