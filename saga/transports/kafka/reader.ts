/**
 * Reads the topics of one group: from the broker to the handlers of this process, and back with offsets. All of them go
 * through one member of the group: the client expects every member to read the same topics.
 *
 * Invariants:
 * - an offset is committed after its record, and every one before it, is settled: by a handler, or safe in the dead topic;
 * - commits go beside the path, on a timer: one takes longer than the handling of many records;
 * - when the partitions of a group are dealt anew, what waits here of one that goes to another member is dropped: it comes
 *   again there. Of one that stays, what comes again is known;
 * - nothing is thrown into the client: it would fetch every partition again from its last commit.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Consumer, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import { delivery, systemTimer, type Delivery } from '../delivery.ts'
import type { BatchHandler, Message, Subscription } from '../transport.ts'
import { Offsets } from './offsets.ts'
import type { Publisher } from './publisher.ts'
import type { Topics } from './topics.ts'
import { fromRecord, toDeadRecord, type Origin } from './wire.ts'
import { within } from './within.ts'

export interface ReaderOptions {
  readonly kafka: Kafka
  readonly topics: Topics
  readonly publisher: Publisher
  readonly group: string
  /** Most records of one partition in hand, and in one batch. */
  readonly prefetch: number
  readonly retry: RetryPolicy
  readonly sessionTimeoutMs: number
  readonly onProblem: (what: string, messageId: string | null, cause: unknown) => void
}

export const deadTopic = (topic: string): string => `${topic}.dead`

const commitEveryMs = 50

/** Costs no latency when something comes; a member that leaves waits for the end of one. */
const longPollMs = 500

/** A handler that is slow must not cost the membership: so often is said, meanwhile, that this member lives. */
const heartbeatMs = 1_000

/** A broker that does not answer a farewell is left. */
const farewellMs = 5_000

const again: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 5_000, jitter: 0.5 }

/** A partition that this member reads. */
interface Partition {
  readonly topic: string
  readonly partition: number
  readonly offsets: Offsets
  /** Another member reads it now. */
  lost: boolean
}

/** A topic and its handlers here. They share its messages. */
interface Feed {
  readonly topic: string
  readonly delivery: Delivery
  members: number
  closed: boolean
  /** Resolves when its partitions have been dealt for the first time. */
  readonly established: Promise<void>
  establish(): void
}

/** A record that is to go to the dead topic. */
interface GivenUp {
  readonly from: Partition
  readonly record: KafkaMessage
  readonly origin: Origin
  readonly settled: () => void
}

export class Reader {
  readonly #options: ReaderOptions
  readonly #feeds = new Map<string, Feed>()
  readonly #origins = new WeakMap<Message, Partition>()
  readonly #burials = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #running: Promise<void> | null = null
  /** By topic and number. */
  readonly #partitions = new Map<string, Partition>()
  #consumer: Consumer | null = null
  /** Ends the consumer, for one that reads the topics of now. */
  #change: () => void = () => undefined
  #committing: Promise<void> | null = null
  #stirred: () => void = () => undefined
  #closed: Promise<void> | null = null
  #lastProblem: string | null = null

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  /** Reads no topic any more. */
  get idle(): boolean {
    return this.#feeds.size === 0
  }

  /** Adds a handler; closing it waits for its batch. @returns also when its topic is read for the first time */
  join(topic: string, handler: BatchHandler): { readonly established: Promise<void>; readonly member: Subscription } {
    const known = this.#feeds.get(topic)
    const feed = known ?? this.#open(topic)
    const isCurrent = (message: Message): boolean => this.#origins.get(message)?.lost === false
    const member = feed.delivery.subscribe(topic, this.#options.group, async (batch) => {
      const current = batch.filter(isCurrent)
      return current.length === 0 ? undefined : handler(current)
    })
    feed.members++
    if (known === undefined) this.#change()
    else this.#stir()
    this.#running ??= this.#run()
    return { established: feed.established, member: { close: () => this.#leaveFeed(feed, member) } }
  }

  #open(topic: string): Feed {
    let establish = (): void => undefined
    const established = new Promise<void>((resolve) => (establish = resolve))
    const feed: Feed = {
      topic,
      members: 0,
      closed: false,
      established,
      establish,
      delivery: delivery({
        maxBatch: this.#options.prefetch,
        maxQueued: Infinity, // `prefetch` is the bound
        retry: this.#options.retry,
        timer: systemTimer,
        onDead: () => undefined, // each message has its own answer
      }),
    }
    this.#feeds.set(topic, feed)
    return feed
  }

  async #leaveFeed(feed: Feed, member: Subscription): Promise<void> {
    feed.members--
    await member.close()
    if (feed.members > 0 || feed.closed) return
    feed.closed = true
    this.#feeds.delete(feed.topic)
    this.#pause([feed.topic])
    await feed.delivery.close()
    await this.#commit()
    this.#lose(({ topic }) => topic === feed.topic)
    this.#change()
  }

  /** Waits for the batches in hand, commits what they settled, leaves the group. Ends within a bound, handlers aside. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    this.#pause([...this.#feeds.keys()])
    await Promise.all([...this.#feeds.values()].map((feed) => feed.delivery.close()))
    await within(farewellMs, 'burying', Promise.allSettled(this.#burials)).catch(() => undefined)
    this.#change()
    await this.#running
  }

  /** What is not handed on is fetched again at once, over and over, unless it is paused. */
  #pause(topics: readonly string[]): void {
    try {
      this.#consumer?.pause(topics.map((topic) => ({ topic })))
    } catch {
      // It does not run yet, or no more.
    }
  }

  get #closing(): boolean {
    return this.#stop.signal.aborted
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#closing;) {
      await new Promise<void>((resolve) => setImmediate(resolve)) // topics that come or go in one turn cost one change
      const topics = [...this.#feeds.keys()]
      if (topics.length === 0) return void (this.#running = null)
      try {
        await this.#options.topics.ensure(topics.flatMap((topic) => [topic, deadTopic(topic)]))
        const changed = await this.#consume(topics)
        if (changed) continue
        failures = 0
      } catch (error) {
        this.#reportOnce(error)
      }
      await pause(backoff(again, ++failures, 0, 0), undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
  }

  /** One consumer, for as long as it can go on by itself. @returns whether it ended because the topics are others now */
  async #consume(topics: readonly string[]): Promise<boolean> {
    const { kafka, group, sessionTimeoutMs } = this.#options
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval: heartbeatMs,
      rebalanceTimeout: sessionTimeoutMs,
      maxWaitTimeInMs: longPollMs,
      minBytes: 1,
      allowAutoTopicCreation: false,
      retry: { restartOnFailure: async () => true },
    })
    const { GROUP_JOIN, CRASH, REBALANCING } = consumer.events
    consumer.on(GROUP_JOIN, ({ payload }) => this.#dealt(topics, payload.memberAssignment))
    consumer.on(REBALANCING, () => void this.#commit())
    const ended = new Promise<boolean>((resolve) => {
      consumer.on(CRASH, ({ payload }) => {
        if (!payload.restart) resolve(false)
      })
      this.#change = () => resolve(true)
    })
    if (!sameTopics(topics, this.#feeds)) return true
    this.#consumer = consumer
    const timer = setInterval(() => void this.#commit(), commitEveryMs)
    try {
      await Promise.race([this.#begin(consumer, topics), ended])
      return await ended
    } finally {
      clearInterval(timer)
      await this.#leave(consumer)
    }
  }

  async #begin(consumer: Consumer, topics: readonly string[]): Promise<void> {
    await consumer.connect()
    await consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 6,
      eachBatch: (payload) => this.#read(payload),
    })
  }

  async #leave(consumer: Consumer): Promise<void> {
    await within(farewellMs, 'the last commit', this.#commit()).catch(() => undefined)
    this.#consumer = null
    if (this.#closing) this.#lose(() => true)
    await within(farewellMs, 'leaving the group', consumer.disconnect()).catch(() => undefined)
  }

  #dealt(topics: readonly string[], mine: Readonly<Record<string, readonly number[]>>): void {
    this.#lose(({ topic, partition }) => mine[topic]?.includes(partition) !== true)
    this.#lastProblem = null
    this.#stir()
    for (const topic of topics) this.#feeds.get(topic)?.establish()
  }

  #lose(gone: (partition: Partition) => boolean): void {
    for (const [key, partition] of this.#partitions) {
      if (!gone(partition)) continue
      partition.lost = true
      this.#partitions.delete(key)
    }
  }

  async #read({ batch, heartbeat, isRunning, isStale, resolveOffset }: EachBatchPayload): Promise<void> {
    const feed = this.#feeds.get(batch.topic)
    if (feed === undefined) return
    const from = this.#partition(batch.topic, batch.partition)
    const { offsets } = from
    const over = (): boolean => this.#closing || feed.closed || from.lost || !isRunning() || isStale()
    for (const record of batch.messages) {
      while ((feed.members === 0 || offsets.unsettled >= this.#options.prefetch) && !over()) {
        await this.#nextStir()
        await heartbeat()
      }
      if (over()) return
      if (!offsets.knows(record.offset)) this.#handOn(feed, from, record)
      resolveOffset(record.offset)
    }
    await heartbeat()
  }

  /** Resolves when something is settled or a handler comes, and after a while in any case. */
  async #nextStir(): Promise<void> {
    const waiting = new AbortController()
    const stir = new Promise<void>((resolve) => {
      const before = this.#stirred
      this.#stirred = () => {
        before()
        resolve()
      }
    })
    const late = pause(heartbeatMs / 2, undefined, { signal: waiting.signal }).catch(() => undefined)
    await Promise.race([stir, late])
    waiting.abort()
  }

  #handOn(feed: Feed, from: Partition, record: KafkaMessage): void {
    const { topic, partition, offsets } = from
    const origin: Origin = { topic, partition, offset: record.offset, group: this.#options.group }
    const settle = offsets.came(record.offset)
    const settled = (): void => {
      settle()
      this.#stir()
    }
    const read = fromRecord(record, origin)
    if (!read.ok) return this.#bury({ from, record, origin, settled }, null, read.why)
    const message = read.value
    this.#origins.set(message, from)
    feed.delivery.offerOne(topic, message, this.#options.retry.tries, (failure) => {
      if (failure === null) settled()
      else if (!from.lost && !this.#closing && !feed.closed)
        this.#bury({ from, record, origin, settled }, message.id, failure)
    })
  }

  #partition(topic: string, partition: number): Partition {
    const key = `${topic}/${partition}`
    const known = this.#partitions.get(key)
    if (known !== undefined) return known
    const made: Partition = { topic, partition, offsets: new Offsets(), lost: false }
    this.#partitions.set(key, made)
    return made
  }

  #stir(): void {
    const stirred = this.#stirred
    this.#stirred = () => undefined
    stirred()
  }

  #bury(given: GivenUp, messageId: string | null, reason: string): void {
    const { topic } = given.origin
    this.#options.onProblem(`A message of ${topic} goes to ${deadTopic(topic)}`, messageId, reason)
    const burial = this.#carry(given, reason).finally(() => this.#burials.delete(burial))
    this.#burials.add(burial)
  }

  /** Publishes it there and then counts it as settled, as often as it takes; a partition that is lost leaves it to the next member. */
  async #carry({ from, record, origin, settled }: GivenUp, reason: string): Promise<void> {
    const { publisher, onProblem } = this.#options
    const dead = deadTopic(origin.topic)
    for (let failures = 1; !from.lost; failures++) {
      try {
        await publisher.publish(dead, [toDeadRecord(record, origin, reason)])
        return settled()
      } catch (error) {
        onProblem(`A message of ${origin.topic} waits for its way to ${dead}`, null, error)
      }
      await pause(backoff(again, failures, 0, 0), undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
  }

  #commit(): Promise<void> {
    this.#committing ??= this.#commitDue().finally(() => (this.#committing = null))
    return this.#committing
  }

  async #commitDue(): Promise<void> {
    const consumer = this.#consumer
    const due = [...this.#partitions.values()].flatMap(({ topic, partition, offsets }) =>
      offsets.due === null ? [] : [{ topic, partition, offset: offsets.due, offsets }],
    )
    if (due.length === 0 || consumer === null) return
    try {
      await consumer.commitOffsets(due.map(({ topic, partition, offset }) => ({ topic, partition, offset })))
      for (const { offset, offsets } of due) offsets.committed(offset)
    } catch {
      // The partitions are being dealt anew, or the broker is away. What is not committed comes again.
    }
  }

  /** What hinders is told once, not with every attempt. */
  #reportOnce(cause: unknown): void {
    const problem = String(cause)
    if (problem === this.#lastProblem || this.#closing) return
    this.#lastProblem = problem
    const what = `Group ${this.#options.group} cannot read its topics; it is tried again until it can`
    this.#options.onProblem(what, null, cause)
  }
}

const sameTopics = (topics: readonly string[], feeds: ReadonlyMap<string, Feed>): boolean =>
  topics.length === feeds.size && topics.every((topic) => feeds.has(topic))
