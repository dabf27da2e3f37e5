/**
 * Sends messages out: finds the address of each, writes it as a request, and queues it for its peer (`peer.ts`). A reply
 * that an open request waits for becomes the answer to that request instead.
 */
import type { Chance } from '../../chance.ts'
import type { Clock } from '../../clock.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import type { OnProblem } from '../../problem.ts'
import type { DeadLetterList } from '../dead-letters.ts'
import { RefusedError, UnavailableError, type Message } from '../transport.ts'
import type { UnreadChannels } from '../unread-channels.ts'
import { within } from '../within.ts'
import type { AddressBook } from './address-book.ts'
import type { Inbound } from './inbound.ts'
import { isRefusal, Peer, type OutgoingMessage } from './peer.ts'
import { describe, readAnswer, toRequest } from './wire.ts'

export interface OutboundOptions {
  readonly addresses: AddressBook
  readonly inbound: Inbound
  readonly dead: DeadLetterList
  readonly unread: UnreadChannels
  readonly report: OnProblem
  /** Takes the replies that came in the answer to a message of a channel. */
  readonly onReplies: (channel: string, replies: readonly Message[]) => void
  readonly fetch: typeof globalThis.fetch
  readonly timeoutMs: number
  readonly concurrency: number
  readonly maxQueued: number
  readonly retry: RetryPolicy
  readonly clock: Clock
  readonly chance: Chance
}

interface Unsendable {
  readonly id: string
  readonly why: unknown
}

export class Outbound {
  readonly #options: OutboundOptions
  /** By address. */
  readonly #peers = new Map<string, Peer>()
  /** Why the last message was not taken, by address: told once, not with each try. */
  readonly #failing = new Map<string, string>()

  constructor(options: OutboundOptions) {
    this.#options = options
  }

  /**
   * Resolves when the messages are queued, and what nobody would repeat is taken by its peer.
   *
   * @throws RefusedError with the ids of what can never be sent; all else goes out
   */
  async publish(channel: string, messages: readonly Message[]): Promise<void> {
    const { addresses } = this.#options
    if (addresses.replyChannel(channel) !== null && addresses.of(channel).length === 0) {
      throw new UnavailableError(`no peer serves ${channel}: add its base URL to peers`)
    }
    const { outgoing, unsendable } = this.#write(channel, messages)
    await Promise.all([...this.#route(channel, outgoing)].flatMap(([address, some]) => this.#queue(address, some)))
    if (unsendable.length > 0) throw refusalOf(channel, unsendable)
  }

  /** Waits for the open requests; gives up what waits. */
  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()))
  }

  /** Those that no open request waits for, each as it is posted; and those that can never be sent, with the reason. */
  #write(channel: string, messages: readonly Message[]) {
    const { addresses, inbound } = this.#options
    const replyTo = addresses.replyTo(channel)
    const [outgoing, unsendable]: [OutgoingMessage[], Unsendable[]] = [[], []]
    for (const message of messages) {
      try {
        if (inbound.reply(message)) continue
        outgoing.push({ channel, message, request: toRequest(message, replyTo) })
      } catch (why) {
        unsendable.push({ id: message.id, why })
      }
    }
    return { outgoing, unsendable }
  }

  /** By the address that they go to. */
  #route(channel: string, outgoing: readonly OutgoingMessage[]): ReadonlyMap<string, readonly OutgoingMessage[]> {
    const { addresses, inbound } = this.#options
    const routed = new Map<string, OutgoingMessage[]>()
    for (const each of outgoing) {
      const named = inbound.replyTo(each.message)
      const to = named === null ? addresses.of(channel) : [named]
      if (to.length === 0) this.#goesNowhere(each)
      for (const address of to) {
        const there = routed.get(address)
        if (there === undefined) routed.set(address, [each])
        else there.push(each)
      }
    }
    return routed
  }

  #goesNowhere({ channel, message }: OutgoingMessage): void {
    if (message.causationId === undefined) return this.#options.unread.published(channel)
    this.#options.report({
      what: `${message.type} on ${channel} goes nowhere: no request waits for it, no peer reads it`,
      needsPerson: false,
      sagaId: message.correlationId,
      messageId: message.id,
    })
  }

  /** Queues them; what is waited for is in the promises. */
  #queue(address: string, outgoing: readonly OutgoingMessage[]): readonly Promise<void>[] {
    const taken: Promise<void>[] = []
    const queued = outgoing.map((each): OutgoingMessage => {
      const { message } = each
      if (!this.#isAwaited(each)) return each
      const { promise, resolve, reject } = settledOnce()
      taken.push(promise)
      const ended = (failure: unknown): void => {
        // What the peer will never take as it is must not hold up what comes after it.
        if (failure === null || isRefusal(failure)) return resolve()
        const what = `${message.type} was not taken by ${address}: ${describe(failure)}: publish it again`
        reject(new Error(what, { cause: failure }))
      }
      return { ...each, ended }
    })
    this.#peerAt(address).add(queued)
    return taken
  }

  #peerAt(address: string): Peer {
    const known = this.#peers.get(address)
    if (known !== undefined) return known
    const made = new Peer(address, {
      ...this.#options,
      send: (outgoing) => this.#send(address, outgoing),
      onGivenUp: (outgoing, cause) => this.#giveUp(address, outgoing, cause),
    })
    this.#peers.set(address, made)
    return made
  }

  /** An event that its sender publishes again is no dead letter. */
  #giveUp(address: string, outgoing: OutgoingMessage, cause: unknown): void {
    const { channel, message } = outgoing
    if (this.#isAwaited(outgoing) && !isRefusal(cause)) return
    this.#options.dead.add(channel, message, `${address}: ${describe(cause)}`)
  }

  async #send(address: string, { channel, message, request }: OutgoingMessage): Promise<void> {
    const { addresses, clock, fetch, timeoutMs, onReplies } = this.#options
    const late = new AbortController()
    const exchange = async (): Promise<readonly Message[]> => {
      const headers = { ...(await addresses.headersFor(address)), ...request.headers }
      const { signal } = late
      const response = await fetch(address, { method: 'POST', redirect: 'error', headers, body: request.body, signal })
      return readAnswer(response, message, clock.now())
    }
    try {
      const replies = await within(clock, timeoutMs, exchange())
      this.#failing.delete(address)
      if (replies.length > 0) onReplies(channel, replies)
    } catch (error) {
      if (!isRefusal(error)) this.#triedInVain(address, message, error)
      throw error
    } finally {
      late.abort()
    }
  }

  /** Nobody repeats an event that answers no command. */
  #isAwaited({ channel, message }: OutgoingMessage): boolean {
    return this.#options.addresses.replyChannel(channel) === null && message.causationId === undefined
  }

  /** At the first try: what waits for a person (a wrong address, a login page) should not wait for the last. */
  #triedInVain(address: string, { id, type, correlationId }: Message, cause: unknown): void {
    const why = describe(cause)
    if (this.#failing.get(address) === why) return
    this.#failing.set(address, why)
    this.#options.report({
      what: `${type} was not taken by ${address}, and is tried again: ${why}`,
      needsPerson: false,
      sagaId: correlationId,
      messageId: id,
    })
  }
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

/** A promise for somebody who may have gone when it is settled. */
function settledOnce(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let [resolve, reject] = [(): void => undefined, (_error: Error): void => undefined]
  const promise = new Promise<void>((done, failed) => ([resolve, reject] = [done, failed]))
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}
