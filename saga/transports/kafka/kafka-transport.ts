/**
 * Moves messages between processes through Kafka: the saga id is the key, so a saga's messages keep their order; offsets are
 * committed after the handlers.
 *
 * Invariants beyond those of every transport:
 * - a channel is a topic of the same name, made where it is missing; what cannot be read or handled goes to `<topic>.dead`
 *   with the reason and its origin in headers;
 * - it works for as long as the cluster is there, and again when it is back: nothing here gives up or needs a restart;
 * - repeats are normal, after a crash, or when the partitions of a group are dealt anew.
 */
import type { KafkaConfig } from 'kafkajs'
import type { RetryPolicy } from '../../core/retry.ts'
import type { Subscription, Transport } from '../transport.ts'
import { openClient } from './client.ts'
import { Publisher } from './publisher.ts'
import { Reader } from './reader.ts'
import { Topics } from './topics.ts'
import { toRecord } from './wire.ts'

export { PublishError } from './publish-error.ts'

export interface KafkaTransportOptions {
  /** `host:port` of one or more brokers. */
  readonly brokers: readonly string[]
  /** How the brokers' logs call this process; `ordersaga` where none is given. */
  readonly clientId?: string
  /** TLS and login, as kafkajs takes them. */
  readonly ssl?: KafkaConfig['ssl']
  readonly sasl?: KafkaConfig['sasl']
  /** Goes before the names of topics and groups, for systems that share a cluster. */
  readonly prefix?: string
  /** Of the topics that it makes: partitions (3) and copies (1). */
  readonly partitions?: number
  readonly replicationFactor?: number
  /** Most messages of one partition in hand, and in one batch; 500 where none is given. */
  readonly prefetch?: number
  /** Tries of a message that a handler fails; fourteen within about three minutes where none is given. */
  readonly retry?: RetryPolicy
  /** A member of a group that is not heard of for so long loses its partitions; 6,000 ms where none is given. */
  readonly sessionTimeoutMs?: number
  /** How long `publish` may take; 12,000 ms where none is given. */
  readonly timeoutMs?: number
  readonly onProblem?: (problem: KafkaProblem) => void
}

export interface KafkaProblem {
  readonly what: string
  readonly messageId: string | null
  readonly cause: unknown
}

const defaults = {
  clientId: 'ordersaga',
  prefix: '',
  partitions: 3,
  replicationFactor: 1,
  prefetch: 500,
  // Longer than a database takes to come back: an outage is not to fill the dead letters.
  retry: { tries: 14, firstMs: 100, factor: 2, maxMs: 30_000, jitter: 0 },
  // The least that brokers allow by default: others have a killed member's partitions within ten seconds.
  sessionTimeoutMs: 6_000,
  timeoutMs: 12_000,
}

/** A cluster that has not answered by then is not ready. */
const readyMs = 3_000

/** The client says the same with every try of an outage: it is passed on once in so long. */
const sameProblemMs = 60_000

/**
 * Connects when it is first used; an absent cluster is waited for. `subscribe` resolves at once, and what it subscribes to
 * is read as soon and as long as that can be; `ready` is true when all of it is. Nothing is missed meanwhile: a new group
 * reads from the beginning.
 *
 * @throws Error where no broker is named
 *
 * @example
 * const transport = kafkaTransport({ brokers: ['localhost:9092'] })
 */
export function kafkaTransport(given: KafkaTransportOptions): Transport {
  const options = { ...defaults, ...given }
  if (options.brokers.length === 0) throw new Error('brokers names no broker: give at least one host:port')
  const { prefix, timeoutMs } = options
  const onProblem = (what: string, messageId: string | null, cause: unknown): void =>
    options.onProblem?.({ what, messageId, cause })
  const rarely = seldom(onProblem)
  const open = () => openClient({ ...options, onProblem: rarely })
  const topics = new Topics(open, options)
  const publisher = new Publisher(open, topics, timeoutMs)
  /** By topic and group. */
  const readers = new Map<string, Reader>()
  /** Also those that nobody reads any more, until they have left their group. */
  const unclosed = new Set<Reader>()
  let state: 'open' | 'closing' | 'closed' = 'open'
  let closing: Promise<void> | null = null

  const refuseClosed = (what: string, channel: string, allowed: boolean): void => {
    if (!allowed) throw new Error(`cannot ${what} ${channel}: the Kafka transport is closed`)
  }

  function readerOf(key: string, topic: string, group: string): Reader {
    const known = readers.get(key)
    if (known !== undefined) return known
    const reader = new Reader({ ...options, topic, group, open, topics, publisher, onProblem })
    readers.set(key, reader)
    unclosed.add(reader)
    return reader
  }

  async function leave(key: string, reader: Reader, member: Subscription): Promise<void> {
    await member.close()
    if (!reader.idle) return
    if (readers.get(key) === reader) readers.delete(key)
    await reader.close()
    unclosed.delete(reader)
  }

  async function close(): Promise<void> {
    state = 'closing'
    await Promise.all([...unclosed].map((reader) => reader.close()))
    // Not later: with whoever goes on publishing it would never end.
    state = 'closed'
    await publisher.close()
    await topics.close()
  }

  return {
    async publish(channel, messages) {
      // While it closes, the handlers in hand still publish their replies.
      refuseClosed('publish to', channel, state !== 'closed')
      if (messages.length > 0) await publisher.publish(prefix + channel, messages, toRecord)
    },
    async subscribe(channel, group, handler) {
      refuseClosed('subscribe to', channel, state === 'open')
      const key = JSON.stringify([channel, group])
      const reader = readerOf(key, prefix + channel, prefix + group)
      const member = reader.join(handler)
      let left: Promise<void> | null = null
      return { close: () => (left ??= leave(key, reader, member)) }
    },
    async ready() {
      const reading = [...readers.values()].every((reader) => reader.reading)
      return state === 'open' && reading && (await topics.answers(readyMs))
    },
    close: () => (closing ??= close()),
  }
}

type Report = (what: string, messageId: string | null, cause: unknown) => void

function seldom(report: Report): Report {
  const said = new Map<string, number>()
  return (what, messageId, cause) => {
    const now = performance.now()
    if (now - (said.get(what) ?? -Infinity) < sameProblemMs) return
    if (said.size > 1_000) said.clear()
    said.set(what, now)
    report(what, messageId, cause)
  }
}
