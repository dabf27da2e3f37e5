/**
 * A connection to RabbitMQ that comes back: lost, or never had, it is tried again for ever, with growing pauses.
 *
 * Every wait here has an end, at which the socket is cut. The client's own recovery has waits without one (a server that
 * stops answering while a set-up fails or a connection closes), so it is not used.
 */
import type { Chance } from '../../chance.ts'
import type { ChannelModel, connect as Connect, SocketOptions } from 'amqplib'
import { Socket } from 'node:net'
import type { Clock } from '../../clock.ts'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import { driver } from '../../driver.ts'
import type { OnProblem } from '../../problem.ts'
import { pause, settledWithin } from '../within.ts'

const { connect } = driver('amqplib', 'ordersaga/transports/rabbitmq') as { readonly connect: typeof Connect }

const reconnect: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 2_000, jitter: 0.5 }

/** A server that takes the connection but does not answer is given up after this long. */
const handshakeMs = 5_000

export interface LinkOptions {
  readonly url: string
  /** What it is for: the broker's lists of connections show it. */
  readonly name: string
  readonly clock: Clock
  readonly chance: Chance
  readonly report: OnProblem
}

export class Link {
  readonly #options: LinkOptions
  readonly #closing = new AbortController()
  readonly #waiting = new Set<() => void>()
  readonly #running: Promise<void>
  /** Spreads the attempts of processes that lost their server together. */
  readonly #seed: number
  #model: ChannelModel | null = null
  #cut = new AbortController()
  #blocked = false
  #lastProblem: string | null = null

  constructor(options: LinkOptions) {
    this.#options = options
    this.#seed = Math.floor(options.chance.random() * 2 ** 31)
    this.#running = this.#run()
  }

  /** It is there, and the server takes messages (short of memory or disk, it stops reading from publishers). */
  get usable(): boolean {
    return this.#model !== null && !this.#blocked
  }

  /** The connection, once it is usable; null where it is not within the time, or the link is closed. */
  model(withinMs: number): Promise<ChannelModel | null> {
    if (this.usable || this.#closing.signal.aborted) return Promise.resolve(this.#model)
    return new Promise((resolve) => {
      const answer = (): void => {
        timer.cancel()
        this.#waiting.delete(answer)
        resolve(this.usable ? this.#model : null)
      }
      const timer = this.#options.clock.after(withinMs, answer)
      this.#waiting.add(answer)
    })
  }

  /** Disconnects in good order where the server answers within the time; ends in any case. */
  async close(withinMs: number): Promise<void> {
    this.#closing.abort()
    const model = this.#model
    if (model !== null) await settledWithin(this.#options.clock, withinMs, model.close())
    this.#cut.abort()
    await this.#running
    this.#wake()
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted;) {
      const model = await this.#connect()
      failures = model === null ? failures + 1 : 0
      if (model !== null) await this.#hold(model)
      await pause(this.#options.clock, backoff(reconnect, failures + 1, this.#seed, 0), signal)
    }
  }

  async #connect(): Promise<ChannelModel | null> {
    this.#cut = new AbortController()
    // `signal` is Node's own option for sockets: the client hands it through, and has no other way to cut one.
    const socket: SocketOptions & { signal: AbortSignal } = {
      noDelay: true,
      timeout: handshakeMs,
      signal: this.#cut.signal,
      clientProperties: { connection_name: this.#options.name },
    }
    try {
      return writingTogether(await connect(this.#options.url, socket))
    } catch (error) {
      this.#report(`RabbitMQ cannot be reached for ${this.#options.name}; it is tried again until it can`, error)
      return null
    }
  }

  /** Resolves when the connection is lost or closed. */
  async #hold(model: ChannelModel): Promise<void> {
    const lost = new Promise<unknown>((resolve) => model.on('close', resolve))
    model.on('error', () => undefined) // 'close' follows with the same
    model.on('blocked', (reason) => {
      this.#blocked = true
      this.#report('RabbitMQ takes no messages until it has room again', reason)
    })
    model.on('unblocked', () => {
      this.#blocked = false
      this.#wake()
    })
    this.#blocked = false
    this.#lastProblem = null
    if (this.#closing.signal.aborted) this.#cut.abort()
    else this.#model = model
    this.#wake()
    const cause = await lost
    this.#model = null
    if (!this.#closing.signal.aborted) {
      this.#report(
        `The connection to RabbitMQ for ${this.#options.name} is lost; it is tried again until it is back`,
        cause,
      )
    }
  }

  #wake(): void {
    for (const answer of this.#waiting) answer()
  }

  /** An outage is told once, not with every attempt. */
  #report(what: string, cause: unknown): void {
    const problem = `${what}: ${String(cause)}`
    if (problem !== this.#lastProblem && !this.#closing.signal.aborted) {
      this.#options.report({ what, needsPerson: false, cause })
    }
    this.#lastProblem = problem
  }
}

/**
 * The client writes each message to its socket alone. Corked, those of one turn go out together, and the server takes a
 * batch in half the time. (The client's types do not show the socket: should it hide it one day, all else works.)
 */
function writingTogether(model: ChannelModel): ChannelModel {
  const { stream } = model.connection as { readonly stream?: unknown }
  if (!(stream instanceof Socket)) return model
  const write = stream.write.bind(stream)
  stream.write = ((...args: Parameters<typeof write>) => {
    if (stream.writableCorked === 0) {
      stream.cork()
      process.nextTick(() => stream.uncork())
    }
    return write(...args)
  }) as typeof write
  return model
}
