/**
 * What a group reads that subscribes for the first time: the history of its channel, up to a marker that is put there once
 * the group's own queue gets what is published. What comes between the two is in both, and comes twice.
 *
 * The queue `behind` stands until all of it is handled, and only who consumes that queue reads the history: the others of
 * the group stand by. When it ends before, by whatever cause, the next one begins anew.
 */
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import { randomUUID } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import { pause, within } from '../within.ts'
import type { Publisher } from './publisher.ts'
import { onChannel, type History } from './topology.ts'

export interface CatchUpOptions {
  readonly model: ChannelModel
  readonly channel: Channel
  readonly history: History
  readonly publisher: Publisher
  readonly timeoutMs: number
  readonly clock: Clock
}

const markerHeader = 'ordersaga-marker'

/** What was on its way through the broker when the queue was bound is in the history by then. */
const settlingMs = 50

export class CatchUp {
  readonly #options: CatchUpOptions
  /** Resolves when all that is to be read has come. */
  readonly reached: Promise<void>
  #reach: () => void = () => undefined
  /** Resolves when all of that is handled. */
  readonly handled: Promise<void>
  #finish: () => void = () => undefined
  /** The offset from which on everything is in the queue. */
  #end = 0
  #atEnd = false
  #open = 0

  constructor(options: CatchUpOptions) {
    this.#options = options
    this.reached = new Promise((resolve) => (this.#reach = resolve))
    this.handled = new Promise((resolve) => (this.#finish = resolve))
  }

  /** All that is to be read is handled. */
  get done(): boolean {
    return this.#atEnd && this.#open === 0
  }

  /** Begins to read. @throws Error where another reads the history for this group, or its end cannot be found */
  async begin(take: (raw: ConsumeMessage | null) => void): Promise<void> {
    const { channel, history, clock } = this.#options
    const ignore = (): void => undefined
    await this.#inTime(channel.consume(history.behind, ignore, { exclusive: true }))
    await pause(clock, settlingMs)
    this.#end = await this.#findEnd()
    const { consumerTag } = await this.#inTime(channel.consume(history.stream, take, from('first')))
    void this.reached.then(() => channel.cancel(consumerTag)).catch(ignore)
  }

  /**
   * The end is an offset, not the marker itself: while the reader is slow, the history's limit may take that away.
   *
   * @returns whether it is to be handled: markers are not, nor what is in the queue
   */
  takes(raw: ConsumeMessage): boolean {
    if (this.#atEnd) return false
    if (offsetOf(raw) >= this.#end) {
      this.#atEnd = true
      this.#reach()
      this.#finishWhereDone()
      return false
    }
    if (markerOf(raw) !== undefined) return false
    this.#open++
    return true
  }

  /** One that it took is handled. */
  settled(): void {
    this.#open--
    this.#finishWhereDone()
  }

  #finishWhereDone(): void {
    if (this.done) this.#finish()
  }

  /** Puts a marker there, and sees at which offset it comes. */
  #findEnd(): Promise<number> {
    const { model, history, publisher } = this.#options
    const marker = randomUUID()
    const write = () => ({ content: Buffer.alloc(0), properties: { headers: { [markerHeader]: marker } } })
    return onChannel(model, async (channel) => {
      await this.#inTime(channel.prefetch(100))
      let found: (offset: number) => void = () => undefined
      const offset = new Promise<number>((resolve) => (found = resolve))
      const look = (raw: ConsumeMessage | null): void => {
        if (raw === null) return
        channel.ack(raw)
        if (markerOf(raw) === marker) found(offsetOf(raw))
      }
      const { consumerTag } = await this.#inTime(channel.consume(history.stream, look, from('next')))
      await publisher.publish(history.target, [{ id: marker, write }])
      const end = await this.#inTime(offset)
      await this.#inTime(channel.cancel(consumerTag))
      return end
    })
  }

  #inTime<T>(promise: Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options
    return within(clock, timeoutMs, promise, 'an answer of RabbitMQ')
  }
}

const from = (offset: 'first' | 'next') => ({ arguments: { 'x-stream-offset': offset } })

const markerOf = ({ properties }: ConsumeMessage): unknown => properties.headers?.[markerHeader]

/** Streams count their messages. */
const offsetOf = ({ properties }: ConsumeMessage): number => Number(properties.headers?.['x-stream-offset'])
