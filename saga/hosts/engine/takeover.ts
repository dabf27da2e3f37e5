/**
 * Says that this process lives, and takes the live sagas of those that do not.
 *
 * The owner is a hint: two processes that both believe they own a saga send the same commands under the same ids, and
 * `seq` lets only one of their moves through.
 *
 * Invariant: no live saga belongs to a live owner who does not know it, or not its definition. A claim of unknown outcome
 * may have made it so; the process then takes another name and signs the old one off, so that all its sagas are claimed
 * again.
 */
import type { DefinitionVersion, Found, Store, StoredSaga } from '../../stores/store.ts'
import type { Clock } from '../../clock.ts'
import type { OnProblem, Problem } from '../../problem.ts'

export interface TakeoverOptions {
  readonly store: Store
  readonly owner: () => string
  readonly rename: () => void
  readonly clock: Clock
  readonly heartbeatMs: number
  /** A process that says nothing for so long counts as gone. */
  readonly silentMs: number
  /** What this process can run; the rest is left to others. */
  readonly versions: readonly DefinitionVersion[]
  readonly resume: (saga: StoredSaga) => void
  /** Called with each heartbeat. */
  readonly onBeat: () => void
  readonly onProblem: OnProblem
}

/** A saga that nobody can run: told to the owner that took it. */
export const damageProblem = (sagaId: string, cause: unknown): Problem => ({
  what: `saga ${sagaId} cannot be run`,
  needsPerson: true,
  sagaId,
  cause,
})

/** Sagas taken at once. */
const portion = 500

export class Takeover {
  readonly #options: TakeoverOptions
  #timer: { cancel(): void } | null = null
  #beating: Promise<void> | null = null
  /** A nudge came while a beat was under way. */
  #again = false
  #stopped = false
  #failing = false
  /** The answer of a claim was lost. */
  #unsure = false

  constructor(options: TakeoverOptions) {
    this.#options = options
  }

  async begin(): Promise<void> {
    const { store } = this.#options
    await this.#claim(store.exclusive === true ? 0 : this.#options.silentMs)
    this.#plan()
  }

  /** Takes what nobody owns without waiting for the next heartbeat. */
  nudge(): void {
    if (this.#stopped) return
    if (this.#beating !== null) return void (this.#again = true)
    this.#timer?.cancel()
    this.#beatNow()
  }

  /** Resolves when the beat under way is over; what it takes from now on is left to others. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#beating
  }

  #plan(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.after(this.#options.heartbeatMs, () => this.#beatNow())
  }

  #beatNow(): void {
    this.#beating = this.#beat().then(() => {
      this.#beating = null
      if (!this.#again) return this.#plan()
      this.#again = false
      this.nudge()
    })
  }

  async #beat(): Promise<void> {
    try {
      if (this.#unsure) await this.#renamed()
      else await this.#options.store.heartbeat(this.#options.owner(), this.#options.versions)
      await this.#claim(this.#options.silentMs)
      this.#failing = false
      this.#options.onBeat()
    } catch (error) {
      if (!this.#failing)
        this.#options.onProblem({
          what: 'the heartbeat could not be written; others may take this process for dead',
          needsPerson: false,
          cause: error,
        })
      this.#failing = true
    }
  }

  /** Each portion is taken by a process that has just said that it lives: many together take longer than its silence may. */
  async #claim(silentMs: number): Promise<void> {
    const { store, owner, versions, resume, onProblem } = this.#options
    while (!this.#stopped) {
      const { sagas, damaged } = await this.#take(silentMs)
      if (this.#stopped) return
      sagas.forEach(resume)
      for (const { id, problem } of damaged) onProblem(damageProblem(id, problem))
      if (sagas.length + damaged.length < portion) return
      await store.heartbeat(owner(), versions)
    }
  }

  async #take(silentMs: number): Promise<Found> {
    const { store, owner, versions } = this.#options
    try {
      return await store.claim(owner(), silentMs, portion, versions)
    } catch (error) {
      this.#unsure = true
      throw error
    }
  }

  async #renamed(): Promise<void> {
    const { store, owner, versions, rename } = this.#options
    const before = owner()
    rename()
    await store.heartbeat(owner(), versions)
    await store.retire(before) // where this fails, its heartbeat is missed soon enough
    this.#unsure = false
  }
}
