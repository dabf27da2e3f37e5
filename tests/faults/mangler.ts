/**
 * Sends records again that were sent before, as a network of many ways would deliver them: twice, late, out of order. It
 * reads every topic of the contract and writes a copy of some records back after a while, as they were.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Kafka, logLevel, type IHeaders } from 'kafkajs'
import { services } from '../../services/app/registry.ts'
import type { Random } from './random.ts'

const topics = [...new Set(services.flatMap(({ reads, publishes }) => [...reads, ...publishes]))]

export interface Mangler {
  /** Records that were sent again. */
  readonly sent: () => number
  /** Records that could not be sent again: while the broker is away, say. */
  readonly failed: () => number
  stop(): Promise<void>
}

/** @param share of the records that come again; @param lateMs at most so much later */
export async function startMangler(brokers: string, random: Random, share: number, lateMs: number): Promise<Mangler> {
  const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'mangler', logLevel: logLevel.NOTHING })
  const [producer, consumer] = [kafka.producer(), kafka.consumer({ groupId: 'mangler' })]
  await Promise.all([producer.connect(), consumer.connect()])
  await consumer.subscribe({ topics, fromBeginning: false })
  const mark = 'again'
  const pending = new Set<Promise<void>>()
  let [sent, failed] = [0, 0]
  const again = async (topic: string, key: Buffer | null, value: Buffer | null, headers: IHeaders): Promise<void> => {
    await delay(random.between(0, lateMs))
    await producer.send({ topic, messages: [{ key, value, headers: { ...headers, [mark]: 'yes' } }] })
    sent += 1
  }
  await consumer.run({
    eachMessage: async ({ topic, message: { key, value, headers = {} } }) => {
      if (mark in headers || random.next() >= share) return
      const sending = again(topic, key, value, headers)
        .catch(() => void (failed += 1))
        .finally(() => pending.delete(sending))
      pending.add(sending)
    },
  })
  return {
    sent: () => sent,
    failed: () => failed,
    async stop() {
      await consumer.disconnect()
      await Promise.all(pending)
      await producer.disconnect()
    },
  }
}
