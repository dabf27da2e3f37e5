/** A corner of a Kafka cluster for one test: topics of its own, and an independent client to look and to write there. */
import { randomUUID } from 'node:crypto'
import { Kafka, logLevel, type Consumer, type KafkaMessage, type Message as KafkaRecord, type Producer } from 'kafkajs'
import type { DeadLetter, Transport } from '../transport.ts'
import { kafkaTransport, type KafkaProblem, type KafkaTransportOptions } from './kafka-transport.ts'

export interface Corner {
  /** What its transports have in common. */
  readonly options: KafkaTransportOptions
  readonly problems: KafkaProblem[]
  /** A transport with short pauses between tries, and five tries. */
  open(options?: Partial<KafkaTransportOptions>): Transport
  /** Writes as a foreign producer does. */
  send(channel: string, ...records: readonly KafkaRecord[]): Promise<void>
  /** All that a topic has had so far. */
  look(channel: string): Promise<readonly KafkaMessage[]>
  deadLetters(channel: string): Promise<readonly DeadLetter[]>
  /** Closes the transports and deletes their topics. */
  dispose(): Promise<void>
}

const shortPauses = { tries: 5, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 }

export function corner(brokers: string): Corner {
  const prefix = `test.${randomUUID().slice(0, 8)}.`
  const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'foreign', logLevel: logLevel.NOTHING })
  const problems: KafkaProblem[] = []
  const transports: Transport[] = []
  const options: KafkaTransportOptions = { brokers: brokers.split(','), prefix, retry: shortPauses }
  let producer: Promise<Producer> | null = null
  const readers = new Map<string, { readonly consumer: Consumer; readonly records: KafkaMessage[] }>()

  /** Keeps reading what it was asked for once. */
  async function reader(topic: string): Promise<readonly KafkaMessage[]> {
    const known = readers.get(topic)
    if (known !== undefined) return known.records
    const consumer = kafka.consumer({ groupId: `look-${randomUUID()}`, maxWaitTimeInMs: 100 })
    const records: KafkaMessage[] = []
    readers.set(topic, { consumer, records })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ eachMessage: async ({ message }) => void records.push(message) })
    return records
  }

  const made: Corner = {
    options,
    problems,
    open(more = {}) {
      const transport = kafkaTransport({ ...options, onProblem: (problem) => problems.push(problem), ...more })
      transports.push(transport)
      return transport
    },
    async send(channel, ...records) {
      producer ??= (async () => {
        const one = kafka.producer()
        await one.connect()
        return one
      })()
      await (await producer).send({ topic: prefix + channel, messages: [...records] })
    },
    look: (channel) => reader(prefix + channel),
    async deadLetters(channel) {
      const found = await made.look(`${channel}.dead`)
      return found.map(({ value, headers = {} }) => ({
        channel: String(headers['ordersaga-topic']).slice(prefix.length),
        reason: String(headers['ordersaga-reason']),
        message: { id: String(headers['ordersaga-id']), text: String(value) } as never,
      }))
    },
    async dispose() {
      await Promise.all(transports.splice(0).map((transport) => transport.close()))
      await Promise.all([...readers.values()].map(({ consumer }) => consumer.disconnect()))
      await (await producer)?.disconnect()
      const admin = kafka.admin()
      await admin.connect()
      const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix))
      if (topics.length > 0) await admin.deleteTopics({ topics })
      await admin.disconnect()
    },
  }
  return made
}
