/**
 * Publishes and waits for the broker's confirmation. A batch goes out together and is confirmed together.
 *
 * Invariants:
 * - it resolves only once the broker has all of the batch on its disks, and ends within a bound in any case;
 * - what was not written to the connection by then never will be: "not sent" is certain;
 * - a message that no queue takes comes back (it is published as mandatory), and rejects.
 */
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { within, type Link } from './link.ts'
import { openConfirmChannel, type Target } from './topology.ts'
import type { Parcel } from './wire.ts'

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

interface Attempt {
  sent: boolean
  over: boolean
}

export class Publisher {
  readonly #link: Link
  readonly #timeoutMs: number
  #session: { readonly model: ChannelModel; readonly opened: Promise<Session> } | null = null

  constructor(link: Link, timeoutMs: number) {
    this.#link = link
    this.#timeoutMs = timeoutMs
  }

  /** @throws PublishError */
  async publish(target: Target, parcels: readonly Parcel[]): Promise<void> {
    const attempt: Attempt = { sent: false, over: false }
    try {
      const done = await within(
        this.#timeoutMs,
        this.#send(target, parcels, attempt).then(() => true),
      )
      if (done === undefined) throw new Error(`no answer within ${this.#timeoutMs} ms`)
    } catch (error) {
      throw describe(error, target, parcels.length, attempt.sent)
    } finally {
      attempt.over = true
    }
  }

  async #send(target: Target, parcels: readonly Parcel[], attempt: Attempt): Promise<void> {
    const model = await this.#link.model(this.#timeoutMs)
    if (model === null) throw new Error('RabbitMQ is away, or takes no messages now')
    const session = await this.#sessionOn(model)
    await session.declared(target)
    if (attempt.over) return
    attempt.sent = true
    await Promise.all(parcels.map((parcel) => session.publish(target, parcel)))
  }

  #sessionOn(model: ChannelModel): Promise<Session> {
    if (this.#session?.model === model) return this.#session.opened
    const forget = (): void => {
      if (this.#session?.model === model) this.#session = null
    }
    const opened = openConfirmChannel(model).then((channel) => new Session(model, channel, forget))
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

  publish({ exchange, routingKey }: Target, { content, properties }: Parcel): Promise<void> {
    const options = { ...properties, persistent: true, mandatory: true }
    return new Promise((resolve, reject) => {
      this.#channel.publish(exchange, routingKey, content, options, (error: Error | null) => {
        if (this.#cameBack(properties.messageId)) reject(new Unroutable())
        else if (error === null) resolve()
        else reject(error)
      })
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
