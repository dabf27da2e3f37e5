/** A corner of a Kafka cluster for one test: topics of its own, and an independent client to look and to write there. */
import { randomUUID } from 'node:crypto'
import { Kafka, logLevel, type Admin, type Consumer, type KafkaMessage, type Message as KafkaRecord } from 'kafkajs'
import type { Problem } from '../../problem.ts'
import { until } from '../../../tests/kit/until.ts'
import { message } from '../transport.contract.ts'
import type { DeadLetter, Message, Transport } from '../transport.ts'
import { kafkaTransport, type KafkaTransportOptions } from './kafka-transport.ts'

export interface Corner {
  /** What its transports have in common. */
  readonly options: KafkaTransportOptions
  readonly problems: Problem[]
  /** A transport with short pauses between tries, and five tries. */
  open(options?: Partial<KafkaTransportOptions>): Transport
  /** Makes a topic as its operator would. */
  create(channel: string, settings?: Readonly<Record<string, string>>): Promise<void>
  /** Writes as a foreign producer does, in the order given: all to one partition. */
  send(channel: string, ...records: readonly KafkaRecord[]): Promise<void>
  /** All that a topic has had so far, as it is in the log. */
  look(channel: string): Promise<readonly KafkaMessage[]>
  deadLetters(channel: string): Promise<readonly DeadLetter[]>
  /** How many partitions each of its topics has, by name without the prefix. */
  topics(): Promise<Readonly<Record<string, number>>>
  admin<T>(work: (admin: Admin) => Promise<T>): Promise<T>
  /** Closes the transports and deletes their topics, where the server is there. */
  dispose(): Promise<void>
}

const shortPauses = { tries: 5, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 }

export function corner(brokers: string): Corner {
  const prefix = `test.${randomUUID().slice(0, 8)}.`
  const retry = { retries: 1 }
  const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'foreign', logLevel: logLevel.NOTHING, retry })
  const problems: Problem[] = []
  const transports: Transport[] = []
  const options: KafkaTransportOptions = { brokers: brokers.split(','), prefix, retry: shortPauses }
  const readers = new Map<string, { readonly consumer: Consumer; readonly records: KafkaMessage[] }>()

  async function admin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const client = kafka.admin()
    await client.connect()
    try {
      return await work(client)
    } finally {
      await client.disconnect()
    }
  }

  const isThere = (topic: string): Promise<void> =>
    admin((client) => until(`${topic} is there`, 10_000, async () => (await client.listTopics()).includes(topic)))

  /** Keeps reading what it was asked for once. */
  async function reader(topic: string): Promise<readonly KafkaMessage[]> {
    const known = readers.get(topic)
    if (known !== undefined) return known.records
    const consumer = kafka.consumer({ groupId: `look-${randomUUID()}`, maxWaitTimeInMs: 100 })
    const records: KafkaMessage[] = []
    readers.set(topic, { consumer, records })
    await isThere(topic)
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ eachMessage: async (each) => void records.push(each.message) })
    return records
  }

  const made: Corner = {
    options,
    problems,
    admin,
    open(more = {}) {
      const transport = kafkaTransport({ ...options, onProblem: (problem) => problems.push(problem), ...more })
      transports.push(transport)
      return transport
    },
    async create(channel, settings = {}) {
      const topic = prefix + channel
      const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
      await admin(async (client) => {
        await client.createTopics({ topics: [{ topic, numPartitions: 3, configEntries }], waitForLeaders: false })
      })
      await isThere(topic)
    },
    async send(channel, ...records) {
      const topic = prefix + channel
      await made.create(channel)
      const producer = kafka.producer()
      await producer.connect()
      await producer.send({ topic, messages: records.map((record) => ({ partition: 0, ...record })) })
      await producer.disconnect()
    },
    look: (channel) => reader(prefix + channel),
    async deadLetters(channel) {
      const found = await made.look(`${channel}.dead`)
      return found.map(({ value, headers = {} }) => ({
        channel: String(headers['ordersaga-topic']).slice(prefix.length),
        reason: String(headers['ordersaga-reason']),
        message: message(String(headers['ordersaga-id']), { payload: value?.toString() }),
      }))
    },
    topics: () =>
      admin(async (client) => {
        const topics = (await client.listTopics()).filter((topic) => topic.startsWith(prefix))
        const found = await client.fetchTopicMetadata({ topics })
        return Object.fromEntries(
          found.topics.map(({ name, partitions }) => [name.slice(prefix.length), partitions.length] as const),
        )
      }),
    async dispose() {
      await Promise.all(transports.splice(0).map((transport) => transport.close()))
      await Promise.all([...readers.values()].map(({ consumer }) => consumer.disconnect()))
      await admin(async (client) => {
        const topics = (await client.listTopics()).filter((topic) => topic.startsWith(prefix))
        if (topics.length > 0) await client.deleteTopics({ topics })
      }).catch(() => undefined)
    },
  }
  return made
}

/** What a subscriber has seen. */
export interface Seen {
  /** In the order of their coming, repeats included. */
  readonly batches: (readonly Message[])[]
  /** Of what was handled. */
  readonly ids: Set<string>
  close(): Promise<void>
}

/** Subscribes to `order_commands` for group g. */
export async function read(
  transport: Transport,
  handle: (batch: readonly Message[]) => Promise<void> = async () => undefined,
): Promise<Seen> {
  const [batches, ids]: [(readonly Message[])[], Set<string>] = [[], new Set()]
  const subscription = await transport.subscribe('order_commands', 'g', async (batch) => {
    batches.push(batch)
    await handle(batch)
    for (const { id } of batch) ids.add(id)
  })
  return { batches, ids, close: () => subscription.close() }
}
