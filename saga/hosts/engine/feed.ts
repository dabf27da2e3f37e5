/**
 * Tells subscribers every move of a saga, in order, without polling the store.
 *
 * History is the truth; what the loop reports is passed on directly when it follows on, and a gap (a slow subscriber,
 * or another process that moved the saga) is read from the store. A hint only says that there may be something new.
 */
import type { Event } from '../../core/events.ts'
import { evolve } from '../../core/evolve.ts'
import type { SagaState } from '../../core/state.ts'
import { isSettled } from '../../core/state.ts'
import type { HistoryEntry, Store } from '../../stores/store.ts'

/** One move and the saga's state after it. */
export interface Update {
  readonly seq: number
  /** Unix milliseconds. */
  readonly at: number
  readonly events: readonly Event[]
  readonly state: SagaState
}

/** Entries that a subscriber lets gather in memory; with more it reads the store instead. */
const mostGathered = 256

class Subscriber {
  gathered: HistoryEntry[] = []
  /** Read the store before waiting again. */
  behind = true
  ended = false
  #wake: (() => void) | null = null

  poke(entry: HistoryEntry | null): void {
    if (entry === null || this.gathered.length >= mostGathered) {
      this.behind = true
      this.gathered = []
    } else if (!this.behind) this.gathered.push(entry)
    this.#wake?.()
  }

  /** Ends the subscription: what waits is woken. */
  end(): void {
    this.ended = true
    this.#wake?.()
  }

  async wait(): Promise<void> {
    if (this.behind || this.gathered.length > 0 || this.ended) return
    await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#wake = null
  }
}

export class Feed {
  readonly #store: Store
  readonly #subscribers = new Map<string, Set<Subscriber>>()
  readonly #awaited = new Map<string, Set<(state: SagaState | null) => void>>()
  #followed: ReadonlySet<string> = new Set()
  #stopped = false

  constructor(store: Store) {
    this.#store = store
  }

  /** A move was committed here. */
  moved(state: SagaState, entries: readonly HistoryEntry[]): void {
    if (isSettled(state.status)) this.#settle(state.id, state)
    if (this.#subscribers.size === 0) return
    for (const entry of entries) this.#subscribers.get(entry.sagaId)?.forEach((subscriber) => subscriber.poke(entry))
  }

  /** These sagas may have been moved elsewhere. */
  async hint(sagaIds: readonly string[]): Promise<void> {
    for (const id of sagaIds) this.#subscribers.get(id)?.forEach((subscriber) => subscriber.poke(null))
    const awaited = sagaIds.filter((id) => this.#awaited.has(id))
    if (awaited.length === 0) return
    for (const { id, state } of await this.#store.load(awaited)) if (isSettled(state.status)) this.#settle(id, state)
  }

  /**
   * Ids that were followed at the last call already: for a slow look at what other processes may have moved, since a hint
   * can be lost while its connection is.
   */
  followedLong(): readonly string[] {
    const now = new Set([...this.#subscribers.keys(), ...this.#awaited.keys()])
    const long = [...now].filter((id) => this.#followed.has(id))
    this.#followed = now
    return long
  }

  /** The state in which the saga ends or parks from now on; null when the wait is ended before. */
  awaitSettled(sagaId: string, signal?: AbortSignal): { readonly state: Promise<SagaState | null>; callOff(): void } {
    let end: (state: SagaState | null) => void = () => undefined
    const state = new Promise<SagaState | null>((resolve) => (end = resolve))
    const abort = (): void => end(null)
    if (this.#stopped || signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort)
    const set = this.#awaited.get(sagaId) ?? new Set()
    this.#awaited.set(sagaId, set.add(end))
    const callOff = (): void => {
      signal?.removeEventListener('abort', abort)
      set.delete(end)
      if (set.size === 0 && this.#awaited.get(sagaId) === set) this.#awaited.delete(sagaId)
    }
    return { state, callOff }
  }

  #settle(sagaId: string, state: SagaState | null): void {
    const callbacks = this.#awaited.get(sagaId)
    this.#awaited.delete(sagaId)
    callbacks?.forEach((callback) => callback(state))
  }

  stop(): void {
    this.#stopped = true
    for (const id of this.#awaited.keys()) this.#settle(id, null)
    for (const set of this.#subscribers.values()) set.forEach((subscriber) => subscriber.end())
  }

  /** Every move after `afterSeq`, past ones first, then live ones, until the signal or the engine ends it. */
  async *updates(sagaId: string, afterSeq: number, signal?: AbortSignal): AsyncGenerator<Update, void, undefined> {
    const subscriber = this.#join(sagaId)
    const end = (): void => subscriber.end()
    if (this.#stopped || signal?.aborted === true) end()
    signal?.addEventListener('abort', end)
    let state: SagaState | null = null
    let seq = 0
    try {
      while (!subscriber.ended) {
        for (const entry of await this.#take(sagaId, subscriber, seq)) {
          if (entry.seq <= seq) continue // seen already
          if (entry.seq > seq + 1) {
            subscriber.behind = true // moved elsewhere in between: the store has what is missing
            break
          }
          state = entry.events.reduce<SagaState | null>(evolve, state)
          seq = entry.seq
          if (seq > afterSeq && state !== null) yield { seq, at: entry.at, events: entry.events, state }
          if (subscriber.ended) return
        }
        await subscriber.wait()
      }
    } finally {
      signal?.removeEventListener('abort', end)
      this.#leave(sagaId, subscriber)
    }
  }

  async #take(sagaId: string, subscriber: Subscriber, seq: number): Promise<readonly HistoryEntry[]> {
    const gathered = subscriber.gathered
    subscriber.gathered = []
    if (!subscriber.behind) return gathered
    subscriber.behind = false
    const read = await this.#store.history(sagaId, seq)
    // What the loop reported while the read was under way is in `gathered` again; a full page means there is more.
    if (read.length >= 1000) subscriber.behind = true
    return read
  }

  #join(sagaId: string): Subscriber {
    const subscriber = new Subscriber()
    const set = this.#subscribers.get(sagaId) ?? new Set()
    this.#subscribers.set(sagaId, set.add(subscriber))
    return subscriber
  }

  #leave(sagaId: string, subscriber: Subscriber): void {
    const set = this.#subscribers.get(sagaId)
    set?.delete(subscriber)
    if (set?.size === 0) this.#subscribers.delete(sagaId)
  }
}
