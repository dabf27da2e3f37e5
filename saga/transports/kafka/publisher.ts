/**
 * Publishes records and waits until every in-sync replica has them. One send is in flight; what gathers meanwhile is the
 * next batch.
 *
 * Invariants:
 * - `publish` resolves only after the acknowledgement, and ends within a bound in any case. What was not sent by then never
 *   will be: "not sent" is certain;
 * - until then a batch that failed is sent again, so a broker that changes or restarts in time costs only time;
 * - a producer that failed is not used again. Its sequence numbers are those of records that the broker may have, and it
 *   would take the next ones for repeats of these: acknowledged, and lost;
 * - one record that can never be sent holds up no other: what cannot be written is found before it joins a batch, what the
 *   broker refuses by halving the batch; the rest of its call goes out, and then the call rejects with the refused ones.
 */
import type { Message as KafkaRecord, Producer } from 'kafkajs'
import type { Clock } from '../../clock.ts'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import { RefusedError } from '../transport.ts'
import { pause, settledWithin, within } from '../within.ts'
import type { Client } from './client.ts'
import { kafkajs } from './driver.ts'
import { PublishError } from './publish-error.ts'
import type { Topics } from './topics.ts'
import { sizeOf } from './wire.ts'

/** What one `publish` was given. */
interface PublishCall {
  readonly topic: string
  readonly count: number
  /** Records that are neither acknowledged nor refused. */
  left: number
  readonly refused: { readonly id: string; readonly why: unknown }[]
  sent: boolean
  over: boolean
  /** Why the last try failed. */
  cause: unknown
  end(error: Error | null): void
}

interface PendingRecord {
  readonly call: PublishCall
  readonly id: string
  readonly record: KafkaRecord
  readonly bytes: number
}

interface PublisherOptions {
  readonly timeoutMs: number
  readonly clock: Clock
}

interface Connection {
  readonly client: Client
  readonly producer: Producer
  readonly connected: Promise<void>
}

/** The records of a request for one partition are one batch, and brokers take batches of 1,048,588 bytes by default. */
const mostBytes = 900_000

/** Brokers hang up, without a word, on requests of more than 104,857,600 bytes (`socket.request.max.bytes`). */
const mostRecordBytes = 100_000_000

/** What is wrong with these records stays wrong, however often they are sent. */
const refusals = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'INVALID_TOPIC_EXCEPTION',
  'POLICY_VIOLATION',
])

/** No fault of the records; but somebody must grant it first, and other topics do not wait for that. */
const denial = 'TOPIC_AUTHORIZATION_FAILED'

const again: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 1_000, jitter: 0.5 }

/** A cluster that does not answer when it is left is cut off. */
const disconnectMs = 2_000

export class Publisher {
  readonly #open: () => Client
  readonly #topics: Topics
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #unanswered = new Set<Promise<void>>()
  #waiting: PendingRecord[] = []
  #sending: Promise<void> | null = null
  #connection: Connection | null = null

  constructor(open: () => Client, topics: Topics, { timeoutMs, clock }: PublisherOptions) {
    this.#open = open
    this.#topics = topics
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /**
   * @param encode writes one; where it throws, that one is refused
   * @throws RefusedError with the ids of what can never be sent; all else is acknowledged
   * @throws PublishError
   */
  publish<Item extends { readonly id: string }>(
    topic: string,
    items: readonly Item[],
    encode: (item: Item) => KafkaRecord,
  ): Promise<void> {
    const published = new Promise<void>((resolve, reject) => {
      const call: PublishCall = {
        topic,
        count: items.length,
        left: items.length,
        refused: [],
        sent: false,
        over: false,
        cause: null,
        end: (error) => {
          timer.cancel()
          call.over = true
          if (error === null) resolve()
          else reject(error)
        },
      }
      const timer = this.#clock.after(this.#timeoutMs, () => fail(call, call.cause ?? noAnswer(this.#timeoutMs)))
      const records = items.flatMap((item) => pendingOf(call, item, encode) ?? [])
      if (records.length === 0) return
      this.#topics.ensure(topic).then(
        () => this.#enqueue(call, records),
        (error: unknown) => fail(call, error),
      )
    })
    this.#unanswered.add(published)
    return published.finally(() => this.#unanswered.delete(published))
  }

  /** Waits for what is under way, which ends within its bound. To be called when nobody publishes any more. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#unanswered)
    await this.#sending
    const connection = this.#connection
    this.#connection = null
    await settledWithin(this.#clock, disconnectMs, connection?.producer.disconnect() ?? Promise.resolve())
    connection?.client.cut()
  }

  #enqueue(call: PublishCall, records: readonly PendingRecord[]): void {
    if (call.over) return
    for (const pending of records) this.#waiting.push(pending)
    this.#sending ??= this.#run().finally(() => (this.#sending = null))
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await new Promise(setImmediate) // what this turn still brings goes along
      await this.#deliver(this.#take())
    }
  }

  #take(): readonly PendingRecord[] {
    let bytes = 0
    const tooMuch = this.#waiting.findIndex((pending, index) => (bytes += pending.bytes) > mostBytes && index > 0)
    return this.#waiting.splice(0, tooMuch === -1 ? this.#waiting.length : tooMuch)
  }

  /** Ends when each of the records is acknowledged, refused, or no longer waited for. */
  async #deliver(records: readonly PendingRecord[]): Promise<void> {
    for (let failures = 1; ; failures++) {
      const open = records.filter(({ call }) => !call.over)
      if (open.length === 0) return
      try {
        await this.#send(open)
        for (const { call } of open) settle(call)
        return
      } catch (error) {
        if (refusals.has(typeOf(error)) || typeOf(error) === denial) return this.#divide(open, error)
        for (const { call } of open) call.cause = error
      }
      await pause(this.#clock, backoff(again, failures, 0, 0))
      if (failures > 1) await this.#lookForTopics(open)
    }
  }

  async #divide(records: readonly PendingRecord[], refusal: unknown): Promise<void> {
    const [first, ...others] = records
    if (first !== undefined && others.length === 0) {
      if (typeOf(refusal) === denial) fail(first.call, refusal)
      else refuse(first.call, first.id, refusal)
      return
    }
    const half = Math.ceil(records.length / 2)
    await this.#deliver(records.slice(0, half))
    await this.#deliver(records.slice(half))
  }

  async #send(records: readonly PendingRecord[]): Promise<void> {
    const connection = (this.#connection ??= this.#connect())
    try {
      await within(this.#clock, this.#timeoutMs, connection.connected, 'connecting to Kafka')
      for (const { call } of records) call.sent = true
      const sending = connection.producer.sendBatch({ acks: -1, topicMessages: byTopic(records) })
      await within(this.#clock, this.#timeoutMs, sending, 'sending')
    } catch (error) {
      this.#connection = null
      connection.producer.disconnect().catch(() => undefined)
      connection.client.cut()
      throw error
    }
  }

  #connect(): Connection {
    const client = this.#open()
    const producer = client.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    })
    return { client, producer, connected: producer.connect() }
  }

  /** One may have been deleted. */
  async #lookForTopics(records: readonly PendingRecord[]): Promise<void> {
    for (const topic of new Set(records.map(({ call }) => call.topic))) {
      this.#topics.forget(topic)
      await this.#topics.ensure(topic).catch(() => undefined)
    }
  }
}

/** All that the client reads of a record is read here first: it fails for a whole batch, and in no way that tells why. */
function pendingOf<Item extends { readonly id: string }>(
  call: PublishCall,
  item: Item,
  encode: (item: Item) => KafkaRecord,
): PendingRecord | null {
  try {
    const record = encode(item)
    const bytes = sizeOf(record)
    if (bytes > mostRecordBytes) throw new RangeError(`it has more than ${mostRecordBytes} bytes`)
    return { call, id: item.id, record, bytes }
  } catch (error) {
    refuse(call, item.id, error)
    return null
  }
}

/** One record of the call is acknowledged, or refused. */
function settle(call: PublishCall): void {
  call.left--
  if (call.left === 0 && !call.over) call.end(call.refused.length === 0 ? null : refusalOf(call))
}

function refuse(call: PublishCall, id: string, why: unknown): void {
  call.refused.push({ id, why })
  settle(call)
}

function fail(call: PublishCall, error: unknown): void {
  if (!call.over) call.end(failureOf(call, error))
}

function byTopic(records: readonly PendingRecord[]): { topic: string; messages: KafkaRecord[] }[] {
  const topics = new Map<string, KafkaRecord[]>()
  for (const { call, record } of records) {
    const known = topics.get(call.topic)
    if (known === undefined) topics.set(call.topic, [record])
    else known.push(record)
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }))
}

/** The broker's name for an error, also where the client has wrapped it. */
function typeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return 'type' in error && typeof error.type === 'string' ? error.type : typeOf(error.cause)
}

const noAnswer = (ms: number): Error => new Error(`no answer within ${ms} ms`)

const counted = (count: number): string => `${count} message${count === 1 ? '' : 's'}`

function refusalOf({ topic, count, refused }: PublishCall): RefusedError {
  const cause = refused[0]?.why
  const of = refused.length === count ? '' : ` of ${count}`
  const what = `${counted(refused.length)}${of} to ${topic} can never be sent: ${remedyOf(cause)}`
  return new RefusedError(
    what,
    refused.map(({ id }) => id),
    { cause },
  )
}

function remedyOf(refusal: unknown): string {
  const type = typeOf(refusal)
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
    return 'larger than its topic allows (max.message.bytes). Send less, or raise that.'
  }
  return reasonOf(refusal)
}

function failureOf({ topic, count, sent }: PublishCall, cause: unknown): PublishError {
  const [messages, why] = [`${counted(count)} to ${topic}`, reasonOf(cause)]
  return sent
    ? new PublishError('outcome_unknown', `${messages} were sent but not confirmed (${why}): publish again`, cause)
    : new PublishError('not_sent', `${messages} were not sent (${why}): publish again later`, cause)
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
