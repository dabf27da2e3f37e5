/** What is in the dead-letter topics of a Kafka server. */
import { Kafka, logLevel } from 'kafkajs'

/** How many records each `*.dead` topic holds; topics without any are left out. */
export async function deadLetters(brokers: string): Promise<Readonly<Record<string, number>>> {
  const admin = new Kafka({ brokers: brokers.split(','), clientId: 'auditor', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const topics = (await admin.listTopics()).filter((topic) => topic.endsWith('.dead'))
    const counts = topics.map(async (topic) => {
      const offsets = await admin.fetchTopicOffsets(topic)
      return [topic, offsets.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0)] as const
    })
    return Object.fromEntries((await Promise.all(counts)).filter(([, count]) => count > 0))
  } finally {
    await admin.disconnect()
  }
}
