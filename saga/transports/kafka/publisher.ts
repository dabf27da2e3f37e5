/**
 * Sends records. One send is in flight; what arrives meanwhile is the next batch (an idempotent producer keeps its order so,
 * and a batch costs little more than one record).
 *
 * Invariants:
 * - `publish` resolves once the broker has every record as safe as it keeps them (acks of all in-sync replicas);
 * - it ends within a bound in any case. What was not sent by then never will be; what was may arrive all the same;
 * - a record that the broker refuses harms no other: records that are too large for a batch are sent alone.
 */
import { Partitioners, type Kafka, type Message as KafkaRecord, type Producer } from 'kafkajs'
import { PublishError } from './publish-error.ts'
import { sizeOf } from './wire.ts'
import { within } from './within.ts'

interface Parcel {
  readonly topic: string
  readonly records: readonly KafkaRecord[]
  readonly bytes: number
  sent: boolean
  resolve(): void
  reject(error: unknown): void
}

/** The broker takes about 1 MB at once unless told otherwise. */
const mostBytes = 700_000

export class Publisher {
  readonly #kafka: Kafka
  readonly #timeoutMs: number
  #waiting: Parcel[] = []
  #sending: Promise<void> | null = null
  #producer: Promise<Producer> | null = null

  constructor(kafka: Kafka, timeoutMs: number) {
    this.#kafka = kafka
    this.#timeoutMs = timeoutMs
  }

  /** @throws PublishError */
  async publish(topic: string, records: readonly KafkaRecord[]): Promise<void> {
    const parcels = cut(records).map((part) => this.#put(topic, part))
    await Promise.all(parcels)
  }

  async close(ms: number): Promise<void> {
    const producer = this.#producer
    this.#producer = null
    if (producer === null) return
    await within(ms, 'leaving Kafka', Promise.resolve(this.#sending)).catch(() => undefined)
    await within(
      ms,
      'leaving Kafka',
      producer.then((connected) => connected.disconnect()),
    ).catch(() => undefined)
  }

  #put(topic: string, records: readonly KafkaRecord[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0)
      const timer = setTimeout(() => this.#giveUp(parcel), this.#timeoutMs)
      const end = (): void => clearTimeout(timer)
      const parcel: Parcel = {
        topic,
        records,
        bytes,
        sent: false,
        resolve: () => (end(), resolve()),
        reject: (error) => (end(), reject(describe(error, parcel))),
      }
      this.#waiting.push(parcel)
      this.#sending ??= this.#run().finally(() => (this.#sending = null))
    })
  }

  #giveUp(parcel: Parcel): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting !== parcel)
    parcel.reject(new Error(`no answer within ${this.#timeoutMs} ms`))
  }

  async #run(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve)) // what the same turn still brings goes along
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      try {
        const producer = await this.#connected()
        for (const parcel of batch) parcel.sent = true
        await producer.sendBatch({ acks: -1, topicMessages: byTopic(batch) })
        for (const parcel of batch) parcel.resolve()
      } catch (error) {
        for (const parcel of batch) parcel.reject(error)
        await this.#renew(error)
      }
    }
  }

  #take(): readonly Parcel[] {
    let bytes = 0
    const fit = this.#waiting.findIndex((parcel, index) => (bytes += parcel.bytes) > mostBytes && index > 0)
    return this.#waiting.splice(0, fit === -1 ? this.#waiting.length : fit)
  }

  #connected(): Promise<Producer> {
    this.#producer ??= this.#connect()
    return this.#producer
  }

  async #connect(): Promise<Producer> {
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    })
    await producer.connect()
    return producer
  }

  /** A producer that failed may have lost its place in the sequence: the next batch gets a new one. */
  async #renew(error: unknown): Promise<void> {
    if (isTooLarge(error)) return
    const failed = this.#producer
    this.#producer = null
    const leave = failed?.then((producer) => producer.disconnect()) ?? Promise.resolve()
    await within(this.#timeoutMs, 'leaving Kafka', leave).catch(() => undefined)
  }
}

/** Parts that fit into one request each; a record that is too large for one is a part by itself. */
function cut(records: readonly KafkaRecord[]): readonly (readonly KafkaRecord[])[] {
  const parts: KafkaRecord[][] = []
  let bytes = Infinity
  for (const record of records) {
    bytes += sizeOf(record)
    if (bytes > mostBytes) {
      parts.push([])
      bytes = sizeOf(record)
    }
    parts.at(-1)?.push(record)
  }
  return parts
}

function byTopic(batch: readonly Parcel[]): { topic: string; messages: KafkaRecord[] }[] {
  const topics = new Map<string, KafkaRecord[]>()
  for (const { topic, records } of batch) {
    const messages = topics.get(topic) ?? []
    topics.set(topic, messages)
    messages.push(...records)
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }))
}

const isTooLarge = (error: unknown): boolean =>
  error instanceof Error && 'type' in error && error.type === 'MESSAGE_TOO_LARGE'

function describe(error: unknown, { topic, records, sent }: Parcel): PublishError {
  const what = `${records.length} messages for ${topic}`
  if (isTooLarge(error))
    return new PublishError(
      'refused',
      `Kafka refuses ${what}: larger than the broker allows (message.max.bytes)`,
      error,
    )
  if (!sent) return new PublishError('not_sent', `${what} were not sent: Kafka does not answer`, error)
  return new PublishError('outcome_unknown', `whether Kafka has ${what} is unknown: publish them again`, error)
}
