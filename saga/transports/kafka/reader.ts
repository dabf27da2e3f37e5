/**
 * Reads one topic for a group: from the broker to the handlers of this process, and back with offsets.
 *
 * Invariants:
 * - an offset is committed after its record, and every one before it, is settled: by a handler, or safe in the dead topic;
 * - commits go beside the path, on a timer: one takes longer than the handling of many records;
 * - when a partition goes to another member, what is still in hand of it is dropped here and comes again there;
 * - a partition without room is paused, so that what waits for its next try, or for its database, holds up no other;
 * - no handler is ever awaited inside the client, and nothing of ours is thrown into it: it would start all over.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Consumer, ConsumerGroupJoinEvent, EachBatchPayload, KafkaMessage } from 'kafkajs'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import { delivery, systemTimer, type Delivery } from '../delivery.ts'
import { RefusedError, type BatchHandler, type Message, type Subscription } from '../transport.ts'
import { assignBySubscription } from './assigner.ts'
import type { Client } from './client.ts'
import { Partition } from './partition.ts'
import type { Publisher } from './publisher.ts'
import { deadTopic, type Topics } from './topics.ts'
import { fromRecord, toDeadNotice, toDeadRecord, type Origin } from './wire.ts'
import { within } from './within.ts'

export interface ReaderOptions {
  readonly topic: string
  readonly group: string
  readonly open: () => Client
  readonly topics: Topics
  readonly publisher: Publisher
  /** Most records of one partition in hand, and in one batch. */
  readonly prefetch: number
  readonly retry: RetryPolicy
  readonly sessionTimeoutMs: number
  readonly onProblem: (what: string, messageId: string | null, cause: unknown) => void
}

/** A commit costs both sides about what a batch does; what is not committed comes again after a crash, which does no harm. */
const commitEveryMs = 300

/** While one record waits for its tries, this many after it are handled (and would come again after a crash). */
const mostWidth = 10_000

/** Longer the client is not kept waiting for room, since no other partition is fetched meanwhile. */
const patienceMs = 1_000

/** The client says that it lives, and hears that partitions are dealt anew, only between two fetches: they must be short. */
const longPollMs = 500

/** A broker that does not answer a farewell is left. */
const farewellMs = 3_000

/** Joining waits for all members, which have the session's time to come; and before that it may wait for a broker. */
const joinMs = (sessionTimeoutMs: number): number => 15_000 + 2 * sessionTimeoutMs

const again: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 2_000, jitter: 0.5 }

/** A membership in the group, from its beginning to its end. */
interface Session {
  readonly client: Client
  readonly consumer: Consumer
  /** By number. */
  readonly partitions: Map<number, Partition>
  memberId: string | null
  alive: boolean
  committing: Promise<void> | null
}

/** Where a message came from. */
interface Place {
  readonly session: Session
  readonly partition: Partition
  readonly record: KafkaMessage
  readonly origin: Origin
}

export class Reader {
  readonly #options: ReaderOptions
  readonly #delivery: Delivery
  readonly #partitions = new WeakMap<Message, Partition>()
  readonly #burials = new Set<Promise<void>>()
  readonly #waiters = new Set<() => void>()
  readonly #stop = new AbortController()
  readonly #stopped: Promise<void>
  readonly #running: Promise<void>
  #session: Session | null = null
  #members = 0
  #closing = false
  #closed: Promise<void> | null = null
  #lastProblem: string | null = null

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#delivery = delivery({
      maxBatch: options.prefetch,
      maxQueued: Infinity, // `prefetch` is the bound
      retry: options.retry,
      timer: systemTimer,
      onDead: () => undefined, // each message has its own answer
    })
    this.#stopped = new Promise((resolve) => this.#stop.signal.addEventListener('abort', () => resolve()))
    this.#running = this.#run()
  }

  /** Nobody reads here any more. */
  get idle(): boolean {
    return this.#members === 0
  }

  /** It is a member of the group now. */
  get reading(): boolean {
    return this.#session?.memberId != null
  }

  /** Adds a handler; closing it waits for its batch. The handlers of one reader share its messages. */
  join(handler: BatchHandler): Subscription {
    const { topic, group } = this.#options
    const isCurrent = (message: Message): boolean => this.#partitions.get(message)?.lost === false
    const member = this.#delivery.subscribe(topic, group, async (batch) => {
      const current = batch.filter(isCurrent)
      return current.length === 0 ? undefined : handler(current)
    })
    this.#members++
    this.#resumeWhere(this.#session)
    return {
      close: () => {
        this.#members--
        return member.close()
      },
    }
  }

  /** Waits for the batches in hand, commits what they settled, leaves the group. Ends within a bound, handlers aside. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing = true
    await this.#delivery.close()
    await within(farewellMs, 'burying', Promise.all(this.#burials)).catch(() => undefined)
    this.#stop.abort()
    await this.#running
  }

  /** One membership after the other, with growing pauses where there is none to be had. */
  async #run(): Promise<void> {
    const { signal } = this.#stop
    for (let failures = 1; !signal.aborted; failures++) {
      const session = this.#begin()
      try {
        await this.#read(session)
      } catch (error) {
        this.#reportOnce(error)
      }
      if (session.memberId !== null) failures = 1
      await this.#end(session)
      await pause(backoff(again, failures, 0, 0), undefined, { signal }).catch(() => undefined)
    }
  }

  #begin(): Session {
    const client = this.#options.open()
    const consumer = client.kafka.consumer({
      groupId: this.#options.group,
      partitionAssigners: [assignBySubscription],
      sessionTimeout: this.#options.sessionTimeoutMs,
      rebalanceTimeout: this.#options.sessionTimeoutMs,
      heartbeatInterval: Math.min(1_000, this.#options.sessionTimeoutMs / 3),
      maxWaitTimeInMs: longPollMs,
      minBytes: 1,
      allowAutoTopicCreation: false,
      retry: { retries: 5, restartOnFailure: async () => false },
    })
    return { client, consumer, partitions: new Map(), memberId: null, alive: true, committing: null }
  }

  /** Resolves when this reader stops. @throws Error where the membership cannot be had, or ends */
  async #read(session: Session): Promise<void> {
    const { consumer } = session
    const { topic, sessionTimeoutMs } = this.#options
    const crashed = new Promise<never>((_resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      // The client would go on with a connection that has gone silent.
      consumer.on(consumer.events.REQUEST_TIMEOUT, ({ payload }) => reject(new Error(`${payload.apiName}: no answer`)))
    })
    consumer.on(consumer.events.GROUP_JOIN, (event) => this.#joined(session, event))
    consumer.on(consumer.events.REBALANCING, () => void this.#commit(session))
    const start = async (): Promise<void> => {
      await this.#findTopics()
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 6,
        eachBatch: (payload) => this.#take(session, payload),
      })
    }
    await Promise.race([within(joinMs(sessionTimeoutMs), 'joining the group', start()), crashed, this.#stopped])
    await Promise.race([crashed, this.#stopped])
  }

  /** One that was there may have been deleted. Without a place for dead letters those wait, and all others are read. */
  async #findTopics(): Promise<void> {
    const { topic, topics, onProblem } = this.#options
    const dead = deadTopic(topic)
    for (const each of [topic, dead]) topics.forget(each)
    await topics.ensure(topic)
    await topics.ensure(dead).catch((cause: unknown) => onProblem(`${dead} is missing`, null, cause))
  }

  async #end(session: Session): Promise<void> {
    await within(farewellMs, 'the last commit', this.#commit(session)).catch(() => undefined)
    session.alive = false
    this.#session = null
    for (const partition of session.partitions.values()) partition.lost = true
    this.#stir()
    await within(farewellMs, 'leaving the group', session.consumer.disconnect()).catch(() => undefined)
    session.client.cut()
  }

  /** Partitions were dealt. Who keeps one goes on with what is in hand of it; under a new name nobody keeps any. */
  #joined(session: Session, { payload: { memberId, memberAssignment } }: ConsumerGroupJoinEvent): void {
    const { topic } = this.#options
    const ours = new Set(memberId === session.memberId ? memberAssignment[topic] : [])
    for (const partition of session.partitions.values()) {
      if (ours.has(partition.number)) partition.keep()
      else this.#lose(session, partition)
    }
    session.memberId = memberId
    this.#session = session
    this.#lastProblem = null
  }

  #lose(session: Session, partition: Partition): void {
    partition.lost = true
    session.partitions.delete(partition.number)
    if (partition.paused) this.#resume(session, partition) // it may come back, and the client would remember
  }

  async #take(session: Session, payload: EachBatchPayload): Promise<void> {
    const { partition: number, messages } = payload.batch
    const partition = this.#partition(session, number, Number(messages[0]?.offset))
    const patience = performance.now() + patienceMs
    for (const record of messages) {
      for (; !this.#hasRoom(partition, 1); await payload.heartbeat()) {
        if (performance.now() > patience) return this.#pause(session, partition)
        await this.#stirred(patienceMs / 4)
      }
      if (partition.lost || !payload.isRunning() || payload.isStale()) return
      if (partition.take(Number(record.offset))) this.#handOn(session, partition, record)
      payload.resolveOffset(record.offset)
    }
  }

  #partition(session: Session, number: number, offset: number): Partition {
    const known = session.partitions.get(number)
    if (known?.follows(offset) === true) return known
    if (known !== undefined) this.#lose(session, known)
    const partition = new Partition(number, offset)
    session.partitions.set(number, partition)
    return partition
  }

  /** @param share of the room that may be used at most */
  #hasRoom(partition: Partition, share: number): boolean {
    if (partition.lost) return true // for nothing: what is fetched of it is dropped
    if (this.#closing || this.#members === 0) return false
    return partition.inHand < this.#options.prefetch * share && partition.width < mostWidth * share
  }

  #pause({ consumer }: Session, partition: Partition): void {
    partition.paused = true
    attempt(() => consumer.pause([{ topic: this.#options.topic, partitions: [partition.number] }]))
  }

  #resume({ consumer }: Session, partition: Partition): void {
    partition.paused = false
    attempt(() => consumer.resume([{ topic: this.#options.topic, partitions: [partition.number] }]))
  }

  /** Not before half of the room is free: with every single record, the partition would soon be paused again. */
  #resumeWhere(session: Session | null): void {
    for (const partition of session?.partitions.values() ?? []) {
      if (session !== null && partition.paused && this.#hasRoom(partition, 0.5)) this.#resume(session, partition)
    }
  }

  #handOn(session: Session, partition: Partition, record: KafkaMessage): void {
    const { topic, group, retry } = this.#options
    const origin: Origin = { topic, partition: partition.number, offset: record.offset, group }
    const place: Place = { session, partition, record, origin }
    const read = fromRecord(record, origin)
    if (!read.ok) return this.#bury(place, null, read.why)
    const message = read.value
    this.#partitions.set(message, partition)
    this.#delivery.offerOne(topic, message, retry.tries, (failure) => {
      if (failure === null) this.#settle(place)
      else if (!partition.lost && !this.#closing) this.#bury(place, message.id, failure.reason)
    })
  }

  #settle({ session, partition, record }: Place): void {
    partition.settle(Number(record.offset))
    this.#stir()
    if (partition.lost) return
    if (partition.paused) this.#resumeWhere(session)
    this.#commitSoon(session)
  }

  #bury(place: Place, messageId: string | null, reason: string): void {
    const { topic, onProblem } = this.#options
    onProblem(`A message of ${topic} goes to ${deadTopic(topic)}`, messageId, reason)
    const burial = this.#carry(place, messageId, reason).finally(() => this.#burials.delete(burial))
    this.#burials.add(burial)
  }

  /** Publishes it there and then counts it as settled, as often as it takes; who loses its partition leaves it to others. */
  async #carry(place: Place, messageId: string | null, reason: string): Promise<void> {
    const { publisher, topic, onProblem } = this.#options
    let letter = toDeadRecord(place.record, place.origin, reason)
    for (let failures = 1; !place.partition.lost && !this.#stop.signal.aborted; failures++) {
      try {
        await publisher.publish(deadTopic(topic), [{ id: messageId ?? '' }], () => letter)
        return this.#settle(place)
      } catch (error) {
        onProblem(`A message of ${topic} waits for its way to ${deadTopic(topic)}`, messageId, error)
        if (error instanceof RefusedError) letter = toDeadNotice(place.origin, reason)
      }
      await pause(backoff(again, failures, 0, 0), undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
  }

  #commitSoon(session: Session): void {
    if (session.committing !== null || !session.alive) return
    session.committing = pause(commitEveryMs)
      .then(() => this.#commitNow(session))
      .then((further) => {
        session.committing = null
        if (further) this.#commitSoon(session)
      })
  }

  /** All that is settled by now. */
  async #commit(session: Session): Promise<void> {
    await this.#commitNow(session)
  }

  /** @returns whether there is more to commit: settled meanwhile, or because it failed */
  async #commitNow(session: Session): Promise<boolean> {
    const { topic } = this.#options
    const due = [...session.partitions.values()]
      .map((partition) => ({ partition, offset: partition.position }))
      .filter(({ partition, offset }) => offset > partition.committed)
    if (due.length === 0) return false
    try {
      await session.consumer.commitOffsets(
        due.map(({ partition, offset }) => ({ topic, partition: partition.number, offset: String(offset) })),
      )
      for (const { partition, offset } of due) partition.committed = Math.max(partition.committed, offset)
    } catch {
      // Partitions are being dealt anew, or the broker is away. What is not committed comes again.
      await pause(commitEveryMs)
    }
    return session.alive
  }

  #stir(): void {
    for (const resolve of this.#waiters) resolve()
    this.#waiters.clear()
  }

  /** Resolves when something is settled, and after a while in any case. */
  #stirred(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => waiter(), ms)
      const waiter = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        resolve()
      }
      this.#waiters.add(waiter)
    })
  }

  /** What hinders is told once, not with every attempt. */
  #reportOnce(cause: unknown): void {
    const problem = String(cause)
    if (problem === this.#lastProblem || this.#closing) return
    this.#lastProblem = problem
    const { topic, group, onProblem } = this.#options
    onProblem(`${topic} cannot be read for ${group}; it is tried again until it can`, null, cause)
  }
}

/** A consumer that has ended refuses: the next one fetches from every partition. */
function attempt(work: () => void): void {
  try {
    work()
  } catch {
    // As said above.
  }
}
