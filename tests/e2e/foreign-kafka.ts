/** A Kafka client that knows nothing of us: bare JSON records, no key, no headers, as foreign services send them. */
import { Kafka, logLevel, type Consumer, type Producer } from 'kafkajs'

export interface Envelope {
  readonly type: string
  readonly correlation_id: string
  readonly timestamp: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly source?: string
}

export interface Seen {
  readonly topic: string
  /** Null where the record is no JSON. */
  readonly envelope: Envelope | null
  readonly text: string
  readonly key: string | null
  readonly headers: Readonly<Record<string, string>>
}

export class ForeignKafka {
  readonly #kafka: Kafka
  readonly #producer: Producer
  readonly #consumers: Consumer[] = []

  constructor(brokers: string) {
    this.#kafka = new Kafka({ brokers: brokers.split(','), clientId: 'foreign', logLevel: logLevel.NOTHING })
    this.#producer = this.#kafka.producer()
  }

  async connect(): Promise<void> {
    await this.#producer.connect()
  }

  /** Sends one record as it is. */
  async sendText(topic: string, value: string): Promise<void> {
    await this.#producer.send({ topic, messages: [{ value }] })
  }

  send(topic: string, type: string, correlation_id: string, payload: Readonly<Record<string, unknown>>): Promise<void> {
    const timestamp = new Date().toISOString().replace('Z', '123') // as foreign ones write it: no offset, microseconds
    return this.sendText(topic, JSON.stringify({ type, correlation_id, timestamp, payload }))
  }

  /** Reads topics from their beginning; makes those that nobody has made yet. */
  async read(topics: readonly string[], onRecord: (record: Seen) => void | Promise<void>): Promise<void> {
    const admin = this.#kafka.admin()
    await admin.connect()
    await admin.createTopics({ topics: topics.map((topic) => ({ topic, numPartitions: 3 })) })
    await admin.disconnect()
    const consumer = this.#kafka.consumer({
      groupId: `foreign-${Math.random().toString(36).slice(2)}`,
      maxWaitTimeInMs: 200,
    })
    this.#consumers.push(consumer)
    await consumer.connect()
    await consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ topic, message }) => {
        const text = message.value?.toString() ?? ''
        const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)])
        await onRecord({
          topic,
          text,
          envelope: parse(text),
          key: message.key?.toString() ?? null,
          headers: Object.fromEntries(headers) as Record<string, string>,
        })
      },
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.disconnect()))
    await this.#producer.disconnect()
  }
}

function parse(text: string): Envelope | null {
  try {
    return JSON.parse(text) as Envelope
  } catch {
    return null
  }
}
