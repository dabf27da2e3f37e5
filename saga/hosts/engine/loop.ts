/**
 * The engine's loop: while a batch commits, the next gathers (natural group commit). At low load a batch is one input and
 * costs one commit; under load it is hundreds, for about the same price.
 *
 * Over a database in another process two batches are under way at once (lanes): one is decided while the other commits.
 * A saga is in one lane at a time, and its inputs keep their order.
 */
import { StoreError } from '../../stores/store.ts'
import type { Clock } from '../../clock.ts'
import { EngineError } from './errors.ts'
import type { Job, Mover } from './mover.ts'
import type { OnProblem, Problem } from '../../problem.ts'

export interface LoopOptions {
  readonly mover: Mover
  readonly clock: Clock
  /** Batches under way at once. */
  readonly lanes: number
  /** Most inputs that are decided and committed together. */
  readonly maxBatch: number
  /** Most inputs that wait; beyond, callers are pushed back. */
  readonly maxQueued: number
  readonly onProblem: OnProblem
}

export class Loop {
  readonly #options: LoopOptions
  readonly #lanes = new Set<Promise<void>>()
  /** Sagas of the batches under way. */
  readonly #busy = new Set<string>()
  readonly #pauses = new Set<() => void>()
  #queue: Job[] = []
  /** Lanes that will look at the queue again. */
  #active = 0
  /** A lane is about to take what has gathered. */
  #gathering = false
  #stopping = false
  /** A problem of the store was told, and it has not worked since. */
  #told = false
  /** Why nothing can be stored, while inputs wait to be tried again: who could ask again is refused at once. */
  #unwritable: StoreError | null = null
  #room: (() => void)[] = []
  #batches = 0
  #inputs = 0

  constructor(options: LoopOptions) {
    this.#options = options
  }

  get queued(): number {
    return this.#queue.length
  }

  /** Whether who could ask again is taken in: not while nothing can be stored. */
  get takes(): boolean {
    return this.#unwritable === null
  }

  /** Batches that were tried since the start. */
  get batches(): number {
    return this.#batches
  }

  /** Inputs that were in them. */
  get inputs(): number {
    return this.#inputs
  }

  /** Takes an input of somebody who can ask again; refuses it where too many wait, or nothing can be stored now. */
  offer(job: Job): void {
    if (this.#unwritable !== null) return job.failed(this.#unwritable)
    job.offered = true
    const waiting = this.#queue.length
    if (waiting < this.#options.maxQueued) this.put(job)
    else job.failed(new EngineError('busy', `${waiting} inputs wait already. Ask again in a second.`))
  }

  /** Takes an input whatever waits: what the engine itself caused, or what came after `room`. */
  put(job: Job): void {
    if (this.#stopping)
      return job.failed(
        new EngineError('stopped', 'The engine is stopping. Ask another replica, or this one after its restart.'),
      )
    this.#queue.push(job)
    if (this.#gathering || this.#active >= this.#options.lanes) return
    const lane = this.#run().finally(() => this.#lanes.delete(lane))
    this.#lanes.add(lane)
  }

  /** Resolves when the queue has room: what reads from a broker waits here instead of reading on. */
  async room(): Promise<void> {
    while (this.#queue.length >= this.#options.maxQueued) await new Promise<void>((resolve) => this.#room.push(resolve))
  }

  /** Refuses what comes from now on, and finishes what waits; what waits for a store that is away is refused. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#pauses.forEach((end) => end())
    while (this.#lanes.size > 0) await Promise.all(this.#lanes)
  }

  async #run(): Promise<void> {
    this.#active += 1
    let failures = 0
    for (;;) {
      this.#gathering = true
      // What the same turn of the event loop still brings belongs to this batch. And others have their turn between two: a
      // store that answers within the call would hold up everything else for as long as something waits.
      await new Promise<void>((resolve) => setImmediate(resolve))
      this.#gathering = false
      const batch = this.#take()
      if (batch.length === 0) break
      this.#batches += 1
      this.#inputs += batch.length
      const sagas = batch.map((job) => job.sagaId)
      sagas.forEach((id) => this.#busy.add(id))
      try {
        // Read before it is put back: meanwhile another lane may have given the queue a new list.
        const again = await this.#options.mover.run(batch)
        this.#queue.unshift(...again)
        failures = 0
        this.#told = false
        this.#unwritable = null
      } catch (error) {
        await this.#failed(batch, error, ++failures)
      }
      sagas.forEach((id) => this.#busy.delete(id))
      this.#room.splice(0).forEach((resolve) => resolve())
    }
    this.#active -= 1 // in the same turn in which nothing was left to take: what comes next starts a new lane
  }

  /** The oldest inputs whose sagas are in no other lane; those of the others are taken by that lane when it comes back. */
  #take(): readonly Job[] {
    const { maxBatch } = this.#options
    if (this.#busy.size === 0) return this.#queue.splice(0, maxBatch)
    const batch: Job[] = []
    const left: Job[] = []
    for (const job of this.#queue) {
      const free = batch.length < maxBatch && !this.#busy.has(job.sagaId)
      if (free) batch.push(job)
      else left.push(job)
    }
    this.#queue = left
    return batch
  }

  /** Nothing was stored, or nobody knows: the batch is run again from what is stored, for as long as it takes. */
  async #failed(batch: readonly Job[], error: unknown, failures: number): Promise<void> {
    const { mover, onProblem } = this.#options
    mover.forget(batch.map((job) => job.sagaId))
    if (!isRetryable(error)) {
      batch.forEach((job) => job.failed(error))
      return onProblem({
        what: 'a batch failed for a reason that a retry does not help',
        needsPerson: true,
        cause: error,
      })
    }
    if (this.#stopping && failures > 1) {
      // Each further try, and each further batch, would only wait for the store as well.
      const unknown = leftUnknown(error)
      return [...batch, ...this.#queue.splice(0)].forEach((job) => job.failed(unknown))
    }
    if (!this.#told) onProblem(problemOf(error))
    this.#told = true
    this.#queue.unshift(...batch)
    if (error.code === 'unwritable') this.#refuseOffered(error)
    for (const job of batch) job.uncertain = true // also of what is not stored a part may be, where the batch was split
    if (!this.#stopping && this.#queue.length > 0) await this.#pause(Math.min(50 * 2 ** (failures - 1), 1000))
  }

  /** Whoever can ask again need not wait for room; whoever may have been heard by an earlier commit is not told that he was not. */
  #refuseOffered(why: StoreError): void {
    const waiting = this.#queue
    const isRefused = ({ offered, uncertain }: Job): boolean => offered === true && uncertain !== true
    this.#queue = waiting.filter((job) => !isRefused(job))
    this.#unwritable = this.#queue.length > 0 ? why : null // else the next to ask finds out
    for (const job of waiting.filter(isRefused)) job.failed(why)
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        timer.cancel()
        this.#pauses.delete(end)
        resolve()
      }
      const timer = this.#options.clock.after(ms, end)
      this.#pauses.add(end)
    })
  }
}

const isRetryable = (error: unknown): error is StoreError =>
  error instanceof StoreError && (error.code === 'unavailable' || error.code === 'unwritable')

const problemOf = (error: StoreError): Problem =>
  error.code === 'unwritable'
    ? {
        what: 'nothing can be stored; requests are refused, answers wait and are tried again',
        needsPerson: true,
        cause: error,
      }
    : { what: 'the store does not answer; inputs wait and are tried again', needsPerson: false, cause: error }

const leftUnknown = (error: StoreError): EngineError =>
  new EngineError(
    'stopped',
    'The engine stopped while its store was away: this may or may not have taken effect. Ask another replica, with the same key, or this one after its restart.',
    error,
  )
