/** Has one session with a broker after the other, for as long as it is wanted, with growing pauses where none is to be had. */
import type { Clock } from '../clock.ts'
import { backoff, type RetryPolicy } from '../core/retry.ts'
import type { OnProblem } from '../problem.ts'
import { pause } from './within.ts'

export interface SessionsOptions {
  readonly clock: Clock
  readonly report: OnProblem
  /** Has one session, from its beginning to its end. */
  readonly run: () => Promise<void>
  /** What an error that ended a session means, and when to try again where it is no matter of growing pauses. */
  readonly explain: (error: unknown) => { readonly what: string; readonly waitMs?: number }
}

const again: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 2_000, jitter: 0.5 }

export class Sessions {
  readonly #options: SessionsOptions
  readonly #stop = new AbortController()
  /** Resolves when no further session is wanted. */
  readonly stopped: Promise<void>
  #running: Promise<void> = Promise.resolve()
  #failures = 0
  #lastProblem: string | null = null

  constructor(options: SessionsOptions) {
    this.#options = options
    this.stopped = new Promise((resolve) => this.#stop.signal.addEventListener('abort', () => resolve()))
  }

  start(): void {
    this.#running = this.#run()
  }

  /** The session works: pauses begin anew, and what hinders it later is told anew. */
  works(): void {
    this.#failures = 0
    this.#lastProblem = null
  }

  /** Resolves when the last one has ended. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { clock, run, explain } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      let given: number | undefined
      try {
        await run()
      } catch (error) {
        const { what, waitMs } = explain(error)
        this.#reportOnce(what, error)
        given = waitMs
      }
      this.#failures++
      await pause(clock, given ?? backoff(again, this.#failures, 0, 0), signal)
    }
  }

  /** What hinders is told once, not with every attempt. */
  #reportOnce(what: string, cause: unknown): void {
    const problem = `${what}: ${String(cause)}`
    if (problem === this.#lastProblem || this.#stop.signal.aborted) return
    this.#lastProblem = problem
    this.#options.report({ what, needsPerson: false, cause })
  }
}
