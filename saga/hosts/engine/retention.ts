/**
 * Removes ended sagas when their time is up: portion after portion, for as long as portions are full. One at a time, with
 * a pause after each, so that commits never wait for more than one.
 */
import type { Store } from '../../stores/store.ts'
import type { Clock } from '../../clock.ts'
import type { OnProblem } from '../../problem.ts'

export interface RetentionOptions {
  readonly store: Store
  readonly clock: Clock
  /** Ended sagas are kept this many milliseconds after their last move, by the store's clock. */
  readonly retainMs: number
  readonly onProblem: OnProblem
}

/** Few at once, so that an embedded store is not held up. */
const portion = 200

/** Several times what a portion takes. */
const pauseMs = 20

export class Retention {
  readonly #options: RetentionOptions
  #running: Promise<void> | null = null
  #stopped = false
  #endPause: () => void = () => undefined

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  /** Removes what is due, where that is not under way. */
  run(): void {
    if (this.#stopped) return
    this.#running ??= this.#prune().finally(() => (this.#running = null))
  }

  /** Resolves when the portion under way is removed. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#endPause()
    await this.#running
  }

  async #prune(): Promise<void> {
    const { store, retainMs, onProblem } = this.#options
    try {
      while (!this.#stopped) {
        if ((await store.prune(retainMs, portion)) < portion) return
        await this.#pause()
      }
    } catch (cause) {
      const what = 'ended sagas could not be removed; tried again with the next heartbeat'
      onProblem({ what, needsPerson: false, cause })
    }
  }

  async #pause(): Promise<void> {
    if (this.#stopped) return
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(pauseMs, resolve)
      this.#endPause = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}
