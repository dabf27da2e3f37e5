/**
 * Reads one queue for a group: from the broker to the handlers of this process, and back with acknowledgements.
 *
 * Invariants:
 * - a message is acknowledged after its handler has settled it, or after it is safe among the dead letters;
 * - when the connection is lost, so is what waits here: the broker hands it out again, and no handler sees the old copy;
 * - a group that is new reads the history of its channel before its queue (`catch-up.ts`);
 * - a message that keeps coming back, because whoever has it dies, is tried alone, and given up only where it was the one
 *   in a handler's hands when its process was lost (`suspectReturns`). What came back with it is innocent.
 */
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import type { Clock } from '../../clock.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import type { OnProblem } from '../../problem.ts'
import { DeadLetterWriter } from '../dead-letters.ts'
import type { Failure } from '../group.ts'
import { Handlers } from '../handlers.ts'
import type { GroupReader } from '../readers.ts'
import { Sessions } from '../sessions.ts'
import type { BatchHandler, FailedMessage, Message, Subscription } from '../transport.ts'
import { pause, settledWithin, within } from '../within.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { CatchUp } from './catch-up.ts'
import { LastTry } from './last-try.ts'
import type { Link } from './link.ts'
import type { Publisher } from './publisher.ts'
import {
  deadQueue,
  isTaken,
  isThere,
  onChannel,
  openChannel,
  type History,
  type Source,
  type Target,
} from './topology.ts'
import { fromDelivery, timesReturned, toBareDeadLetter, toDeadLetter } from './wire.ts'

export interface ReaderOptions {
  readonly source: Source
  readonly link: Link
  readonly publisher: Publisher
  readonly dead: (queue: string) => Target
  readonly uncorrelated: readonly string[]
  readonly prefetch: number
  /** Tries in this process. */
  readonly retry: RetryPolicy
  /** After so many returns from lost consumers a message is tried for the last time. */
  readonly maxReturns: number
  readonly timeoutMs: number
  readonly clock: Clock
  readonly report: OnProblem
}

/**
 * What the count of returns is worth. The broker counts one for every message that a consumer held when it ended, in
 * whatever way: of what killed it, of what only waited beside that, and at every deployment while the database was away.
 * So the count proves nothing. So many returns make a message a suspect, which is tried with nothing after it in hand. A
 * suspect of `maxReturns` has its last try: it is handed to the handler by itself, with a note of that at the broker, which
 * is removed as soon as the handler has said anything, be it that it is unavailable. Only what comes back with its note
 * still there was in hand, alone, when its process was lost: it goes to the dead letters. (Classic queues and the history do
 * not count returns, so nothing is given up there.)
 */
const suspectReturns = 3

/** Who stands by for a queue that another has for itself asks again after this long. */
const standByMs = 1_000

/** The group's own queue waits no longer than this for what an earlier release kept for the first group. */
const unroutedMs = 5_000

/** A broker that does not answer when it is left is cut off. */
const disconnectMs = 2_000

/** How long to wait for a connection before looking whether it is still wanted. */
const connectionMs = 60_000

/** A queue or stream that is read. */
interface Place {
  readonly name: string
  /** Whose dead letters take what cannot be handled. */
  readonly deadLettersOf: string
  readonly catchUp: CatchUp | null
}

interface Held {
  readonly raw: ConsumeMessage
  readonly place: Place
}

/** A channel, and what the broker has handed out on it. */
interface Session {
  readonly model: ChannelModel
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

export class Reader implements GroupReader {
  readonly #options: ReaderOptions
  readonly #handlers: Handlers
  readonly #deadLetters: DeadLetterWriter
  readonly #broker: Sessions
  /** Which session a message came in. */
  readonly #sessions = new WeakMap<Message, Session>()
  readonly #lastTry: LastTry
  /** Resolves when it reads, or stands by, for the first time. */
  readonly established: Promise<void>
  #establish: () => void = () => undefined
  #session: Session | null = null
  #standsBy = false
  #closed: Promise<void> | null = null

  constructor(options: ReaderOptions) {
    const { queue, group } = options.source
    this.#options = options
    this.#lastTry = new LastTry({ ...options, queue })
    this.#handlers = new Handlers({
      ...options,
      source: queue,
      group,
      hand: (batch, handler) => this.#hand(batch, handler),
      onJoined: () => this.#feed(),
    })
    this.#deadLetters = new DeadLetterWriter(options.clock, options.report)
    this.established = new Promise((resolve) => (this.#establish = resolve))
    this.#broker = new Sessions({ ...options, run: () => this.#run(), explain: (error) => this.#explain(error) })
    this.#broker.start()
  }

  get group(): string {
    return this.#options.source.group
  }

  get ready(): boolean {
    return this.#standsBy || (this.#session?.alive === true && this.#session.reads)
  }

  get idle(): boolean {
    return this.#handlers.none
  }

  join(handler: BatchHandler): Subscription {
    return this.#handlers.join(handler)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#handlers.close()
    if (this.#session !== null) await this.#deadLetters.close(disconnectMs)
    this.#session?.acknowledgements.flush()
    await this.#broker.stop()
    this.#establish() // nobody waits any longer
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

  async #run(): Promise<void> {
    const model = await Promise.race([this.#options.link.model(connectionMs), this.#broker.stopped])
    if (model) await this.#read(model)
  }

  #explain(error: unknown): { readonly what: string; readonly waitMs?: number } {
    const { queue } = this.#options.source
    this.#standsBy = isTaken(error)
    if (!this.#standsBy) return { what: `${queue} cannot be read; it is tried again until it can` }
    this.#establish()
    return {
      what: `${queue} is read by a consumer that has it for itself; this one stands by until that is gone`,
      waitMs: standByMs,
    }
  }

  /** Reads until the channel ends: with its connection, by the broker's decision, or because this reader stops. */
  async #read(model: ChannelModel): Promise<void> {
    const { source, clock } = this.#options
    await this.#inTime(source.declare(model))
    const channel = await this.#inTime(openChannel(model))
    const session: Session = {
      model,
      channel,
      acknowledgements: new Acknowledgements(channel),
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
      const { stopped } = this.#broker
      await Promise.race([this.#consume(session, ended), stopped])
      await Promise.race([ended, stopped])
    } finally {
      session.alive = false
      this.#session = null
      await settledWithin(clock, disconnectMs, channel.close())
    }
  }

  async #consume(session: Session, ended: Promise<void>): Promise<void> {
    const { source, prefetch } = this.#options
    const { channel } = session
    await this.#inTime(channel.prefetch(prefetch))
    if (source.history !== null) await this.#readHistory(session, source.history, ended)
    if (!session.alive) return
    const take = this.#taker(session, this.#place(source.queue))
    await this.#inTime(channel.consume(source.queue, take, { exclusive: source.exclusive }))
    this.#nowReads(session)
  }

  #nowReads(session: Session): void {
    session.reads = true
    this.#standsBy = false
    this.#broker.works()
    this.#establish()
  }

  /** Resolves when the group's own queue is next, or the session has ended. */
  async #readHistory(session: Session, history: History, ended: Promise<void>): Promise<void> {
    const { model, channel } = session
    if (await this.#inTime(isThere(model, history.unrouted))) {
      await this.#inTime(channel.consume(history.unrouted, this.#taker(session, this.#place(history.unrouted))))
      await this.#drained(session, history.unrouted)
    }
    if (!(await this.#inTime(isThere(model, history.behind)))) return
    const catchUp = new CatchUp({ ...this.#options, model, channel, history })
    const place = { name: history.stream, deadLettersOf: this.#options.source.queue, catchUp }
    await catchUp.begin(this.#taker(session, place))
    const caughtUp = catchUp.handled.then(() => this.#caughtUp(session, history))
    await Promise.race([catchUp.reached, ended])
    // Often all is handled by then: who subscribes, and leaves at once, is not to begin anew the next time.
    if (session.alive && catchUp.done) await caughtUp
  }

  /** Not done, it is done again when the queue is read the next time. */
  async #caughtUp({ model }: Session, { behind }: History): Promise<void> {
    try {
      await this.#inTime(onChannel(model, (each) => each.deleteQueue(behind)))
    } catch (cause) {
      const what = `${behind} could not be deleted; what its group has read of the past comes again`
      this.#options.report({ what, needsPerson: false, cause })
    }
  }

  /** What was published before the group existed comes before what was published after: for as long as one can wait. */
  async #drained({ channel }: Session, queue: string): Promise<void> {
    const { clock } = this.#options
    for (const end = clock.elapsed() + unroutedMs; clock.elapsed() < end && !this.#handlers.closing;) {
      const { messageCount } = await this.#inTime(channel.checkQueue(queue))
      if (messageCount === 0) return
      await pause(clock, 20)
    }
  }

  #place(queue: string): Place {
    return { name: queue, deadLettersOf: queue, catchUp: null }
  }

  #taker(session: Session, place: Place): (raw: ConsumeMessage | null) => void {
    return (raw) => {
      // The queue was deleted under us: with another session it is declared again.
      if (raw === null) return void session.channel.close().catch(() => undefined)
      session.acknowledgements.came(raw)
      if (place.catchUp?.takes(raw) === false) return session.acknowledgements.settled(raw)
      session.held.push({ raw, place })
      this.#feed()
    }
  }

  #feed(): void {
    const session = this.#session
    while (session?.alive === true && !session.proving && this.#handlers.taking) {
      const next = session.held.shift()
      if (next === undefined) return
      this.#handOn(session, next)
    }
  }

  #handOn(session: Session, held: Held): void {
    const read = fromDelivery(held.raw, this.#options.clock.now(), this.#options.uncorrelated)
    if (!read.ok) return this.#deadLetter(session, held, undefined, read.why)
    const message = read.value
    this.#sessions.set(message, session)
    const { maxReturns } = this.#options
    if (timesReturned(held.raw) < Math.min(suspectReturns, maxReturns)) this.#offer(session, held, message)
    else void this.#prove(session, held, message)
  }

  #offer(session: Session, held: Held, message: Message): void {
    this.#handlers.offer(message, (failure) => {
      if (failure === null) this.#settle(session, held)
      else if (this.#isOpen(session)) this.#deadLetter(session, held, message, failure.reason)
    })
  }

  #settle(session: Session, { raw, place }: Held): void {
    if (!session.alive) return // it was dropped, not handled
    session.acknowledgements.settled(raw)
    place.catchUp?.settled()
  }

  #isOpen(session: Session): boolean {
    return session.alive && !this.#handlers.closing
  }

  /** Tries a suspect with nothing after it in hand, or gives it up where its last try ended with its process. */
  async #prove(session: Session, held: Held, message: Message): Promise<void> {
    session.proving = true
    const returns = timesReturned(held.raw)
    const last = returns >= this.#options.maxReturns
    if (last && (await this.#lastTry.wasLost(message.id))) await this.#giveUp(session, held, message, returns)
    else await this.#tryAlone(session, held, message, last)
    session.proving = false
    this.#feed()
  }

  async #giveUp(session: Session, held: Held, message: Message, returns: number): Promise<void> {
    if (!this.#isOpen(session)) return
    const why = `it came back ${returns} times, at last as the only one in hand: who has it dies, or loses the connection`
    this.#deadLetter(session, held, message, why)
    await this.#lastTry.end(message.id)
  }

  /**
   * Whoever survives a suspect has cleared it: it is acknowledged before the next one is tried, or has its further tries
   * among the others.
   */
  async #tryAlone(session: Session, held: Held, message: Message, last: boolean): Promise<void> {
    if (!session.alive || !this.#handlers.taking) return void session.held.unshift(held)
    if (last) session.lastTry = message
    const failure = await new Promise<Failure | null>((resolve) => this.#handlers.offer(message, resolve, 1))
    session.lastTry = null
    if (failure === null) {
      this.#settle(session, held)
      session.acknowledgements.flush()
      await session.channel.checkQueue(held.place.name).catch(() => undefined) // answered after the acknowledgement has arrived
    } else if (this.#handlers.none) session.held.unshift(held)
    else if (this.#isOpen(session)) this.#offer(session, held, message)
  }

  /** Once it is there, it is acknowledged; a session that ends leaves it to the next one. */
  #deadLetter(session: Session, held: Held, message: Message | undefined, reason: string): void {
    const { source, publisher, dead, clock } = this.#options
    const { raw, place } = held
    const origin = { ...source, queue: place.name, at: clock.now() }
    this.#deadLetters.write({
      from: place.name,
      to: deadQueue(place.deadLettersOf),
      message,
      reason,
      isOurs: () => session.alive,
      send(bare) {
        const write = () => (bare ? toBareDeadLetter(raw, reason) : toDeadLetter(raw, reason, origin))
        return publisher.publish(dead(place.deadLettersOf), [{ id: message?.id ?? '', write }])
      },
      done: () => this.#settle(session, held),
    })
  }

  #inTime<T>(promise: Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options
    return within(clock, timeoutMs, promise, 'an answer of RabbitMQ')
  }
}
