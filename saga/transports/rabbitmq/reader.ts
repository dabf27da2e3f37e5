/**
 * Reads one queue for a group: from the broker to the handlers of this process, and back with acknowledgements.
 *
 * Invariants:
 * - a message is acknowledged after its handler has settled it, or after it is safe among the dead letters;
 * - when the connection is lost, so is what waits here: the broker hands it out again, and no handler sees the old copy;
 * - a message that keeps coming back, because whoever has it dies, is tried alone, and given up only where it was the one
 *   in a handler's hands when its process was lost (`suspectReturns`). What came back with it is innocent.
 */
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import { setTimeout as pause } from 'node:timers/promises'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import { delivery, systemTimer, type Delivery, type Failure } from '../delivery.ts'
import { RefusedError, type BatchHandler, type FailedMessage, type Message, type Subscription } from '../transport.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { LastTry } from './last-try.ts'
import { inTime, within, type Link } from './link.ts'
import type { Publisher } from './publisher.ts'
import { deadQueue, isTaken, openChannel, type Source, type Target } from './topology.ts'
import { fromDelivery, timesReturned, toBareDeadParcel, toDeadParcel, type Parcel } from './wire.ts'

export interface ReaderOptions {
  readonly source: Source
  readonly link: Link
  readonly publisher: Publisher
  readonly dead: (queue: string) => Target
  readonly prefetch: number
  /** Tries in this process. */
  readonly retry: RetryPolicy
  /** After so many returns from lost consumers a message is tried for the last time. */
  readonly maxReturns: number
  readonly timeoutMs: number
  readonly onProblem: (what: string, messageId: string | null, cause: unknown) => void
}

/**
 * What the count of returns is worth. The broker counts one for every message that a consumer held when it ended, in
 * whatever way: of what killed it, of what only waited beside that, and at every deployment while the database was away.
 * So the count proves nothing. So many returns make a message a suspect, which is tried with nothing after it in hand. A
 * suspect of `maxReturns` has its last try: it is handed to the handler by itself, with a note of that at the broker, which
 * is removed as soon as the handler has said anything, be it that it is unavailable. Only what comes back with its note
 * still there was in hand, alone, when its process was lost: it goes to the dead letters. (Classic queues do not count
 * returns, so nothing is given up there.)
 */
const suspectReturns = 3

/** Who stands by for a queue that another has for itself asks again after this long. */
const standByMs = 1_000

/** The group's own queue waits no longer than this for what was published before it. */
const earlyMs = 5_000

/** A broker that does not answer a farewell is left. */
const farewellMs = 2_000

const again: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 10_000, jitter: 0.5 }

interface Held {
  readonly raw: ConsumeMessage
  readonly queue: string
}

/** A channel, and what the broker has handed out on it. */
interface Session {
  readonly channel: Channel
  readonly acknowledgements: Acknowledgements
  /** Not handed on yet, in the order of coming. */
  readonly held: Held[]
  alive: boolean
  /** Its consumers are there. */
  reads: boolean
  /** A suspect is being tried alone. */
  proving: boolean
  /** The suspect that has its last try. */
  lastTry: Message | null
}

export class Reader {
  readonly #options: ReaderOptions
  readonly #delivery: Delivery
  /** Which session a message came in. */
  readonly #sessions = new WeakMap<Message, Session>()
  readonly #lastTry: LastTry
  readonly #burials = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  readonly #stopped: Promise<null>
  readonly #running: Promise<void>
  /** Resolves when it reads, or stands by, for the first time. */
  readonly established: Promise<void>
  #establish: () => void = () => undefined
  #session: Session | null = null
  #members = 0
  #standsBy = false
  #closing = false
  #closed: Promise<void> | null = null
  #lastProblem: string | null = null

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#lastTry = new LastTry({ ...options, queue: options.source.queue })
    this.#delivery = delivery({
      maxBatch: options.prefetch,
      maxQueued: Infinity, // prefetch is the bound
      retry: options.retry,
      timer: systemTimer,
      onDead: () => undefined, // each message has its own answer
    })
    this.#stopped = new Promise((resolve) => this.#stop.signal.addEventListener('abort', () => resolve(null)))
    this.established = new Promise((resolve) => (this.#establish = resolve))
    this.#running = this.#run()
  }

  get group(): string {
    return this.#options.source.group
  }

  /** It reads, or stands by for another that does. */
  get ready(): boolean {
    return this.#standsBy || (this.#session?.alive === true && this.#session.reads)
  }

  /** Nobody reads here any more. */
  get idle(): boolean {
    return this.#members === 0
  }

  /** Adds a handler; closing it waits for its batch. The handlers of one reader share its messages. */
  join(handler: BatchHandler): Subscription {
    const { queue, group } = this.#options.source
    const member = this.#delivery.subscribe(queue, group, (batch) => this.#hand(batch, handler))
    this.#members++
    if (this.#session !== null) this.#feed(this.#session)
    return {
      close: () => {
        this.#members--
        return member.close()
      },
    }
  }

  async #hand(batch: readonly Message[], handler: BatchHandler): Promise<readonly FailedMessage[] | void> {
    const isCurrent = (message: Message): boolean => this.#sessions.get(message)?.alive === true
    const current = batch.filter(isCurrent)
    const last = current.find((message) => this.#sessions.get(message)?.lastTry === message)
    const others = current.filter((message) => message !== last)
    const failed = others.length === 0 ? undefined : await handler(others)
    if (last === undefined) return failed
    try {
      await this.#lastTry.begin(last.id)
      const failedLast = isCurrent(last) ? await handler([last]) : undefined
      return [...(failed ?? []), ...(failedLast ?? [])]
    } finally {
      await this.#lastTry.end(last.id)
    }
  }

  /** Waits for the batches in hand and hands the rest back to the broker. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing = true
    await this.#delivery.close()
    if (this.#session !== null) await within(farewellMs, Promise.allSettled(this.#burials))
    this.#session?.acknowledgements.flush()
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    for (let failures = 0; !signal.aborted;) {
      let waitMs = again.firstMs
      try {
        const model = await Promise.race([this.#options.link.model(60_000), this.#stopped])
        if (model !== null) await this.#read(model)
        failures = 0
      } catch (error) {
        waitMs = isTaken(error) ? standByMs : backoff(again, ++failures, 0, 0)
        this.#standsBy = isTaken(error)
        if (this.#standsBy) this.#establish()
        this.#reportOnce(
          this.#standsBy
            ? 'is read by a consumer that has it for itself; this one stands by until that is gone'
            : 'cannot be read; it is tried again until it can',
          error,
        )
      }
      await pause(waitMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** Reads until the channel ends: with its connection, by the broker's decision, or because this reader stops. */
  async #read(model: ChannelModel): Promise<void> {
    const { source, timeoutMs } = this.#options
    await inTime(timeoutMs, source.declare(model))
    const channel = await inTime(timeoutMs, openChannel(model))
    const acknowledgements = new Acknowledgements(channel)
    const session: Session = {
      channel,
      acknowledgements,
      held: [],
      alive: true,
      reads: false,
      proving: false,
      lastTry: null,
    }
    const ended = new Promise<void>((resolve, reject) => {
      channel.on('error', reject) // the broker ended it; 'close' follows
      channel.on('close', () => {
        session.alive = false
        resolve()
      })
    })
    ended.catch(() => undefined) // before it reads, what it waits for fails with the same
    this.#session = session
    try {
      await this.#consume(session)
      session.reads = true
      this.#standsBy = false
      this.#lastProblem = null
      this.#establish()
      await Promise.race([ended, this.#stopped])
    } finally {
      session.alive = false
      this.#session = null
      await within(farewellMs, Promise.allSettled([channel.close()]))
    }
  }

  async #consume(session: Session): Promise<void> {
    const { source, prefetch, timeoutMs } = this.#options
    const { channel } = session
    const consume = (queue: string): Promise<unknown> => {
      const take = (raw: ConsumeMessage | null): void => this.#take(session, queue, raw)
      return inTime(timeoutMs, channel.consume(queue, take, { exclusive: source.exclusive }))
    }
    await inTime(timeoutMs, channel.prefetch(prefetch))
    if (source.early !== null) {
      await consume(source.early)
      await this.#drained(session, source.early)
    }
    await consume(source.queue)
  }

  /** What was published before the group existed comes before what was published after: for as long as one can wait. */
  async #drained({ channel }: Session, queue: string): Promise<void> {
    for (const end = performance.now() + earlyMs; performance.now() < end && !this.#closing; await pause(20)) {
      const { messageCount } = await inTime(this.#options.timeoutMs, channel.checkQueue(queue))
      if (messageCount === 0) return
    }
  }

  #take(session: Session, queue: string, raw: ConsumeMessage | null): void {
    if (raw === null) {
      // The queue was deleted under us: with another session it is declared again.
      session.channel.close().catch(() => undefined)
      return
    }
    session.acknowledgements.came(raw)
    session.held.push({ raw, queue })
    this.#feed(session)
  }

  #feed(session: Session): void {
    while (session.alive && !session.proving && !this.#closing && this.#members > 0) {
      const next = session.held.shift()
      if (next === undefined) return
      this.#handOn(session, next)
    }
  }

  #handOn(session: Session, held: Held): void {
    const read = fromDelivery(held.raw)
    if (!read.ok) return this.#bury(session, held, null, read.why)
    const message = read.value
    this.#sessions.set(message, session)
    const { maxReturns } = this.#options
    if (timesReturned(held.raw) < Math.min(suspectReturns, maxReturns)) this.#offer(session, held, message)
    else void this.#prove(session, held, message)
  }

  #offer(session: Session, held: Held, message: Message): void {
    const { source, retry } = this.#options
    this.#delivery.offerOne(source.queue, message, retry.tries, (failure) => {
      if (failure === null) session.acknowledgements.settled(held.raw)
      else if (session.alive && !this.#closing) this.#bury(session, held, message.id, failure.reason)
    })
  }

  /** Tries a suspect with nothing after it in hand, or gives it up where its last try ended with its process. */
  async #prove(session: Session, held: Held, message: Message): Promise<void> {
    session.proving = true
    const returns = timesReturned(held.raw)
    const last = returns >= this.#options.maxReturns
    if (last && (await this.#lastTry.wasLost(message.id))) await this.#giveUp(session, held, message, returns)
    else await this.#tryAlone(session, held, message, last)
    session.proving = false
    this.#feed(session)
  }

  async #giveUp(session: Session, held: Held, { id }: Message, returns: number): Promise<void> {
    if (!session.alive || this.#closing) return
    const why = `it came back ${returns} times, at last as the only one in hand: who has it dies, or loses the connection`
    this.#bury(session, held, id, why)
    await this.#lastTry.end(id)
  }

  /**
   * Whoever survives a suspect has cleared it: it is acknowledged before the next one is tried, or has its further tries
   * among the others.
   */
  async #tryAlone(session: Session, held: Held, message: Message, last: boolean): Promise<void> {
    if (!session.alive || this.#closing || this.#members === 0) return void session.held.unshift(held)
    if (last) session.lastTry = message
    const failure = await new Promise<Failure | null>((resolve) => {
      this.#delivery.offerOne(this.#options.source.queue, message, 1, resolve)
    })
    session.lastTry = null
    if (failure === null) {
      session.acknowledgements.settled(held.raw)
      session.acknowledgements.flush()
      await session.channel.checkQueue(held.queue).catch(() => undefined) // answered after the acknowledgement has arrived
    } else if (this.#members === 0) session.held.unshift(held)
    else if (session.alive && !this.#closing) this.#offer(session, held, message)
  }

  #bury(session: Session, held: Held, messageId: string | null, reason: string): void {
    this.#options.onProblem(`A message of ${held.queue} goes to ${deadQueue(held.queue)}`, messageId, reason)
    const burial = this.#carry(session, held, reason).finally(() => this.#burials.delete(burial))
    this.#burials.add(burial)
  }

  /** Publishes it there and then acknowledges it, as often as it takes; a session that ends leaves it to the next one. */
  async #carry(session: Session, { raw, queue }: Held, reason: string): Promise<void> {
    const { source, publisher, dead, onProblem } = this.#options
    let toParcel = (): Parcel => toDeadParcel(raw, reason, { ...source, queue })
    for (let failures = 1; session.alive; failures++) {
      try {
        await publisher.publish(dead(queue), [{ id: '', toParcel }])
        return session.acknowledgements.settled(raw)
      } catch (error) {
        if (error instanceof RefusedError) toParcel = () => toBareDeadParcel(raw, reason)
        if (session.alive) onProblem(`A message of ${queue} waits for its way to ${deadQueue(queue)}`, null, error)
      }
      await pause(backoff(again, failures, 0, 0), undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
  }

  /** What hinders is told once, not with every attempt. */
  #reportOnce(what: string, cause: unknown): void {
    const problem = `${what}: ${String(cause)}`
    if (problem === this.#lastProblem || this.#closing) return
    this.#lastProblem = problem
    this.#options.onProblem(`${this.#options.source.queue} ${what}`, null, cause)
  }
}
