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
 *   broker refuses by halving the batch; the rest of its order goes out, and then the order rejects with the refused ones.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Partitioners, type Message as KafkaRecord, type Producer } from 'kafkajs'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import { RefusedError } from '../transport.ts'
import type { Client } from './client.ts'
import { PublishError } from './publish-error.ts'
import type { Topics } from './topics.ts'
import { sizeOf } from './wire.ts'
import { within } from './within.ts'

/** What one `publish` was given. */
interface Order {
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

interface Parcel {
  readonly order: Order
  readonly id: string
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

/** A cluster that does not answer a farewell is left. */
const farewellMs = 2_000

export class Publisher {
  readonly #open: () => Client
  readonly #topics: Topics
  readonly #timeoutMs: number
  readonly #unanswered = new Set<Promise<void>>()
  #waiting: Parcel[] = []
  #sending: Promise<void> | null = null
  #link: Link | null = null

  constructor(open: () => Client, topics: Topics, timeoutMs: number) {
    this.#open = open
    this.#topics = topics
    this.#timeoutMs = timeoutMs
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
      const order: Order = {
        topic,
        count: items.length,
        left: items.length,
        refused: [],
        sent: false,
        over: false,
        cause: null,
        end: (error) => {
          clearTimeout(timer)
          order.over = true
          if (error === null) resolve()
          else reject(error)
        },
      }
      const timer = setTimeout(() => fail(order, order.cause ?? noAnswer(this.#timeoutMs)), this.#timeoutMs)
      const parcels = items.flatMap((item) => parcelOf(order, item, encode) ?? [])
      if (parcels.length === 0) return
      this.#topics.ensure(topic).then(
        () => this.#enqueue(order, parcels),
        (error: unknown) => fail(order, error),
      )
    })
    this.#unanswered.add(published)
    return published.finally(() => this.#unanswered.delete(published))
  }

  /** Waits for what is under way, which ends within its bound. To be called when nobody publishes any more. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#unanswered)
    await this.#sending
    const link = this.#link
    this.#link = null
    await within(farewellMs, 'leaving Kafka', link?.producer.disconnect() ?? Promise.resolve()).catch(() => undefined)
    link?.client.cut()
  }

  #enqueue(order: Order, parcels: readonly Parcel[]): void {
    if (order.over) return
    for (const parcel of parcels) this.#waiting.push(parcel)
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
        for (const { order } of open) settle(order)
        return
      } catch (error) {
        if (refusals.has(typeOf(error)) || typeOf(error) === denial) return this.#divide(open, error)
        for (const { order } of open) order.cause = error
      }
      await pause(backoff(again, failures, 0, 0))
      if (failures > 1) await this.#lookForTopics(open)
    }
  }

  async #divide(parcels: readonly Parcel[], refusal: unknown): Promise<void> {
    const [first, ...others] = parcels
    if (first !== undefined && others.length === 0) {
      if (typeOf(refusal) === denial) fail(first.order, refusal)
      else refuse(first.order, first.id, refusal)
      return
    }
    const half = Math.ceil(parcels.length / 2)
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

/** All that the client reads of a record is read here first: it fails for a whole batch, and in no way that tells why. */
function parcelOf<Item extends { readonly id: string }>(
  order: Order,
  item: Item,
  encode: (item: Item) => KafkaRecord,
): Parcel | null {
  try {
    const record = encode(item)
    const bytes = sizeOf(record)
    if (bytes > mostRecordBytes) throw new RangeError(`it has more than ${mostRecordBytes} bytes`)
    return { order, id: item.id, record, bytes }
  } catch (error) {
    refuse(order, item.id, error)
    return null
  }
}

/** One of the order is acknowledged, or refused. */
function settle(order: Order): void {
  order.left--
  if (order.left === 0 && !order.over) order.end(order.refused.length === 0 ? null : refusalOf(order))
}

function refuse(order: Order, id: string, why: unknown): void {
  order.refused.push({ id, why })
  settle(order)
}

function fail(order: Order, error: unknown): void {
  if (!order.over) order.end(failureOf(order, error))
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

const counted = (count: number): string => `${count} message${count === 1 ? '' : 's'}`

function refusalOf({ topic, count, refused }: Order): RefusedError {
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

function failureOf({ topic, count, sent }: Order, cause: unknown): PublishError {
  const [messages, why] = [`${counted(count)} to ${topic}`, reasonOf(cause)]
  return sent
    ? new PublishError('outcome_unknown', `${messages} were sent but not confirmed (${why}): publish again`, cause)
    : new PublishError('not_sent', `${messages} were not sent (${why}): publish again later`, cause)
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
