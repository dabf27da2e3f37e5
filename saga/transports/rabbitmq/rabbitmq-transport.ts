/**
 * Moves messages between processes through RabbitMQ: durable queues, publisher confirms, acknowledgements after the handler.
 *
 * Invariants beyond those of every transport:
 * - it works for as long as the server is there, and again when it is back: nothing here gives up or needs a restart;
 * - publishing and reading have a connection each. A server short of memory stops reading from publishers, and what waits
 *   in its queues can be acknowledged all the same;
 * - one consumer of a group is active at a time, and another takes over when it is gone (`topology.ts`).
 */
import { systemChance, type Chance } from '../../chance.ts'
import { systemClock, type Clock } from '../../clock.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import { problemReporter, type OnProblem } from '../../problem.ts'
import { Lifecycle } from '../lifecycle.ts'
import { readOptions } from '../options.ts'
import { Readers } from '../readers.ts'
import type { Transport } from '../transport.ts'
import { settledWithin } from '../within.ts'
import { Link } from './link.ts'
import { Publisher } from './publisher.ts'
import { Reader } from './reader.ts'
import { topology, type Source } from './topology.ts'
import { toAmqpMessage } from './wire.ts'

export { PublishError, type PublishErrorCode } from './publisher.ts'

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
  /**
   * Types of commands that foreign services send without a `transaction_id`: each counts as a transaction of its own. Any other
   * message without one goes to the dead letters.
   */
  readonly uncorrelated?: readonly string[]
  /** Goes before the names of exchanges and queues (but not those of `queues`), for systems that share a virtual host. */
  readonly prefix?: string
  /**
   * How much of what was published to a channel is kept for groups that subscribe later, in bytes; 256 MiB where none is
   * given. It holds for streams that are not declared yet.
   */
  readonly historyBytes?: number
  /** Most messages that a reader has in hand, and in one batch; 500 where none is given. */
  readonly prefetch?: number
  /** Tries of a message that a handler fails; fourteen within about three minutes where none is given. */
  readonly retry?: Partial<RetryPolicy>
  /** A message that has come back so often from lost consumers (quorum queues) has one more try; 20 where none is given. */
  readonly maxReturns?: number
  /** How long `publish` may take, and how long `subscribe` waits for an absent server; 10,000 ms where none is given. */
  readonly timeoutMs?: number
  /** For all waits but those of the RabbitMQ client itself. */
  readonly clock?: Clock
  /** Spreads the attempts to connect of many processes. */
  readonly chance?: Chance
  /** Hears of dead letters and of what hinders. Without it, what needs a person goes to stderr. */
  readonly onProblem?: OnProblem
}

const defaults = {
  queueType: 'quorum' as const,
  queues: {},
  uncorrelated: [] as readonly string[],
  prefix: '',
  historyBytes: 268_435_456,
  prefetch: 500,
  // Longer than a database takes to come back: an outage is not to fill the dead letters.
  retry: { tries: 14, firstMs: 100, factor: 2, maxMs: 30_000, jitter: 0 },
  maxReturns: 20,
  timeoutMs: 10_000,
  clock: systemClock,
  chance: systemChance,
}

/** A server that does not answer when it is left is cut off after this long. */
const disconnectMs = 2_000

/** A silent connection is given up after two to three of these, here and by the server, which then lets another consumer read. */
const heartbeatSeconds = '3'

/**
 * Connects in the background; an absent server is waited for.
 *
 * @throws TypeError for an option that is unknown, or that no value fits
 * @throws Error where the address is none
 *
 * @example
 * const transport = rabbitmqTransport({ url: 'amqp://guest:guest@localhost:5672' })
 */
export function rabbitmqTransport(given: RabbitmqTransportOptions): Transport {
  const options = readOptions('rabbitmqTransport', given, defaults, {
    url: 'any', // checked below: an error must not show it
    queueType: 'queueType',
    queues: 'object',
    uncorrelated: 'texts',
    prefix: 'text',
    historyBytes: 'bytes',
    prefetch: 'prefetch',
    retry: 'retry',
    maxReturns: 'countOrNone',
    timeoutMs: 'milliseconds',
    clock: 'clock',
    chance: 'chance',
    onProblem: 'hook',
  })
  const url = addressOf(options.url)
  const { clock, chance, timeoutMs } = options
  const places = topology(options)
  const report = problemReporter(options.onProblem)
  const link = (name: string): Link => new Link({ url, name, clock, chance, report })

  const [outgoing, incoming] = [link('ordersaga, publishing'), link('ordersaga, reading')]
  const publisher = new Publisher(outgoing, options)
  const readers = new Readers<Reader>()
  const lifecycle = new Lifecycle('RabbitMQ')

  /** A queue is read for one group. */
  function checkGroup({ queue, group }: Source): void {
    const known = readers.of(queue)?.group
    if (known === undefined || known === group) return
    throw new Error(`${queue} has one group, ${known}: ${group} cannot read it besides`)
  }

  return {
    async publish(channel, messages) {
      lifecycle.checkPublish(channel, messages)
      const outgoings = messages.map((message) => ({ id: message.id, write: () => toAmqpMessage(message) }))
      if (outgoings.length > 0) await publisher.publish(places.target(channel), outgoings)
    },
    async subscribe(channel, group, handler) {
      lifecycle.checkSubscribe(channel, group, handler)
      const source = places.source(channel, group)
      checkGroup(source)
      const dead = (queue: string) => places.dead(queue)
      const make = (): Reader => new Reader({ ...options, source, link: incoming, publisher, dead, report })
      const { reader, subscription } = readers.join(source.queue, make, handler)
      // Not there in time, it is read as soon as it can be.
      await settledWithin(clock, timeoutMs, reader.established)
      return subscription
    },
    ready: async () => lifecycle.open && outgoing.usable && incoming.usable && readers.ready,
    close: () =>
      lifecycle.close(
        () => readers.close(),
        async () => {
          await incoming.close(disconnectMs)
          await outgoing.close(disconnectMs)
        },
      ),
  }
}

/** @throws Error without the address, which may hold a password */
function addressOf(text: unknown): string {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'amqp:' && url?.protocol !== 'amqps:') {
    throw new Error('the address of RabbitMQ must be a URL such as amqp://user:password@host:5672/vhost')
  }
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', heartbeatSeconds)
  return url.href
}
