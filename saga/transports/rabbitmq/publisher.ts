/**
 * Publishes and waits for the broker's confirmation. A batch goes out together and is confirmed together.
 *
 * Invariants:
 * - it resolves only once the broker has all of the batch on its disks, and ends within a bound in any case;
 * - what was not written to the connection by then never will be: "not sent" is certain;
 * - a message that no queue takes comes back (it is published as mandatory), and rejects;
 * - a message that can never be sent is named by the error, once all else of its call is with the broker.
 */
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import type { Clock } from '../../clock.ts'
import { RefusedError } from '../transport.ts'
import { within } from '../within.ts'
import type { Link } from './link.ts'
import { openConfirmChannel, type Target } from './topology.ts'
import type { AmqpMessage } from './wire.ts'

/** Where the messages of a rejected `publish` are. In every case publishing them again, under their ids, is right. */
export type PublishErrorCode = 'not_sent' | 'outcome_unknown' | 'unroutable'

export class PublishError extends Error {
  override readonly name = 'PublishError'
  readonly code: PublishErrorCode
  constructor(code: PublishErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** A message on its way out. It is written down only when it is sent: where that cannot be done, it alone is refused. */
export interface Outgoing {
  readonly id: string
  readonly write: () => AmqpMessage
}

interface Attempt {
  sent: boolean
  over: boolean
}

/** What can never be sent, and why. */
type Refused = Map<Outgoing, string>

export class Publisher {
  readonly #link: Link
  readonly #timeoutMs: number
  readonly #clock: Clock
  #session: { readonly model: ChannelModel; readonly opened: Promise<Session> } | null = null
  /** The largest message that the server takes, by connection: after a restart it may be set otherwise. */
  readonly #mostBytes = new WeakMap<ChannelModel, number>()

  constructor(link: Link, { timeoutMs, clock }: { readonly timeoutMs: number; readonly clock: Clock }) {
    this.#link = link
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /**
   * @throws RefusedError with the ids of what can never be sent; all else is the broker's to deliver
   * @throws PublishError
   */
  async publish(target: Target, messages: readonly Outgoing[]): Promise<void> {
    const attempt: Attempt = { sent: false, over: false }
    const refused: Refused = new Map()
    try {
      await within(this.#clock, this.#timeoutMs, this.#send(target, messages, attempt, refused))
    } catch (error) {
      throw describe(error, target, messages.length, attempt.sent)
    } finally {
      attempt.over = true
    }
    if (refused.size > 0) throw refusalOf(refused, target, messages.length)
  }

  async #send(target: Target, messages: readonly Outgoing[], attempt: Attempt, refused: Refused): Promise<void> {
    const model = await this.#link.model(this.#timeoutMs)
    if (model === null) throw new Error('RabbitMQ is away, or takes no messages now')
    const session = await this.#sessionOn(model)
    await session.declared(target)
    if (attempt.over) return
    attempt.sent = true
    const mostBytes = this.#mostBytes.get(model) ?? Infinity
    const sendOne = async (outgoing: Outgoing): Promise<void> => {
      try {
        await session.publish(target, outgoing, mostBytes)
      } catch (error) {
        if (!(error instanceof Unfit)) throw error
        refused.set(outgoing, error.message)
      }
    }
    try {
      await Promise.all(messages.map(sendOne))
    } catch (error) {
      // The server ends the channel for a message that is too large, and says how large one may be: so the others go again.
      if ((this.#mostBytes.get(model) ?? Infinity) >= mostBytes) throw error
      const rest = messages.filter((outgoing) => !refused.has(outgoing))
      await this.#send(target, rest, attempt, refused)
    }
  }

  #sessionOn(model: ChannelModel): Promise<Session> {
    if (this.#session?.model === model) return this.#session.opened
    const forget = (): void => {
      if (this.#session?.model === model) this.#session = null
    }
    const opened = openConfirmChannel(model).then((channel) => {
      channel.on('error', (error) => {
        const mostBytes = mostBytesIn(error)
        if (mostBytes !== null) this.#mostBytes.set(model, mostBytes)
      })
      return new Session(model, channel, forget)
    })
    opened.catch(forget)
    this.#session = { model, opened }
    return opened
  }
}

/** A channel in confirm mode, and what is known to be declared as long as it lives. */
class Session {
  readonly #model: ChannelModel
  readonly #channel: ConfirmChannel
  readonly #declared = new Map<string, Promise<void>>()
  /** Messages that came back unrouted, by id; their confirmations follow. */
  readonly #returned = new Map<unknown, number>()

  constructor(model: ChannelModel, channel: ConfirmChannel, onEnd: () => void) {
    this.#model = model
    this.#channel = channel
    channel.on('close', onEnd)
    channel.on('return', ({ properties }) => {
      this.#declared.clear()
      this.#returned.set(properties.messageId, (this.#returned.get(properties.messageId) ?? 0) + 1)
    })
  }

  declared(target: Target): Promise<void> {
    const known = this.#declared.get(target.name)
    if (known !== undefined) return known
    const declaring = target.declare(this.#model)
    declaring.catch(() => this.#declared.delete(target.name))
    this.#declared.set(target.name, declaring)
    return declaring
  }

  publish({ exchange, routingKey }: Target, outgoing: Outgoing, mostBytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const { content, properties } = fitting(outgoing.write)
      if (content.length > mostBytes) {
        const sizes = `it has ${content.length} bytes, and the server takes ${mostBytes} (max_message_size)`
        throw new Unfit(`${sizes}: send less, or raise that`)
      }
      const options = { ...properties, persistent: true, mandatory: true }
      const onConfirm = (error: Error | null): void => {
        if (this.#cameBack(properties.messageId)) reject(new Unroutable())
        else if (error === null) resolve()
        else reject(error)
      }
      fitting(() => this.#channel.publish(exchange, routingKey, content, options, onConfirm))
    })
  }

  #cameBack(id: unknown): boolean {
    const times = this.#returned.get(id)
    if (times === undefined) return false
    if (times === 1) this.#returned.delete(id)
    else this.#returned.set(id, times - 1)
    return true
  }
}

class Unroutable extends Error {}

/** A message that can never be sent. */
class Unfit extends Error {}

/** The client's encoder, and JSON's, say so of what they cannot write; before anything of it is written. */
function fitting<T>(write: () => T): T {
  try {
    return write()
  } catch (error) {
    throw error instanceof TypeError || error instanceof RangeError ? new Unfit(error.message) : error
  }
}

/** The size that a server names when it ends a channel for a message that is larger. */
function mostBytesIn(error: unknown): number | null {
  const [, bytes] = /message size \d+ is larger than configured max size (\d+)/.exec(String(error)) ?? []
  return bytes === undefined ? null : Number(bytes)
}

function refusalOf(refused: Refused, { name }: Target, count: number): RefusedError {
  const why = [...new Set(refused.values())].join('; ')
  return new RefusedError(
    `${refused.size} of ${count} message${count === 1 ? '' : 's'} to ${name} can never be sent (${why})`,
    [...refused.keys()].map(({ id }) => id),
  )
}

function describe(error: unknown, { name }: Target, count: number, sent: boolean): PublishError {
  const why = error instanceof Error ? error.message : String(error)
  const messages = `${count} message${count === 1 ? '' : 's'}`
  if (error instanceof Unroutable) {
    return new PublishError('unroutable', `no queue takes what is published to ${name}: was it deleted? Publish again.`)
  }
  return sent
    ? new PublishError(
        'outcome_unknown',
        `${messages} to ${name} were sent but not confirmed (${why}): publish again`,
        error,
      )
    : new PublishError('not_sent', `${messages} to ${name} were not sent (${why}): publish again later`, error)
}
