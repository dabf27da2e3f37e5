/** Makes sure that topics exist before they are used: sending to a missing one may hang, reading one fails. */
import type { Admin, Kafka } from 'kafkajs'
import { within } from './within.ts'

export interface TopicOptions {
  readonly partitions: number
  readonly replicationFactor: number
  readonly timeoutMs: number
}

export class Topics {
  readonly #kafka: Kafka
  readonly #options: TopicOptions
  readonly #known = new Map<string, Promise<void>>()
  #admin: Promise<Admin> | null = null

  /** @param kafka a client that gives up after few tries: the callers have their own patience */
  constructor(kafka: Kafka, options: TopicOptions) {
    this.#kafka = kafka
    this.#options = options
  }

  /** Creates the topics that are missing; two processes at once do no harm. @throws Error where no answer comes in time */
  async ensure(topics: readonly string[]): Promise<void> {
    await Promise.all(topics.map((topic) => this.#ensureOne(topic)))
  }

  #ensureOne(topic: string): Promise<void> {
    const known = this.#known.get(topic)
    if (known !== undefined) return known
    const made = this.#make(topic)
    this.#known.set(topic, made)
    made.catch(() => this.#known.delete(topic))
    return made
  }

  async #make(topic: string): Promise<void> {
    const { partitions, replicationFactor } = this.#options
    await this.#ask((admin) =>
      admin.createTopics({
        topics: [{ topic, numPartitions: partitions, replicationFactor }],
        waitForLeaders: true,
        timeout: this.#options.timeoutMs,
      }),
    )
  }

  /** Whether the cluster answers now. */
  async answers(): Promise<boolean> {
    try {
      return (await this.#ask((admin) => admin.describeCluster())).brokers.length > 0
    } catch {
      return false
    }
  }

  async close(): Promise<void> {
    const admin = await this.#admin?.catch(() => null)
    await admin?.disconnect()
  }

  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const { timeoutMs } = this.#options
    try {
      const admin = await within(timeoutMs, 'connecting to Kafka', this.#connected())
      return await within(timeoutMs, 'a question to Kafka', question(admin))
    } catch (error) {
      this.#admin = null // with another connection the next time
      throw error
    }
  }

  #connected(): Promise<Admin> {
    this.#admin ??= (async () => {
      const admin = this.#kafka.admin()
      await admin.connect()
      return admin
    })()
    return this.#admin
  }
}
