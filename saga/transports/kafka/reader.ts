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
import type { Consumer, ConsumerGroupJoinEvent, EachBatchPayload, KafkaMessage } from 'kafkajs'
import type { Clock } from '../../clock.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import type { OnProblem } from '../../problem.ts'
import { DeadLetterWriter } from '../dead-letters.ts'
import { Handlers } from '../handlers.ts'
import type { GroupReader } from '../readers.ts'
import { Sessions } from '../sessions.ts'
import type { BatchHandler, FailedMessage, Message, Subscription } from '../transport.ts'
import { pause, settledWithin, within } from '../within.ts'
import { assignBySubscription } from './assigner.ts'
import type { Client } from './client.ts'
import { Partition } from './partition.ts'
import type { Publisher } from './publisher.ts'
import { deadTopic, type Topics } from './topics.ts'
import { fromRecord, toDeadNotice, toDeadRecord, type Origin } from './wire.ts'

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
  readonly clock: Clock
  readonly report: OnProblem
}

/** A commit costs both sides about what a batch does; what is not committed comes again after a crash, which does no harm. */
const commitEveryMs = 300

/** While one record waits for its tries, this many after it are handled (and would come again after a crash). */
const mostWidth = 10_000

/** Longer the client is not kept waiting for room, since no other partition is fetched meanwhile. */
const patienceMs = 1_000

/** The client says that it lives, and hears that partitions are dealt anew, only between two fetches: they must be short. */
const longPollMs = 500

/** A broker that does not answer when it is left is cut off. */
const disconnectMs = 3_000

/** Joining waits for all members, which have the session's time to come; and before that it may wait for a broker. */
const joinMs = (sessionTimeoutMs: number): number => 15_000 + 2 * sessionTimeoutMs

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

/** A record in hand. */
interface HeldRecord {
  readonly session: Session
  readonly partition: Partition
  readonly record: KafkaMessage
  readonly origin: Origin
}

export class Reader implements GroupReader {
  readonly #options: ReaderOptions
  readonly #handlers: Handlers
  readonly #deadLetters: DeadLetterWriter
  readonly #sessions: Sessions
  readonly #partitions = new WeakMap<Message, Partition>()
  readonly #waiters = new Set<() => void>()
  #session: Session | null = null
  #closed: Promise<void> | null = null

  constructor(options: ReaderOptions) {
    const { topic, group } = options
    this.#options = options
    this.#handlers = new Handlers({
      ...options,
      source: topic,
      hand: (batch, handler) => this.#hand(batch, handler),
      onJoined: () => this.#resumeWhere(this.#session),
    })
    this.#deadLetters = new DeadLetterWriter(options.clock, options.report)
    this.#sessions = new Sessions({
      ...options,
      run: () => this.#run(),
      explain: () => ({ what: `${topic} cannot be read for ${group}; it is tried again until it can` }),
    })
    this.#sessions.start()
  }

  get idle(): boolean {
    return this.#handlers.none
  }

  /** It is a member of the group now. */
  get ready(): boolean {
    return this.#session?.memberId != null
  }

  join(handler: BatchHandler): Subscription {
    return this.#handlers.join(handler)
  }

  /** Waits for the batches in hand, commits what they settled, leaves the group. Ends within a bound, handlers aside. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#handlers.close()
    await this.#deadLetters.close(disconnectMs)
    await this.#sessions.stop()
  }

  async #hand(batch: readonly Message[], handler: BatchHandler): Promise<readonly FailedMessage[] | void> {
    const current = batch.filter((message) => this.#partitions.get(message)?.lost === false)
    return current.length === 0 ? undefined : handler(current)
  }

  /** One membership, from its beginning to its end. */
  async #run(): Promise<void> {
    const session = this.#begin()
    try {
      await this.#read(session)
    } finally {
      await this.#end(session)
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
    const { topic, sessionTimeoutMs, clock } = this.#options
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
    const { stopped } = this.#sessions
    const joined = within(clock, joinMs(sessionTimeoutMs), start(), 'joining the group')
    await Promise.race([joined, crashed, stopped])
    await Promise.race([crashed, stopped])
  }

  /** One that was there may have been deleted. Without a place for dead letters those wait, and all others are read. */
  async #findTopics(): Promise<void> {
    const { topic, topics, report } = this.#options
    const dead = deadTopic(topic)
    for (const each of [topic, dead]) topics.forget(each)
    await topics.ensure(topic)
    await topics
      .ensure(dead)
      .catch((cause: unknown) => report({ what: `${dead} is missing`, needsPerson: false, cause }))
  }

  async #end(session: Session): Promise<void> {
    const { clock } = this.#options
    await settledWithin(clock, disconnectMs, this.#commit(session))
    session.alive = false
    this.#session = null
    for (const partition of session.partitions.values()) partition.lost = true
    this.#stir()
    await settledWithin(clock, disconnectMs, session.consumer.disconnect())
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
    this.#sessions.works()
  }

  #lose(session: Session, partition: Partition): void {
    partition.lost = true
    session.partitions.delete(partition.number)
    if (partition.paused) this.#resume(session, partition) // it may come back, and the client would remember
  }

  async #take(session: Session, payload: EachBatchPayload): Promise<void> {
    const { partition: number, messages } = payload.batch
    const partition = this.#partition(session, number, Number(messages[0]?.offset))
    const { clock } = this.#options
    const patience = clock.elapsed() + patienceMs
    for (const record of messages) {
      for (; !this.#hasRoom(partition, 1); await payload.heartbeat()) {
        if (clock.elapsed() > patience) return this.#pause(session, partition)
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
    if (!this.#handlers.taking) return false
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
    const { topic, group } = this.#options
    const origin: Origin = { topic, partition: partition.number, offset: record.offset, group }
    const held: HeldRecord = { session, partition, record, origin }
    const read = fromRecord(record, origin)
    if (!read.ok) return this.#deadLetter(held, undefined, read.why)
    const message = read.value
    this.#partitions.set(message, partition)
    this.#handlers.offer(message, (failure) => {
      if (failure === null) this.#settle(held)
      else if (!partition.lost && !this.#handlers.closing) this.#deadLetter(held, message, failure.reason)
    })
  }

  #settle({ session, partition, record }: HeldRecord): void {
    partition.settle(Number(record.offset))
    this.#stir()
    if (partition.lost) return
    if (partition.paused) this.#resumeWhere(session)
    this.#commitSoon(session)
  }

  /** Once it is there, it counts as settled. */
  #deadLetter(held: HeldRecord, message: Message | undefined, reason: string): void {
    const { publisher, topic, clock } = this.#options
    const { partition, record, origin } = held
    const [to, cause] = [deadTopic(topic), { reason, at: clock.now() }]
    const written = toDeadRecord(record, origin, cause)
    this.#deadLetters.write({
      from: topic,
      to,
      message,
      reason,
      isOurs: () => !partition.lost,
      send: (bare) =>
        publisher.publish(to, [{ id: message?.id ?? '' }], () => (bare ? toDeadNotice(origin, cause) : written)),
      done: () => this.#settle(held),
    })
  }

  #commitSoon(session: Session): void {
    if (session.committing !== null || !session.alive) return
    session.committing = pause(this.#options.clock, commitEveryMs)
      .then(() => this.#commit(session))
      .then((further) => {
        session.committing = null
        if (further) this.#commitSoon(session)
      })
  }

  /** Commits all that is settled. @returns whether there is more to commit: settled meanwhile, or because it failed */
  async #commit(session: Session): Promise<boolean> {
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
      await pause(this.#options.clock, commitEveryMs)
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
      const waiter = (): void => {
        timer.cancel()
        this.#waiters.delete(waiter)
        resolve()
      }
      const timer = this.#options.clock.after(ms, waiter)
      this.#waiters.add(waiter)
    })
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
