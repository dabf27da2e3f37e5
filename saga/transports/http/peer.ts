/**
 * Sends messages to one address, each as a POST.
 *
 * Invariants:
 * - messages of one saga go one after the other, the next only when the last is accepted or given up;
 * - at most `concurrency` requests are open; a message in its pause between tries takes none of them;
 * - a message that waits already is not queued a second time, and both are told what becomes of it.
 */
import type { Chance } from '../../chance.ts'
import type { Clock } from '../../clock.ts'
import { backoff, type RetryPolicy } from '../../core/retry.ts'
import { QueueFullError } from '../group.ts'
import type { Message } from '../transport.ts'

/** A message as it is posted. */
export interface PostRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A message with its channel, on its way to a peer. */
export interface OutgoingMessage {
  readonly channel: string
  readonly message: Message
  readonly request: PostRequest
  /** Of one that somebody waits for, called once: with null when the peer has taken it, else with why it was given up. */
  readonly ended?: (failure: unknown) => void
}

export interface PeerOptions {
  readonly concurrency: number
  readonly maxQueued: number
  readonly retry: RetryPolicy
  readonly clock: Clock
  readonly chance: Chance
  /** Sends once; throws a `SendError` or any other error where the peer has not accepted it. */
  readonly send: (outgoing: OutgoingMessage) => Promise<void>
  /** Called once per message, however often it was published while it waited. */
  readonly onGivenUp: (outgoing: OutgoingMessage, cause: unknown) => void
}

/** Of a message that was published several times while it waited, everybody who waits is told. */
interface Waiting extends OutgoingMessage {
  readonly ends: NonNullable<OutgoingMessage['ended']>[]
  /** Each try so far came to the peer's handler, which failed. */
  poison: boolean
}

/** Why a peer did not take a message. */
export class SendError extends Error {
  override readonly name = 'SendError'
  /** False where the peer will never take it as it is. */
  readonly again: boolean
  /** The pause that the peer asks for, in milliseconds; 0 where it asks for none. */
  readonly pauseMs: number
  /** The peer's handler failed on this message; false where the peer can handle nothing now, or did not say. */
  readonly handlerFailed: boolean
  constructor(
    message: string,
    advice: { readonly again: boolean; readonly pauseMs?: number; readonly handlerFailed?: boolean },
  ) {
    super(message)
    this.again = advice.again
    this.pauseMs = advice.pauseMs ?? 0
    this.handlerFailed = advice.handlerFailed ?? false
  }
}

export class Peer {
  readonly #name: string
  readonly #options: PeerOptions
  /** Per saga, what waits; the first is being sent or in its pause. */
  readonly #queues = new Map<string, Waiting[]>()
  /** Sagas whose first message can be sent now. */
  readonly #ready: { readonly saga: string; readonly failures: number }[] = []
  readonly #pauses = new Set<{ cancel(): void }>()
  readonly #sending = new Set<Promise<void>>()
  #queued = 0
  #closed = false

  constructor(name: string, options: PeerOptions) {
    this.#name = name
    this.#options = options
  }

  /**
   * @throws QueueFullError where there is no room for all of them; then none is queued
   * @throws SendError where it is closed
   */
  add(messages: readonly OutgoingMessage[]): void {
    if (this.#closed) throw closing()
    if (this.#queued + messages.length > this.#options.maxQueued) {
      throw new QueueFullError(this.#name, this.#options.maxQueued)
    }
    for (const each of messages) this.#queue(each)
    this.#pump()
  }

  /** Waits for the open requests; gives up what waits. */
  async close(): Promise<void> {
    this.#closed = true
    for (const pause of this.#pauses) pause.cancel()
    await Promise.all(this.#sending)
    const left = [...this.#queues.values()].flat()
    this.#queues.clear()
    for (const { ends } of left) for (const ended of ends) ended(closing())
  }

  #queue(outgoing: OutgoingMessage): void {
    const { correlationId: saga, id } = outgoing.message
    const queue = this.#queues.get(saga)
    const same = queue?.find((waiting) => waiting.message.id === id && waiting.channel === outgoing.channel)
    const ends = outgoing.ended === undefined ? [] : [outgoing.ended]
    if (same !== undefined) return void same.ends.push(...ends)
    this.#queued++
    const waiting = { ...outgoing, ends, poison: true }
    if (queue !== undefined) return void queue.push(waiting)
    this.#queues.set(saga, [waiting])
    this.#ready.push({ saga, failures: 0 })
  }

  #pump(): void {
    while (!this.#closed && this.#sending.size < this.#options.concurrency) {
      const next = this.#ready.shift()
      if (next === undefined) return
      const sending = this.#sendFirst(next.saga, next.failures).finally(() => {
        this.#sending.delete(sending)
        this.#pump()
      })
      this.#sending.add(sending)
    }
  }

  async #sendFirst(saga: string, failures: number): Promise<void> {
    const outgoing = this.#queues.get(saga)?.[0]
    if (outgoing === undefined) return
    try {
      await this.#options.send(outgoing)
      this.#takeNext(saga, null)
    } catch (error) {
      const said = error instanceof SendError ? error : null
      outgoing.poison &&= said?.handlerFailed ?? false
      const again = said?.again ?? true
      if (again && failures + 1 < this.#options.retry.tries) return this.#pause(saga, failures + 1, error)
      const failure = outgoing.poison && said !== null ? new SendError(said.message, { again: false }) : error
      this.#options.onGivenUp(outgoing, failure)
      this.#takeNext(saga, failure)
    }
  }

  /** The first of its queue is done with; the next may go. */
  #takeNext(saga: string, failure: unknown): void {
    this.#queued--
    const queue = this.#queues.get(saga)
    const first = queue?.shift()
    if (queue?.length === 0) this.#queues.delete(saga)
    else this.#ready.push({ saga, failures: 0 })
    for (const ended of first?.ends ?? []) ended(failure)
  }

  #pause(saga: string, failures: number, error: unknown): void {
    if (this.#closed) return
    const { retry, clock, chance } = this.#options
    const asked = error instanceof SendError ? Math.min(error.pauseMs, retry.maxMs) : 0
    // Many sagas fail together when a peer is away; a seed for each keeps them from coming back together.
    const own = backoff(retry, failures, Math.trunc(chance.random() * 2 ** 32), 0)
    const timer = clock.after(Math.max(asked, own), () => {
      this.#pauses.delete(timer)
      this.#ready.push({ saga, failures })
      this.#pump()
    })
    this.#pauses.add(timer)
  }
}

const closing = (): SendError => new SendError('this process is closing', { again: true })

/** For good. */
export const isRefusal = (failure: unknown): boolean => failure instanceof SendError && !failure.again
