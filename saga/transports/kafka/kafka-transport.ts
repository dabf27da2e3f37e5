/**
 * Moves messages between processes through Kafka: the saga id is the key, so a saga's messages keep their order; offsets are
 * committed after the handlers.
 *
 * Invariants beyond those of every transport:
 * - a channel is a topic of the same name, made where it is missing; what cannot be read or handled goes to `<topic>.dead`
 *   with the reason and its origin in headers;
 * - it works for as long as the cluster is there, and again when it is back: nothing here gives up or needs a restart;
 * - repeats are normal, after a crash, a close, or whenever the partitions of a group are dealt anew.
 */
import { Socket, type TcpNetConnectOpts } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Kafka, logLevel, type ISocketFactory, type KafkaConfig, type LogEntry } from 'kafkajs'
import type { RetryPolicy } from '../../core/retry.ts'
import type { Subscription, Transport } from '../transport.ts'
import { Publisher } from './publisher.ts'
import { Reader } from './reader.ts'
import { Topics } from './topics.ts'
import { toRecord } from './wire.ts'
import { within } from './within.ts'

export { PublishError } from './publish-error.ts'

export interface KafkaTransportOptions {
  /** `host:port` of one or more brokers. */
  readonly brokers: readonly string[]
  /** How the brokers' logs call this process; `ordersaga` where none is given. */
  readonly clientId?: string
  /** TLS and login, as kafkajs takes them. */
  readonly ssl?: KafkaConfig['ssl']
  readonly sasl?: KafkaConfig['sasl']
  /** Goes before the names of topics, for systems that share a cluster. */
  readonly prefix?: string
  /** Of the topics that it makes: partitions (3) and copies (1). */
  readonly partitions?: number
  readonly replicationFactor?: number
  /** Most messages of one partition in hand, and in one batch; 500 where none is given. */
  readonly prefetch?: number
  /** Tries of a message that a handler fails; fourteen within about three minutes where none is given. */
  readonly retry?: RetryPolicy
  /** A member of a group that is not heard of for so long loses its partitions; 10,000 ms where none is given. */
  readonly sessionTimeoutMs?: number
  /** How long `publish` may take, and how long `subscribe` waits for an absent cluster; 10,000 ms where none is given. */
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
  sessionTimeoutMs: 10_000,
  timeoutMs: 10_000,
}

/** A cluster that does not answer a farewell is left after this long. */
const farewellMs = 5_000

const readyMs = 3_000

/**
 * Connects when it is first used; an absent cluster is waited for.
 *
 * @throws Error where no broker is named
 *
 * @example
 * const transport = kafkaTransport({ brokers: ['localhost:9092'] })
 */
export function kafkaTransport(given: KafkaTransportOptions): Transport {
  const options = { ...defaults, ...given }
  if (options.brokers.length === 0) throw new Error('brokers names no broker: give at least one host:port')
  const problem = (what: string, messageId: string | null, cause: unknown): void =>
    options.onProblem?.({ what, messageId, cause })
  const patient = client(options, Number.MAX_SAFE_INTEGER, problem)
  const topics = new Topics(
    client(options, 3, () => undefined),
    options,
  )
  const publisher = new Publisher(patient, options.timeoutMs)
  const topicOf = (channel: string): string => options.prefix + channel
  /** By group. */
  const readers = new Map<string, Reader>()
  /** Also those that nobody reads any more, until they have left their group. */
  const unclosed = new Set<Reader>()
  let state: 'open' | 'closing' | 'closed' = 'open'
  let closing: Promise<void> | null = null

  const refuseClosed = (what: string, channel: string, allowed: boolean): void => {
    if (!allowed) throw new Error(`cannot ${what} ${channel}: the Kafka transport is closed`)
  }

  function readerOf(group: string): Reader {
    const known = readers.get(group)
    if (known !== undefined) return known
    const reader = new Reader({ ...options, kafka: patient, topics, publisher, group, onProblem: problem })
    readers.set(group, reader)
    unclosed.add(reader)
    return reader
  }

  async function leave(group: string, reader: Reader, member: Subscription): Promise<void> {
    await member.close()
    if (!reader.idle) return
    if (readers.get(group) === reader) readers.delete(group)
    await reader.close()
    unclosed.delete(reader)
  }

  async function close(): Promise<void> {
    state = 'closing'
    await Promise.all([...unclosed].map((reader) => reader.close()))
    await publisher.close(farewellMs)
    await within(farewellMs, 'leaving Kafka', topics.close()).catch(() => undefined)
    state = 'closed'
  }

  return {
    async publish(channel, messages) {
      // While it closes, the handlers in hand still publish their replies.
      refuseClosed('publish to', channel, state !== 'closed')
      if (messages.length === 0) return
      await topics.ensure([topicOf(channel)])
      await publisher.publish(topicOf(channel), messages.map(toRecord))
    },
    async subscribe(channel, group, handler) {
      refuseClosed('subscribe to', channel, state === 'open')
      const reader = readerOf(group)
      const { established, member } = reader.join(topicOf(channel), handler)
      // Not there in time, it is read as soon as it can be.
      await within(options.timeoutMs, 'joining the group', established).catch(() => undefined)
      let left: Promise<void> | null = null
      return { close: () => (left ??= leave(group, reader, member)) }
    },
    async ready() {
      if (state !== 'open') return false
      return within(readyMs, 'asking', topics.answers()).catch(() => false)
    },
    close: () => (closing ??= close()),
  }
}

function client(
  { brokers, clientId, ssl, sasl }: KafkaTransportOptions & { readonly clientId: string },
  retries: number,
  problem: (what: string, messageId: null, cause: unknown) => void,
): Kafka {
  return new Kafka({
    brokers: [...brokers],
    clientId,
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
    connectionTimeout: 3_000,
    requestTimeout: 10_000,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, multiplier: 1.5, retries },
    socketFactory,
    logLevel: logLevel.ERROR,
    logCreator: () => logTo(problem),
  })
}

/** Without waiting for more to send: an acknowledgement comes a quarter sooner. */
const socketFactory: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  const socket =
    Object.keys(ssl ?? {}).length > 0 ? connectTls({ host, port, ...ssl }, onConnect) : plain({ host, port }, onConnect)
  socket.setKeepAlive(true, 60_000)
  socket.setNoDelay(true)
  return socket
}

const plain = (to: TcpNetConnectOpts, onConnect: () => void): Socket => new Socket().connect(to, onConnect)

const sameProblemMs = 60_000

/** The client says the same with every attempt of an outage; it is passed on once a minute. */
function logTo(problem: (what: string, messageId: null, cause: unknown) => void): (entry: LogEntry) => void {
  const said = new Map<string, number>()
  return ({ namespace, log: { message, timestamp: _timestamp, logger: _logger, ...more } }) => {
    const now = Date.now()
    if (now - (said.get(message) ?? 0) < sameProblemMs) return
    if (said.size > 1_000) said.clear()
    said.set(message, now)
    const { error, broker } = more as { readonly error?: unknown; readonly broker?: unknown }
    problem(`Kafka client, ${namespace}: ${message}`, null, error ?? broker ?? null)
  }
}
