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
import type { RetryPolicy } from '../../core/retry.ts'
import { delivery, QueueFullError, systemTimer, type Timer } from '../delivery.ts'
import { RefusedError, UnavailableError, type DeadLetter, type Message, type Transport } from '../transport.ts'
import { Inbound } from './inbound.ts'
import { Peer, SendError, type Parcel } from './peer.ts'
import {
  baseUrl,
  describe,
  isCommandChannel,
  messagesUrl,
  readAnswer,
  readRequest,
  refused,
  replyChannel,
  replyGuard,
  replyToIn,
  toPosting,
  unavailable,
  type HttpAnswer,
  type HttpRequest,
} from './wire.ts'

export interface HttpTransportOptions {
  /** Who serves a channel: `{ order_commands: 'http://orders:3002' }` posts to `http://orders:3002/messages/order_commands`. */
  readonly peers: Readonly<Record<string, string>>
  /** Where others reach this process, such as `http://sagas:3101`. Without it late replies have no way back. */
  readonly self?: string
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
  /** Tries to deliver one message; five within about nine seconds where none is given. */
  readonly retry?: RetryPolicy
  readonly timer?: Timer
  readonly onProblem?: (problem: HttpProblem) => void
}

export interface HttpProblem {
  readonly what: string
  readonly messageId: string
  readonly cause: unknown
}

export interface HttpTransport extends Transport {
  /** Takes a POST to `/messages/<channel>`. What is wrong with it is in the answer. */
  receive(request: HttpRequest): Promise<HttpAnswer>
  /** Messages that were given up, oldest first; the newest thousand are kept. */
  deadLetters(): readonly DeadLetter[]
}

const defaults = {
  concurrency: 64,
  timeoutMs: 10_000,
  replyWaitMs: 2_000,
  maxBatch: 500,
  maxQueued: 100_000,
  retry: { tries: 5, firstMs: 100, factor: 4, maxMs: 10_000, jitter: 0.5 },
  timer: systemTimer,
}

const deadLettersKept = 1_000

/**
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
  const options = { ...defaults, ...given }
  const bases = new Map(Object.entries(options.peers).map(([channel, base]) => [channel, baseUrl(base)]))
  const self = options.self === undefined ? null : baseUrl(options.self)
  const mayReplyTo = replyGuard([...bases.values()], self)
  const addresses = new Map<string, Peer>()
  const dead: DeadLetter[] = []
  let state: 'open' | 'closing' | 'closed' = 'open'

  const problem = (what: string, { id }: Message, cause: unknown): void =>
    options.onProblem?.({ what, messageId: id, cause })

  function bury(channel: string, message: Message, reason: string): void {
    problem(`${message.type} on ${channel} is given up`, message, reason)
    dead.push({ channel, reason, message })
    if (dead.length > deadLettersKept) dead.shift()
  }

  const subscribers = delivery({ ...options, onDead: bury })
  const inbound = new Inbound({
    ...options,
    subscribers,
    onFailure: (channel, message, reason) =>
      problem(`${message.type} on ${channel} could not be handled`, message, reason),
  })

  function peerAt(address: string): Peer {
    const peer =
      addresses.get(address) ??
      new Peer(address, {
        ...options,
        send: (parcel) => send(address, parcel),
        onGivenUp({ channel, message }, cause) {
          if (!isAwaited(channel, message) || isRefusal(cause)) bury(channel, message, `${address}: ${describe(cause)}`)
        },
      })
    addresses.set(address, peer)
    return peer
  }

  async function send(address: string, { channel, message, posting }: Parcel): Promise<void> {
    const signal = AbortSignal.timeout(options.timeoutMs)
    const response = await fetch(address, { method: 'POST', redirect: 'error', ...posting, signal })
    const replies = await readAnswer(response, message)
    if (replies.length > 0) subscribers.offer(replyChannel(channel), replies)
  }

  /** Those that no open request waits for, each as it is posted; and those that can never be sent, with the reason. */
  function write(channel: string, messages: readonly Message[]) {
    const replyTo = self !== null && isCommandChannel(channel) ? messagesUrl(self, replyChannel(channel)) : null
    const [parcels, unsendable]: [Parcel[], Unsendable[]] = [[], []]
    for (const message of messages) {
      try {
        if (inbound.reply(message)) continue
        parcels.push({ channel, message, posting: toPosting(message, replyTo) })
      } catch (why) {
        unsendable.push({ id: message.id, why })
      }
    }
    return { parcels, unsendable }
  }

  /** By the address that they go to. */
  function route(channel: string, parcels: readonly Parcel[]): ReadonlyMap<string, readonly Parcel[]> {
    const routed = new Map<string, Parcel[]>()
    for (const parcel of parcels) {
      const { message } = parcel
      const base = bases.get(channel)
      const address = inbound.replyTo(message) ?? (base === undefined ? null : messagesUrl(base, channel))
      if (address !== null) routed.set(address, [...(routed.get(address) ?? []), parcel])
      else
        problem(`${message.type} on ${channel} goes nowhere: no request waits for it, no peer reads it`, message, null)
    }
    return routed
  }

  /** Queues them; what is waited for is in the promises. */
  function hand(address: string, parcels: readonly Parcel[]): readonly Promise<void>[] {
    const taken: Promise<void>[] = []
    const handed = parcels.map((parcel): Parcel => {
      const { channel, message } = parcel
      if (!isAwaited(channel, message)) return parcel
      const { promise, resolve, reject } = settledOnce()
      taken.push(promise)
      const ended = (failure: unknown): void => {
        // What the peer will never take as it is must not hold up what comes after it.
        if (failure === null || isRefusal(failure)) return resolve()
        const what = `${message.type} was not taken by ${address}: ${describe(failure)}: publish it again`
        reject(new Error(what, { cause: failure }))
      }
      return { ...parcel, ended }
    })
    peerAt(address).add(handed)
    return taken
  }

  const closed = (what: string, channel: string): Error =>
    new UnavailableError(`cannot ${what} ${channel}: the HTTP transport is closed`)

  return {
    async publish(channel, messages) {
      // While it closes, the handlers in hand still publish their replies.
      if (state === 'closed') throw closed('publish to', channel)
      if (isCommandChannel(channel) && !bases.has(channel)) {
        throw new UnavailableError(`no peer serves ${channel}: add its base URL to peers`)
      }
      const { parcels, unsendable } = write(channel, messages)
      const routed = [...route(channel, parcels)]
      await Promise.all(routed.flatMap(([address, some]) => hand(address, some)))
      if (unsendable.length > 0) throw refusalOf(channel, unsendable)
    },
    async subscribe(channel, group, handler) {
      if (state !== 'open') throw closed('subscribe to', channel)
      return subscribers.subscribe(channel, group, handler)
    },
    async receive(request) {
      if (state !== 'open') return unavailable('this process is stopping: send the message again')
      const read = readRequest(request)
      if (!read.ok) return read.answer
      const replyTo = replyToIn(request)
      if (replyTo !== null && !mayReplyTo(replyTo)) {
        return refused(400, `Ordersaga-Reply-To names an address that this process must not call: add a peer there`)
      }
      try {
        return await inbound.handOver(request.channel, read.message, replyTo)
      } catch (error) {
        if (error instanceof QueueFullError) return unavailable(error.message)
        throw error
      }
    },
    ready: async () => state === 'open',
    async close() {
      state = 'closing'
      await subscribers.close()
      await Promise.all([...addresses.values()].map((peer) => peer.close()))
      state = 'closed'
    },
    deadLetters: () => [...dead],
  }
}

interface Unsendable {
  readonly id: string
  readonly why: unknown
}

function refusalOf(channel: string, unsendable: readonly Unsendable[]): RefusedError {
  const cause = unsendable[0]?.why
  const messages = `${unsendable.length} message${unsendable.length === 1 ? '' : 's'} to ${channel}`
  return new RefusedError(
    `${messages} can never be sent: ${describe(cause)}`,
    unsendable.map(({ id }) => id),
    { cause },
  )
}

/** Nobody repeats an event that answers no command. */
const isAwaited = (channel: string, { causationId }: Message): boolean =>
  !isCommandChannel(channel) && causationId === undefined

/** For good. */
const isRefusal = (failure: unknown): boolean => failure instanceof SendError && !failure.again

/** A promise for somebody who may have gone when it is settled. */
function settledOnce(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let [resolve, reject] = [(): void => undefined, (_error: Error): void => undefined]
  const promise = new Promise<void>((done, failed) => ([resolve, reject] = [done, failed]))
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}
