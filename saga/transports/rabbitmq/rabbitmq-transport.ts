/**
 * Moves messages between processes through RabbitMQ: durable queues, publisher confirms, acknowledgements after the handler.
 *
 * Invariants beyond those of every transport:
 * - it works for as long as the server is there, and again when it is back: nothing here gives up or needs a restart;
 * - publishing and reading have a connection each. A server short of memory stops reading from publishers, and what waits
 *   in its queues can be acknowledged all the same;
 * - one consumer of a group is active at a time, and another takes over when it is gone (`topology.ts`).
 */
import type { RetryPolicy } from '../../core/retry.ts'
import type { Subscription, Transport } from '../transport.ts'
import { Link, within } from './link.ts'
import { Publisher } from './publisher.ts'
import { Reader } from './reader.ts'
import { topology, type Source } from './topology.ts'
import { toParcel } from './wire.ts'

export { PublishError } from './publisher.ts'

export interface RabbitmqTransportOptions {
  /** Such as `amqp://user:password@host:5672/vhost`; `amqps:` for TLS, `?heartbeat=SECONDS` where 3 are not right. */
  readonly url: string
  /** Kind of the queues that this transport declares; `quorum` where none is given. Classic ones do not count returns. */
  readonly queueType?: 'quorum' | 'classic'
  /**
   * Channels that are one plain durable queue behind the default exchange, with one group: `{ order_commands: 'orders_queue' }`.
   * Channels of the same queue are one channel with several names.
   */
  readonly queues?: Readonly<Record<string, string>>
  /** Goes before the names of exchanges and queues (but not those of `queues`), for systems that share a virtual host. */
  readonly prefix?: string
  /** Most messages that a reader has in hand, and in one batch; 500 where none is given. */
  readonly prefetch?: number
  /** Tries of a message that a handler fails; fourteen within about three minutes where none is given. */
  readonly retry?: RetryPolicy
  /** A message that has come back so often from lost consumers (quorum queues) has one more try; 20 where none is given. */
  readonly maxReturns?: number
  /** How long `publish` may take, and how long `subscribe` waits for an absent server; 10,000 ms where none is given. */
  readonly timeoutMs?: number
  readonly onProblem?: (problem: RabbitmqProblem) => void
}

export interface RabbitmqProblem {
  readonly what: string
  readonly messageId: string | null
  readonly cause: unknown
}

const defaults = {
  queueType: 'quorum' as const,
  queues: {},
  prefix: '',
  prefetch: 500,
  // Longer than a database takes to come back: an outage is not to fill the dead letters.
  retry: { tries: 14, firstMs: 100, factor: 2, maxMs: 30_000, jitter: 0 },
  maxReturns: 20,
  timeoutMs: 10_000,
}

/** A server that does not answer a farewell is left after this long. */
const farewellMs = 2_000

/** A silent connection is given up after two to three of these, here and by the server, which then lets another consumer read. */
const heartbeatSeconds = '3'

/**
 * Connects in the background; an absent server is waited for.
 *
 * @throws Error where the address is none
 *
 * @example
 * const transport = rabbitmqTransport({ url: 'amqp://guest:guest@localhost:5672' })
 */
export function rabbitmqTransport(given: RabbitmqTransportOptions): Transport {
  const options = { ...defaults, ...given }
  const url = addressOf(options.url)
  const places = topology(options)
  const problem = (what: string, messageId: string | null, cause: unknown): void =>
    options.onProblem?.({ what, messageId, cause })
  const link = (name: string): Link => new Link({ url, name, onProblem: (what, cause) => problem(what, null, cause) })

  const [outgoing, incoming] = [link('ordersaga, publishing'), link('ordersaga, reading')]
  const publisher = new Publisher(outgoing, options.timeoutMs)
  /** By queue. */
  const readers = new Map<string, Reader>()
  /** Also those that nobody reads any more, until they have handed back what they had. */
  const unclosed = new Set<Reader>()
  let state: 'open' | 'closing' | 'closed' = 'open'
  let closing: Promise<void> | null = null

  const refuseClosed = (what: string, channel: string, allowed: boolean): void => {
    if (!allowed) throw new Error(`cannot ${what} ${channel}: the RabbitMQ transport is closed`)
  }

  function readerOf(source: Source): Reader {
    const known = readers.get(source.queue)
    if (known !== undefined && known.group !== source.group) {
      throw new Error(`${source.queue} has one group, ${known.group}: ${source.group} cannot read it besides`)
    }
    if (known !== undefined) return known
    const dead = (queue: string) => places.dead(queue)
    const reader = new Reader({ ...options, source, link: incoming, publisher, dead, onProblem: problem })
    readers.set(source.queue, reader)
    unclosed.add(reader)
    return reader
  }

  async function leave(queue: string, reader: Reader, member: Subscription): Promise<void> {
    await member.close()
    if (!reader.idle) return
    if (readers.get(queue) === reader) readers.delete(queue)
    await reader.close()
    unclosed.delete(reader)
  }

  async function close(): Promise<void> {
    state = 'closing'
    await Promise.all([...unclosed].map((reader) => reader.close()))
    await incoming.close(farewellMs)
    await outgoing.close(farewellMs)
    state = 'closed'
  }

  return {
    async publish(channel, messages) {
      // While it closes, the handlers in hand still publish their replies.
      refuseClosed('publish to', channel, state !== 'closed')
      const letters = messages.map((message) => ({ id: message.id, toParcel: () => toParcel(message) }))
      if (letters.length > 0) await publisher.publish(places.target(channel), letters)
    },
    async subscribe(channel, group, handler) {
      refuseClosed('subscribe to', channel, state === 'open')
      const source = places.source(channel, group)
      const reader = readerOf(source)
      const member = reader.join(handler)
      // Not there in time, it is read as soon as it can be.
      await within(options.timeoutMs, reader.established)
      let left: Promise<void> | null = null
      return { close: () => (left ??= leave(source.queue, reader, member)) }
    },
    ready: async () =>
      state === 'open' && outgoing.usable && incoming.usable && [...readers.values()].every((reader) => reader.ready),
    close: () => (closing ??= close()),
  }
}

/** @throws Error without the address, which may hold a password */
function addressOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'amqp:' && url?.protocol !== 'amqps:') {
    throw new Error('the address of RabbitMQ must be a URL such as amqp://user:password@host:5672/vhost')
  }
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', heartbeatSeconds)
  return url.href
}
