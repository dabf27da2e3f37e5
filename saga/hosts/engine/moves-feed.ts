/**
 * The moves of all sagas, page after page, as the store has them. What moves here, and hints of what moved elsewhere, only say
 * that there may be more; each heartbeat looks as well, since hints can be lost.
 */
import type { Clock } from '../../clock.ts'
import type { MovePage, Store } from '../../stores/store.ts'

/** Moves read at once: each follower holds so many, and each may hold what a saga was started with. */
const portion = 100

/** A store may show a move only when older transactions have ended: it is looked for again after so long, in milliseconds. */
const againMs = 50

export class MovesFeed {
  readonly #store: Store
  readonly #clock: Clock
  readonly #waiting = new Set<() => void>()
  /** Counts pokes, so that one that comes during a read is not lost. */
  #poked = 0
  #stopped = false

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** There may be new moves. */
  poke(): void {
    this.#poked += 1
    for (const wake of this.#waiting) wake()
  }

  stop(): void {
    this.#stopped = true
    this.poke()
  }

  /** Pages with moves, until the signal or the engine ends it. */
  async *pages(after: string | null, signal?: AbortSignal): AsyncGenerator<MovePage, void, undefined> {
    let position = after
    let hopeful = false
    while (!this.#stopped && signal?.aborted !== true) {
      const seen = this.#poked
      const page = await this.#store.moves(position, portion)
      position = page.next
      if (page.moves.length > 0 || page.damaged.length > 0) {
        hopeful = false
        yield page
      } else if (seen === this.#poked) {
        // Poked, and nothing there yet: once more soon, then with the next poke.
        hopeful = await this.#wait(hopeful, signal)
      }
    }
  }

  /** Waits for a poke, or a moment where one had come in vain; true where it was a poke. */
  #wait(hopeful: boolean, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (poked: boolean) => (): void => {
        timer?.cancel()
        this.#waiting.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve(poked)
      }
      const wake = end(true)
      const timer = hopeful ? this.#clock.after(againMs, end(false)) : null
      this.#waiting.add(wake)
      signal?.addEventListener('abort', wake)
    })
  }
}
