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
 * - what the broker refuses is found by halving the batch, and rejects alone.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Partitioners, type Message as KafkaRecord, type Producer } from 'kafkajs'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import type { Client } from './client.ts'
import { PublishError } from './publish-error.ts'
import type { Topics } from './topics.ts'
import { sizeOf } from './wire.ts'
import { within } from './within.ts'

/** What one `publish` was given. */
interface Order {
  readonly topic: string
  /** Records that are not acknowledged. */
  left: number
  sent: boolean
  over: boolean
  /** Why the last try failed. */
  cause: unknown
  end(error: unknown): void
}

interface Parcel {
  readonly order: Order
  readonly record: KafkaRecord
  readonly bytes: number
}

interface Link {
  readonly client: Client
  readonly producer: Producer
  readonly connected: Promise<void>
}

/** The records of a request for one partition are one batch, and brokers take batches of 1,048,588 bytes by default. */
const mostBytes = 900_000

/** What is wrong with these records stays wrong, however often they are sent. */
const refusals = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'INVALID_TOPIC_EXCEPTION',
  'POLICY_VIOLATION',
  'TOPIC_AUTHORIZATION_FAILED',
])

const again: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 1_000, jitter: 0.5 }

/** A cluster that does not answer a farewell is left. */
const farewellMs = 2_000

export class Publisher {
  readonly #open: () => Client
  readonly #topics: Topics
  readonly #timeoutMs: number
  #waiting: Parcel[] = []
  #sending: Promise<void> | null = null
  #link: Link | null = null

  constructor(open: () => Client, topics: Topics, timeoutMs: number) {
    this.#open = open
    this.#topics = topics
    this.#timeoutMs = timeoutMs
  }

  /** @throws PublishError */
  publish(topic: string, records: readonly KafkaRecord[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const order: Order = {
        topic,
        left: records.length,
        sent: false,
        over: false,
        cause: null,
        end: (error) => {
          clearTimeout(timer)
          order.over = true
          if (error === null) resolve()
          else reject(describe(error, order, records.length))
        },
      }
      const timer = setTimeout(() => order.end(order.cause ?? noAnswer(this.#timeoutMs)), this.#timeoutMs)
      const enqueue = (): void => this.#enqueue(order, records)
      this.#topics.ensure(topic).then(enqueue, (error: unknown) => order.end(error))
    })
  }

  /** Waits for what is under way, which ends within its bound. */
  async close(): Promise<void> {
    while (this.#sending !== null) await this.#sending
    const link = this.#link
    this.#link = null
    await within(farewellMs, 'leaving Kafka', link?.producer.disconnect() ?? Promise.resolve()).catch(() => undefined)
    link?.client.cut()
  }

  #enqueue(order: Order, records: readonly KafkaRecord[]): void {
    if (order.over) return
    for (const record of records) this.#waiting.push({ order, record, bytes: sizeOf(record) })
    this.#sending ??= this.#run().finally(() => (this.#sending = null))
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await new Promise(setImmediate) // what this turn still brings goes along
      await this.#deliver(this.#take())
    }
  }

  #take(): readonly Parcel[] {
    let bytes = 0
    const tooMuch = this.#waiting.findIndex((parcel, index) => (bytes += parcel.bytes) > mostBytes && index > 0)
    return this.#waiting.splice(0, tooMuch === -1 ? this.#waiting.length : tooMuch)
  }

  /** Ends when each of the parcels is acknowledged, refused, or no longer waited for. */
  async #deliver(parcels: readonly Parcel[]): Promise<void> {
    for (let failures = 1; ; failures++) {
      const open = parcels.filter(({ order }) => !order.over)
      if (open.length === 0) return
      try {
        await this.#send(open)
        return acknowledge(open)
      } catch (error) {
        if (refusals.has(typeOf(error))) return this.#divide(open, error)
        for (const { order } of open) order.cause = error
      }
      await pause(backoff(again, failures, 0, 0))
      if (failures > 1) await this.#lookForTopics(open)
    }
  }

  async #divide(parcels: readonly Parcel[], refusal: unknown): Promise<void> {
    const half = Math.ceil(parcels.length / 2)
    if (parcels.length === 1) return parcels[0]?.order.end(refusal)
    await this.#deliver(parcels.slice(0, half))
    await this.#deliver(parcels.slice(half))
  }

  async #send(parcels: readonly Parcel[]): Promise<void> {
    const link = (this.#link ??= this.#connect())
    try {
      await within(this.#timeoutMs, 'connecting to Kafka', link.connected)
      for (const { order } of parcels) order.sent = true
      await within(this.#timeoutMs, 'sending', link.producer.sendBatch({ acks: -1, topicMessages: byTopic(parcels) }))
    } catch (error) {
      this.#link = null
      link.producer.disconnect().catch(() => undefined)
      link.client.cut()
      throw error
    }
  }

  #connect(): Link {
    const client = this.#open()
    const producer = client.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    })
    return { client, producer, connected: producer.connect() }
  }

  /** One may have been deleted. */
  async #lookForTopics(parcels: readonly Parcel[]): Promise<void> {
    for (const topic of new Set(parcels.map(({ order }) => order.topic))) {
      this.#topics.forget(topic)
      await this.#topics.ensure(topic).catch(() => undefined)
    }
  }
}

function acknowledge(parcels: readonly Parcel[]): void {
  for (const { order } of parcels) {
    order.left--
    if (order.left === 0 && !order.over) order.end(null)
  }
}

function byTopic(parcels: readonly Parcel[]): { topic: string; messages: KafkaRecord[] }[] {
  const topics = new Map<string, KafkaRecord[]>()
  for (const { order, record } of parcels) {
    const records = topics.get(order.topic)
    if (records === undefined) topics.set(order.topic, [record])
    else records.push(record)
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }))
}

/** The broker's name for an error, also where the client has wrapped it. */
function typeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return 'type' in error && typeof error.type === 'string' ? error.type : typeOf(error.cause)
}

const noAnswer = (ms: number): Error => new Error(`no answer within ${ms} ms`)

function describe(error: unknown, { topic, sent }: Order, count: number): PublishError {
  const why = error instanceof Error ? error.message : String(error)
  const messages = `${count} message${count === 1 ? '' : 's'} to ${topic}`
  const type = typeOf(error)
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
    const what = `Kafka refused ${messages}: larger than its topic allows (max.message.bytes). Send less, or raise that.`
    return new PublishError('refused', what, error)
  }
  if (refusals.has(type)) return new PublishError('refused', `Kafka refused ${messages}: ${why}`, error)
  return sent
    ? new PublishError('outcome_unknown', `${messages} were sent but not confirmed (${why}): publish again`, error)
    : new PublishError('not_sent', `${messages} were not sent (${why}): publish again later`, error)
}
