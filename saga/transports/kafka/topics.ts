/**
 * The topics: made where they are missing, before they are used. (Sending to a missing topic may hang, and reading one
 * fails.) One that is there needs no right to make it.
 */
import type { Admin } from 'kafkajs'
import type { Clock } from '../../clock.ts'
import { pause, settledWithin, within } from '../within.ts'
import type { Client } from './client.ts'

export interface TopicOptions {
  readonly partitions: number
  readonly replicationFactor: number
  readonly timeoutMs: number
  readonly clock: Clock
}

export const deadTopic = (topic: string): string => `${topic}.dead`

/** So often is looked whether a new topic is there: the brokers hear of it one after the other. */
const looks = 8

/** A cluster that does not answer when it is left is left. */
const disconnectMs = 2_000

export class Topics {
  readonly #open: () => Client
  readonly #options: TopicOptions
  readonly #known = new Map<string, Promise<void>>()
  #connection: { readonly client: Client; readonly admin: Admin; readonly connected: Promise<void> } | null = null

  constructor(open: () => Client, options: TopicOptions) {
    this.#open = open
    this.#options = options
  }

  /** Creates what is missing; two processes at once do no harm. @throws Error where that is not done in time */
  ensure(topic: string): Promise<void> {
    const known = this.#known.get(topic)
    if (known !== undefined) return known
    const { clock, timeoutMs } = this.#options
    const made = within(clock, timeoutMs, this.#make(topic), `creating ${topic}`)
    this.#known.set(topic, made)
    made.catch(() => this.#known.delete(topic))
    return made
  }

  /** It may have been deleted: the next `ensure` looks. */
  forget(topic: string): void {
    this.#known.delete(topic)
  }

  /** Whether the cluster answers now. */
  async answers(withinMs: number): Promise<boolean> {
    try {
      const { brokers } = await within(
        this.#options.clock,
        withinMs,
        this.#ask((admin) => admin.describeCluster()),
      )
      return brokers.length > 0
    } catch {
      this.#drop()
      return false
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = null
    await settledWithin(this.#options.clock, disconnectMs, connection?.admin.disconnect() ?? Promise.resolve())
    connection?.client.cut()
  }

  async #make(topic: string): Promise<void> {
    const { partitions: numPartitions, replicationFactor, timeoutMs, clock } = this.#options
    let refusal: unknown
    for (let look = 1; look <= looks; look++) {
      if ((await this.#ask((admin) => admin.listTopics())).includes(topic)) return
      const topics = [{ topic, numPartitions, replicationFactor }]
      await this.#ask((admin) => admin.createTopics({ topics, timeout: timeoutMs })).catch((error: unknown) => {
        refusal = error
      })
      await pause(clock, look * 20)
    }
    throw new Error(`${topic} could not be created: ${reasonOf(refusal)}`, { cause: refusal })
  }

  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const connection = (this.#connection ??= this.#connect())
    try {
      await connection.connected
      return await question(connection.admin)
    } catch (error) {
      if (this.#connection === connection) this.#drop() // another connection the next time
      throw error
    }
  }

  #connect(): { readonly client: Client; readonly admin: Admin; readonly connected: Promise<void> } {
    const client = this.#open()
    const admin = client.kafka.admin()
    return { client, admin, connected: admin.connect() }
  }

  #drop(): void {
    const connection = this.#connection
    this.#connection = null
    connection?.admin.disconnect().catch(() => undefined)
    connection?.client.cut()
  }
}

/** The client gathers refusals, one a topic. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && 'errors' in error && Array.isArray(error.errors)) {
    return error.errors.map((one) => reasonOf(one)).join('; ')
  }
  return error instanceof Error ? error.message : String(error)
}
