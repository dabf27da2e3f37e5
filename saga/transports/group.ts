/**
 * A group in this process: the subscribers that share a channel's messages, and the messages that wait for them.
 *
 * Invariants:
 * - what gathers while a handler runs is its next batch; a handler never runs twice at once;
 * - messages with one correlation id are in at most one handler of a group at a time, in the order of their coming;
 * - a batch that throws as a whole comes again message by message, so only a message that fails alone is charged a try;
 * - a failed message waits for its next try outside the queue: others are not held up;
 * - while a handler says that it is unavailable its group waits as a whole, and nobody is charged a try;
 * - who waits for what becomes of a message hears of it, also when the readers leave or the transport closes.
 */
import type { Clock } from '../clock.ts'
import { backoff, type RetryPolicy } from '../core/retry.ts'
import { isUnavailable, type BatchHandler, type Message, type Subscription } from './transport.ts'

export interface GroupOptions {
  /** Most messages in one batch. */
  readonly maxBatch: number
  /** Most messages that wait in one group. */
  readonly maxQueued: number
  /** How often, and with which pauses, a message is handed over that could not be handled. */
  readonly retry: RetryPolicy
  readonly clock: Clock
  /** Called for a message whose tries are used up, and for one that no room is left for. */
  readonly onDead: (channel: string, message: Message, reason: string) => void
}

/** Why a message was not handled. */
export interface Failure {
  readonly reason: string
  /** The handler failed on it; false where nothing could be handled then. */
  readonly blamed: boolean
}

export type Settled = (failure: Failure | null) => void

/** How often a message is handed over; `once` where its sender repeats it, and waits for the answer until then. */
export type Tries = number | 'once'

/** A message on its way to one group. */
interface Item {
  readonly message: Message
  readonly tries: Tries
  readonly settled: Settled | undefined
  failures: number
  /** Was in a batch that threw as a whole. */
  alone: boolean
}

interface Member {
  readonly handler: BatchHandler
  /** A run is scheduled or going on. */
  busy: boolean
  closed: boolean
  /** The correlation ids of the batch in hand. */
  readonly inHand: Set<string>
  running: Promise<void>
}

/** Raised where no more messages may wait. */
export class QueueFullError extends Error {
  override readonly name = 'QueueFullError'
  readonly code = 'unavailable'
  constructor(reader: string, limit: number) {
    super(`${limit} messages wait for ${reader}, which is the most allowed: publish again later, or raise maxQueued`)
  }
}

export class Group {
  readonly #channel: string
  readonly #name: string
  readonly #options: GroupOptions
  readonly #members = new Set<Member>()
  readonly #pauses = new Set<{ cancel(): void }>()
  #waiting: Item[] = []
  #closed = false
  /** How often in a row the handlers were unavailable. */
  #outage = 0
  #paused = false

  constructor(channel: string, name: string, options: GroupOptions) {
    this.#channel = channel
    this.#name = name
    this.#options = options
  }

  /** Somebody reads it. */
  get read(): boolean {
    return [...this.#members].some((member) => !member.closed)
  }

  checkRoom(more: number): void {
    const { maxQueued } = this.#options
    if (this.read && this.#waiting.length + more > maxQueued) {
      throw new QueueFullError(`group ${this.#name} on ${this.#channel}`, maxQueued)
    }
  }

  add(messages: readonly Message[], tries: Tries, settled: Settled | undefined): void {
    for (const message of messages) this.#waiting.push({ message, tries, settled, failures: 0, alone: false })
    this.#dropOldest()
    this.#wake()
  }

  join(handler: BatchHandler): Subscription {
    const member: Member = { handler, busy: false, closed: false, inHand: new Set(), running: Promise.resolve() }
    this.#members.add(member)
    this.#wake()
    return { close: () => this.#leave(member) }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#pauses) timer.cancel()
    for (const item of this.#waiting.splice(0)) item.settled?.({ reason: 'the transport is closing', blamed: false })
    await Promise.all([...this.#members].map((member) => this.#leave(member)))
  }

  /** A member stays among the others, and so keeps its sagas in hand, until its last batch is done. */
  async #leave(member: Member): Promise<void> {
    member.closed = true
    this.#dismissWhereUnread()
    await member.running
    this.#members.delete(member)
    this.#dismissWhereUnread() // what its last batch has put back
  }

  /** Whoever waits for an answer gets it: no reader may ever come. */
  #dismissWhereUnread(): void {
    if (this.read) return
    const once = this.#waiting.filter(({ tries }) => tries === 'once')
    this.#waiting = this.#waiting.filter(({ tries }) => tries !== 'once')
    for (const item of once) this.#giveUp(item, { reason: `nobody reads ${this.#channel} any more`, blamed: false })
  }

  /** A group that nobody reads must not grow for ever: nobody may ever come back to it. */
  #dropOldest(): void {
    if (this.read) return
    const tooMany = this.#waiting.length - this.#options.maxQueued
    if (tooMany <= 0) return
    for (const item of this.#waiting.splice(0, tooMany)) {
      const reason = `${this.#options.maxQueued} newer messages wait for group ${this.#name}, which nobody reads`
      this.#giveUp(item, { reason, blamed: false })
    }
  }

  /**
   * Lets idle members look for work, in a turn of the event loop of its own: what is published in this turn comes in one
   * batch, and other work gets in between batches.
   */
  #wake(): void {
    if (this.#waiting.length === 0 || this.#closed || this.#paused) return
    for (const member of this.#members) {
      if (member.busy || member.closed) continue
      member.busy = true
      setImmediate(() => {
        if (!member.closed) member.running = this.#run(member)
      })
    }
  }

  async #run(member: Member): Promise<void> {
    const batch = this.#take(member)
    for (const { message } of batch) member.inHand.add(message.correlationId)
    if (batch.length > 0) await this.#handle(member, batch)
    member.inHand.clear()
    member.busy = false
    // Without a batch, all that waits belongs to sagas in other members' hands; these wake everyone when they finish.
    if (batch.length > 0) this.#wake()
  }

  /** The next batch: in order, without sagas that another member has in hand. */
  #take(member: Member): readonly Item[] {
    const others = [...this.#members].filter((other) => other !== member && other.inHand.size > 0)
    const batch: Item[] = []
    const left: Item[] = []
    let seen = 0
    for (; seen < this.#waiting.length && batch.length < this.#options.maxBatch; seen++) {
      const item = this.#waiting[seen] as Item
      if (others.some((other) => other.inHand.has(item.message.correlationId))) left.push(item)
      else if (!item.alone) batch.push(item)
      else {
        if (batch.length > 0) break
        batch.push(item)
        seen++
        break
      }
    }
    if (left.length === 0) this.#waiting.splice(0, seen)
    else this.#waiting = [...left, ...this.#waiting.slice(seen)]
    return batch
  }

  async #handle(member: Member, batch: readonly Item[]): Promise<void> {
    try {
      const failed = (await member.handler(batch.map((item) => item.message))) ?? []
      this.#outage = 0
      const reasons = new Map(failed.map(({ messageId, reason }) => [messageId, reason]))
      for (const item of batch) {
        const reason = reasons.get(item.message.id)
        if (reason === undefined) item.settled?.(null)
        else this.#fail(item, reason)
      }
    } catch (error) {
      const away = isUnavailable(error)
      const reason = error instanceof Error ? error.message : String(error)
      // Whoever closes has emptied the queue: what went back there would stay for ever.
      if (this.#closed) for (const item of batch) this.#giveUp(item, { reason, blamed: !away && batch.length === 1 })
      else if (away) this.#putBack(batch, reason)
      else if (batch.length === 1) for (const item of batch) this.#fail(item, reason)
      else {
        for (const item of batch) item.alone = true
        this.#waiting = [...batch, ...this.#waiting]
      }
    }
  }

  /** Puts the batch back; whoever waits for an answer gets it. */
  #putBack(batch: readonly Item[], reason: string): void {
    for (const item of batch) if (item.tries === 'once') this.#giveUp(item, { reason, blamed: false })
    this.#waiting = [...batch.filter(({ tries }) => tries !== 'once'), ...this.#waiting]
    this.#outage++
    this.#paused = true
    this.#after(backoff(this.#options.retry, this.#outage, 0, 0), () => {
      this.#paused = false
      this.#wake()
    })
  }

  #fail(item: Item, reason: string): void {
    item.failures++
    if (item.tries === 'once' || item.failures >= item.tries || this.#closed)
      return this.#giveUp(item, { reason, blamed: true })
    this.#after(backoff(this.#options.retry, item.failures, 0, 0), () => {
      this.#waiting.push(item)
      this.#wake()
    })
  }

  #after(ms: number, work: () => void): void {
    const timer = this.#options.clock.after(ms, () => {
      this.#pauses.delete(timer)
      work()
    })
    this.#pauses.add(timer)
  }

  #giveUp(item: Item, failure: Failure): void {
    if (item.settled === undefined) this.#options.onDead(this.#channel, item.message, failure.reason)
    else item.settled(failure)
  }
}
