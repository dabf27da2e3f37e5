/**
 * The engine's one loop: while one batch commits, the next gathers (natural group commit). At low load a batch is one
 * input and costs one commit; under load it is hundreds, for about the same price.
 */
import { StoreError } from '../../stores/store.ts'
import type { Clock } from './clock.ts'
import { EngineError } from './errors.ts'
import type { Job, Mover } from './mover.ts'

export interface LoopOptions {
  readonly mover: Mover
  readonly clock: Clock
  /** Most inputs that are decided and committed together. */
  readonly maxBatch: number
  /** Most inputs that wait; beyond, callers are pushed back. */
  readonly maxQueued: number
  readonly onProblem: (what: string, cause: unknown) => void
}

export class Loop {
  readonly #options: LoopOptions
  #queue: Job[] = []
  #running: Promise<void> | null = null
  #stopping = false
  #room: (() => void)[] = []
  #pausing: { cancel(): void; end(): void } | null = null

  constructor(options: LoopOptions) {
    this.#options = options
  }

  get queued(): number {
    return this.#queue.length
  }

  /** Takes an input, or refuses it where too many wait. */
  offer(job: Job): void {
    if (this.#stopping) job.failed(stopped())
    else if (this.#queue.length >= this.#options.maxQueued)
      job.failed(new EngineError('busy', `${this.#queue.length} inputs wait already. Ask again in a second.`))
    else this.put(job)
  }

  /** Takes an input whatever waits: what the engine itself caused, or what came after `room`. */
  put(job: Job): void {
    this.#queue.push(job)
    this.#running ??= this.#run()
  }

  /** Resolves when the queue has room: what reads from a broker waits here instead of reading on. */
  async room(): Promise<void> {
    while (this.#queue.length >= this.#options.maxQueued) await new Promise<void>((resolve) => this.#room.push(resolve))
  }

  /** Finishes what waits and the batch in flight, then refuses everything. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#pausing?.end()
    while (this.#running !== null) await this.#running
  }

  async #run(): Promise<void> {
    // What the same tick still brings belongs to this batch.
    await new Promise<void>((resolve) => setImmediate(resolve))
    let failures = 0
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#options.maxBatch)
      try {
        this.#queue.unshift(...(await this.#options.mover.run(batch)))
        failures = 0
      } catch (error) {
        await this.#failed(batch, error, ++failures)
      }
      this.#room.splice(0).forEach((resolve) => resolve())
    }
    this.#running = null
  }

  /** The outcome of the batch is unknown: it is run again from what is stored, for as long as it takes. */
  async #failed(batch: readonly Job[], error: unknown, failures: number): Promise<void> {
    const { mover, onProblem } = this.#options
    mover.forget(batch)
    const retryable = error instanceof StoreError && error.code === 'unavailable'
    if (!retryable || this.#stopping) {
      batch.forEach((job) => job.failed(error))
      if (!retryable) onProblem('a batch failed for a reason that a retry does not help', error)
      return
    }
    if (failures === 1) onProblem('the store does not answer; inputs wait and are tried again', error)
    for (const job of batch) job.uncertain = true
    this.#queue.unshift(...batch)
    await this.#pause(Math.min(50 * 2 ** (failures - 1), 1000))
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(ms, resolve)
      this.#pausing = { cancel: () => timer.cancel(), end: resolve }
    })
    this.#pausing = null
  }
}

const stopped = (): EngineError =>
  new EngineError('stopped', 'The engine is stopping. Ask another replica, or this one after its restart.')
