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
import { systemClock, type Clock } from '../../clock.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import { problemReporter, type OnProblem } from '../../problem.ts'
import { Lifecycle } from '../lifecycle.ts'
import { readOptions } from '../options.ts'
import { Readers } from '../readers.ts'
import type { Transport } from '../transport.ts'
import { openClient } from './client.ts'
import { Publisher } from './publisher.ts'
import { Reader } from './reader.ts'
import { Topics } from './topics.ts'
import { toRecord } from './wire.ts'

export { PublishError, type PublishErrorCode } from './publish-error.ts'

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
  readonly retry?: Partial<RetryPolicy>
  /** A member of a group that is not heard of for so long loses its partitions; 6,000 ms where none is given. */
  readonly sessionTimeoutMs?: number
  /** How long `publish` may take; 12,000 ms where none is given. */
  readonly timeoutMs?: number
  /** For all waits but those of the Kafka client itself. */
  readonly clock?: Clock
  /** Hears of dead letters and of what hinders. Without it, what needs a person goes to stderr. */
  readonly onProblem?: OnProblem
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
  clock: systemClock,
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
 * @throws TypeError for an option that is unknown, or that no value fits
 *
 * @example
 * const transport = kafkaTransport({ brokers: ['localhost:9092'] })
 */
export function kafkaTransport(given: KafkaTransportOptions): Transport {
  const options = readOptions(
    'kafkaTransport',
    given,
    defaults,
    {
      brokers: 'texts',
      clientId: 'text',
      ssl: 'any',
      sasl: 'any',
      prefix: 'text',
      partitions: 'count',
      replicationFactor: 'count',
      prefetch: 'count',
      retry: 'retry',
      sessionTimeoutMs: 'milliseconds',
      timeoutMs: 'milliseconds',
      clock: 'clock',
      onProblem: 'hook',
    },
    ['brokers'],
  )
  const { prefix, clock } = options
  const report = problemReporter(options.onProblem)
  const rarely = seldom(clock, report)
  const open = () => openClient({ ...options, report: rarely })
  const topics = new Topics(open, options)
  const publisher = new Publisher(open, topics, options)
  const readers = new Readers<Reader>()
  const lifecycle = new Lifecycle('Kafka')

  return {
    async publish(channel, messages) {
      lifecycle.checkPublish(channel, messages)
      if (messages.length > 0) await publisher.publish(prefix + channel, messages, toRecord)
    },
    async subscribe(channel, group, handler) {
      lifecycle.checkSubscribe(channel, group, handler)
      const [topic, fullGroup] = [prefix + channel, prefix + group]
      const make = (): Reader => new Reader({ ...options, topic, group: fullGroup, open, topics, publisher, report })
      return readers.join(JSON.stringify([channel, group]), make, handler).subscription
    },
    ready: async () => lifecycle.open && readers.ready && (await topics.answers(readyMs)),
    close: () =>
      lifecycle.close(
        () => readers.close(),
        async () => {
          await publisher.close()
          await topics.close()
        },
      ),
  }
}

function seldom(clock: Clock, report: OnProblem): OnProblem {
  const said = new Map<string, number>()
  return (problem) => {
    const now = clock.elapsed()
    if (now - (said.get(problem.what) ?? -Infinity) < sameProblemMs) return
    if (said.size > 1_000) said.clear()
    said.set(problem.what, now)
    report(problem)
  }
}
