/**
 * Tells subscribers every move of a saga, in order.
 *
 * History is the truth; what the loop reports is passed on directly when it follows on, and a gap (a slow subscriber,
 * or another process that moved the saga) is read from the store. A hint only says that there may be something new. Hints
 * can be lost: one question for so many sagas at a time looks for what they did not tell, however many are followed.
 */
import type { SagaState } from '../../core/state.ts'
import { isSettled } from '../../core/state.ts'
import type { HistoryEntry, Store } from '../../stores/store.ts'

/** Entries that a subscriber lets gather in memory; with more it reads the store instead. */
const mostGathered = 256

/** Sagas that one look asks for: few enough that commits do not wait for it. */
const mostAtOnce = 200

class Subscriber {
  /** Of the last move that it has seen. */
  seq: number
  gathered: HistoryEntry[] = []
  /** Read the store before waiting again. */
  behind = true
  ended = false
  #wake: (() => void) | null = null

  constructor(afterSeq: number) {
    this.seq = afterSeq
  }

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
  /** Sagas that were followed when this round of looks began, and have not had their turn. */
  #round: string[] = []
  #stopped = false

  constructor(store: Store) {
    this.#store = store
  }

  /** A saga was moved here; without entries, it may have moved unseen. */
  moved(state: SagaState, entries: readonly HistoryEntry[]): void {
    if (isSettled(state.status)) this.#settle(state.id, state)
    const subscribers = this.#subscribers.get(state.id)
    if (subscribers === undefined) return
    for (const entry of entries.length === 0 ? [null] : entries)
      subscribers.forEach((subscriber) => subscriber.poke(entry))
  }

  /** These sagas may have been moved elsewhere. */
  async hint(sagaIds: readonly string[]): Promise<void> {
    for (const id of sagaIds) this.#subscribers.get(id)?.forEach((subscriber) => subscriber.poke(null))
    await this.#read(sagaIds.filter((id) => this.#awaited.has(id)))
  }

  /** A slow look, in turns, at what other processes may have moved: a hint is lost while its connection is. */
  async look(): Promise<void> {
    const turn = this.#round.splice(0, mostAtOnce)
    if (this.#round.length === 0) this.#round = [...new Set([...this.#subscribers.keys(), ...this.#awaited.keys()])]
    await this.#read(turn.filter((id) => this.#subscribers.has(id) || this.#awaited.has(id)))
  }

  async #read(sagaIds: readonly string[]): Promise<void> {
    if (sagaIds.length === 0) return
    for (const { id, seq, state } of (await this.#store.load(sagaIds)).sagas) {
      if (isSettled(state.status)) this.#settle(id, state)
      this.#subscribers.get(id)?.forEach((subscriber) => {
        if (subscriber.seq < seq) subscriber.poke(null)
      })
    }
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
  async *updates(
    sagaId: string,
    afterSeq: number,
    signal?: AbortSignal,
  ): AsyncGenerator<HistoryEntry, void, undefined> {
    const subscriber = this.#join(sagaId, afterSeq)
    const end = (): void => subscriber.end()
    if (this.#stopped || signal?.aborted === true) end()
    signal?.addEventListener('abort', end)
    try {
      while (!subscriber.ended) {
        for (const entry of await this.#take(sagaId, subscriber)) {
          if (entry.seq <= subscriber.seq) continue // seen already
          if (entry.seq > subscriber.seq + 1) {
            subscriber.behind = true // moved elsewhere in between: the store has what is missing
            break
          }
          subscriber.seq = entry.seq
          yield entry
          if (subscriber.ended) return
        }
        await subscriber.wait()
      }
    } finally {
      signal?.removeEventListener('abort', end)
      this.#leave(sagaId, subscriber)
    }
  }

  async #take(sagaId: string, subscriber: Subscriber): Promise<readonly HistoryEntry[]> {
    const gathered = subscriber.gathered
    subscriber.gathered = []
    if (!subscriber.behind) return gathered
    subscriber.behind = false
    const read = await this.#store.history(sagaId, subscriber.seq)
    // What the loop reported while the read was under way is in `gathered` again; a full page means there is more.
    if (read.length >= 1000) subscriber.behind = true
    return read
  }

  #join(sagaId: string, afterSeq: number): Subscriber {
    const subscriber = new Subscriber(afterSeq)
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
