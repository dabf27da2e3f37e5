/**
 * Notes which message is in a handler's hands for the last time, so that the next process knows of it when this one is lost
 * meanwhile. Only the broker can remember that: a note is an empty queue, named after the message.
 *
 * A note that cannot be written, read or removed is a problem that is told, and hinders nothing.
 */
import type { ChannelModel } from 'amqplib'
import { createHash } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import type { OnProblem } from '../../problem.ts'
import { within } from '../within.ts'
import type { Link } from './link.ts'
import { isThere, onChannel } from './topology.ts'

export interface LastTryOptions {
  readonly link: Link
  /** The queue of the message. */
  readonly queue: string
  readonly timeoutMs: number
  readonly clock: Clock
  readonly report: OnProblem
}

/** Nobody comes back to a note this old: its message was handled, and the process died before it could remove it. */
const expires = 7 * 24 * 3_600_000

export const noteOn = (queue: string, messageId: string): string =>
  `${queue}.last-try.${createHash('sha256').update(messageId).digest('hex').slice(0, 32)}`

export class LastTry {
  readonly #options: LastTryOptions
  /** What this process noted, by message: it lives, so they prove nothing to it. */
  readonly #own = new Set<string>()

  constructor(options: LastTryOptions) {
    this.#options = options
  }

  /** Whether a process had the message in hand for the last time, and was lost with it. */
  async wasLost(id: string): Promise<boolean> {
    return !this.#own.has(id) && (await this.#keep(id, (model, note) => isThere(model, note))) === true
  }

  async begin(id: string): Promise<void> {
    this.#own.add(id)
    const options = { arguments: { 'x-queue-type': 'classic' }, expires }
    await this.#keep(id, (model, note) => onChannel(model, (channel) => channel.assertQueue(note, options)))
  }

  async end(id: string): Promise<void> {
    const ended = await this.#keep(id, (model, note) => onChannel(model, (channel) => channel.deleteQueue(note)))
    if (ended !== undefined) this.#own.delete(id)
  }

  async #keep<T>(id: string, work: (model: ChannelModel, note: string) => Promise<T>): Promise<T | undefined> {
    const { link, queue, timeoutMs, clock, report } = this.#options
    try {
      const model = await link.model(timeoutMs)
      if (model === null) throw new Error('RabbitMQ is away')
      return await within(clock, timeoutMs, work(model, noteOn(queue, id)))
    } catch (cause) {
      const what = `The note on the last try of a message of ${queue} could not be kept`
      report({ what, needsPerson: false, messageId: id, cause })
      return undefined
    }
  }
}
