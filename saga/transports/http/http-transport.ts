/**
 * Moves messages between processes by HTTP: a command is a POST with `Idempotency-Key`, its reply comes in the answer, or
 * later as a POST to the address that the command named.
 *
 * Invariants beyond those of every transport:
 * - a POST is answered 200 when its message is handled; a command that waits for a handler, or whose reply comes later, 202;
 *   one that could not be handled is answered 503, and the sender delivers it again under the same key;
 * - commands and their replies are not durable: `publish` resolves once they are queued in this process, and never waits for
 *   a peer (see the in-process transport). What is given up after bounded tries, what a process that dies had queued, and what
 *   fails after a 202, is healed by the saga: it repeats the command under its id, and the participant answers from its inbox;
 * - an event that answers no command has nobody who would ask for it again: `publish` resolves once the peer has handled it,
 *   and rejects when the tries are used up; what the peer refuses for good, and what its handler fails on in every try, goes
 *   to the dead letters;
 * - where more than `maxQueued` messages wait for a peer, `publish` rejects; a message that no peer would ever take (no JSON,
 *   more than 1 MiB) is refused, and all others of its `publish` go out;
 * - a late reply goes only to addresses at a configured peer (or on this machine, where this process is itself reached by
 *   loopback): a stranger cannot make it call any address he likes. Who may call this process is for its web framework.
 */
import { systemChance, type Chance } from '../../chance.ts'
import { systemClock, type Clock } from '../../clock.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import { problemReporter, type OnProblem } from '../../problem.ts'
import { DeadLetterList } from '../dead-letters.ts'
import { delivery } from '../delivery.ts'
import { QueueFullError } from '../group.ts'
import { Lifecycle } from '../lifecycle.ts'
import { readOptions } from '../options.ts'
import type { DeadLetter, Transport } from '../transport.ts'
import { UnreadChannels } from '../unread-channels.ts'
import { AddressBook, type HttpPeer, type HttpPeers, type PeerHeaders } from './address-book.ts'
import { Inbound } from './inbound.ts'
import { Outbound } from './outbound.ts'
import {
  readRequest,
  refused,
  replyToIn,
  unavailable,
  type HttpAnswer,
  type HttpRequest,
  type RequestHeaders,
} from './wire.ts'

export type { HttpAnswer, HttpPeer, HttpPeers, HttpRequest, PeerHeaders, RequestHeaders }

export interface HttpTransportOptions {
  /**
   * Who serves a channel: `{ order_commands: 'http://orders:3002' }` posts to `http://orders:3002/messages/order_commands`.
   * Another path, and headers such as a token, are for an `HttpPeer`. Of several services that read a channel, each gets all.
   */
  readonly peers: HttpPeers
  /**
   * Channels of commands that are not called by the convention, and where their answers come:
   * `{ products_queue: 'orchestration_queue' }`. Else `order_commands` is answered in `order_events`.
   */
  readonly replies?: Readonly<Record<string, string>>
  /** Where others reach this process, such as `http://sagas:3101`. Without it late replies have no way back. */
  readonly self?: string
  /** What requests are made with, such as one with a proxy or a client certificate; the global `fetch` where none is given. */
  readonly fetch?: typeof globalThis.fetch
  /** Most open requests per address; 64 where none is given. */
  readonly concurrency?: number
  /** How long a request may take, in milliseconds; 10,000 where none is given. Longer than the peers' `replyWaitMs`. */
  readonly timeoutMs?: number
  /** How long a command's request is kept open for its reply, in milliseconds; 2,000 where none is given. */
  readonly replyWaitMs?: number
  /** Most messages in one batch for a handler; 500 where none is given. */
  readonly maxBatch?: number
  /** Most messages that wait for one address or one group; 100,000 where none is given. */
  readonly maxQueued?: number
  /** Of each channel, so many of the newest messages are kept for groups that come later; 10,000 where none is given. */
  readonly historyPerChannel?: number
  /** Tries to deliver one message; five within about nine seconds where none is given. */
  readonly retry?: Partial<RetryPolicy>
  readonly clock?: Clock
  /** Spreads the tries of many messages. */
  readonly chance?: Chance
  /** Hears of dead letters, failures and channels that nobody reads. Without it, what needs a person goes to stderr. */
  readonly onProblem?: OnProblem
}

export interface HttpTransport extends Transport {
  /** Takes a POST to `/messages/<channel>`. What is wrong with it is in the answer. */
  receive(request: HttpRequest): Promise<HttpAnswer>
  /** Messages that were given up, oldest first; the newest thousand are kept. */
  deadLetters(): readonly DeadLetter[]
}

const defaults = {
  replies: {},
  fetch: (...request: Parameters<typeof globalThis.fetch>) => globalThis.fetch(...request),
  concurrency: 64,
  timeoutMs: 10_000,
  replyWaitMs: 2_000,
  maxBatch: 500,
  maxQueued: 100_000,
  historyPerChannel: 10_000,
  retry: { tries: 5, firstMs: 100, factor: 4, maxMs: 10_000, jitter: 0.5 },
  clock: systemClock,
  chance: systemChance,
}

/**
 * @throws TypeError for an option that is unknown, or that no value fits
 * @throws Error where an address in the options is no base URL
 *
 * @example
 * const transport = httpTransport({ peers: { order_commands: 'http://orders:3002' }, self: 'http://sagas:3101' })
 * app.post('/messages/:channel', async (request, reply) => {
 *   const answer = await transport.receive({ channel: request.params.channel, headers: request.headers, body: request.body })
 *   return reply.code(answer.status).headers(answer.headers).send(answer.body)
 * })
 */
export function httpTransport(given: HttpTransportOptions): HttpTransport {
  const options = readOptions(
    'httpTransport',
    given,
    defaults,
    {
      peers: 'object',
      replies: 'object',
      self: 'text',
      fetch: 'hook',
      concurrency: 'count',
      timeoutMs: 'milliseconds',
      replyWaitMs: 'milliseconds',
      maxBatch: 'count',
      maxQueued: 'count',
      historyPerChannel: 'countOrNone',
      retry: 'retry',
      clock: 'clock',
      chance: 'chance',
      onProblem: 'hook',
    },
    ['peers'],
  )
  const { clock } = options
  const report = problemReporter(options.onProblem)
  const addresses = new AddressBook(options.peers, options.self, options.replies)
  const lifecycle = new Lifecycle('HTTP')
  const dead = new DeadLetterList(report)
  const unread = new UnreadChannels(clock, report)
  const subscribers = delivery({
    ...options,
    unread,
    onDead: (channel, message, reason) => dead.add(channel, message, reason),
  })
  const inbound = new Inbound({ ...options, addresses, subscribers, report })
  const outbound = new Outbound({
    ...options,
    addresses,
    dead,
    unread,
    report,
    inbound,
    onReplies: (channel, replies) => subscribers.offer(addresses.replyChannel(channel) ?? channel, replies),
  })

  return {
    async publish(channel, messages) {
      lifecycle.checkPublish(channel, messages)
      await outbound.publish(channel, messages)
    },
    async subscribe(channel, group, handler) {
      lifecycle.checkSubscribe(channel, group, handler)
      return subscribers.subscribe(channel, group, handler)
    },
    async receive(request) {
      if (!lifecycle.open) return unavailable('this process is stopping: send the message again')
      const read = readRequest(request, clock.now())
      if (!read.ok) return read.answer
      const replyTo = replyToIn(request)
      if (replyTo !== null && !addresses.mayReplyTo(replyTo)) {
        return refused(400, `Ordersaga-Reply-To names an address that this process must not call: add a peer there`)
      }
      try {
        return await inbound.handOver(request.channel, read.message, replyTo)
      } catch (error) {
        if (error instanceof QueueFullError) return unavailable(error.message)
        throw error
      }
    },
    ready: async () => lifecycle.open,
    close: () =>
      lifecycle.close(
        () => subscribers.close(),
        () => outbound.close(),
      ),
    deadLetters: () => dead.all(),
  }
}
