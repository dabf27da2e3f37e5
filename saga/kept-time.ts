/**
 * The time by which old rows are removed where a database has no clock but the machine's.
 *
 * A machine whose clock jumps ahead must not make yesterday's keys and answers old: what was asked under them could come again
 * and would be done twice. Whatever the clock says, this time goes on no faster than the hours of the running processes, and by
 * one day for each start, for when none ran. Where that is too little, rows are kept longer, which harms nobody.
 */
import { problemReporter, type OnProblem } from './problem.ts'

const dayMs = 86_400_000

export interface KeptTimeOptions {
  /** The clock of this machine, Unix milliseconds; the system's where none is given. */
  readonly now?: (() => number) | undefined
  /** Milliseconds that never jump. */
  readonly elapsed?: (() => number) | undefined
  /** Told once when the clock is ahead of this time. */
  readonly onProblem?: OnProblem | undefined
}

export class KeptTime {
  readonly #now: () => number
  readonly #elapsed: () => number
  readonly #onProblem: OnProblem
  /** The time has come this far at most; the start of this process. */
  #most: { readonly at: number; readonly elapsed: number } | null = null
  #isTold = false

  constructor({ now = Date.now, elapsed = () => performance.now(), onProblem }: KeptTimeOptions) {
    this.#now = now
    this.#elapsed = elapsed
    this.#onProblem = problemReporter(onProblem)
  }

  /**
   * Gives the time, which the caller remembers for the next process.
   *
   * @param remembered what was given last, or the newest time that rows have where there is none yet; null where there is neither
   */
  next(remembered: number | null): number {
    const now = this.#now()
    this.#most ??= { at: (remembered ?? now) + dayMs, elapsed: this.#elapsed() }
    const most = this.#most.at + this.#elapsed() - this.#most.elapsed
    if (now > most) this.#tell(now - most)
    else this.#isTold = false
    return Math.min(now, Math.floor(most))
  }

  #tell(aheadMs: number): void {
    if (this.#isTold) return
    this.#isTold = true
    this.#onProblem({
      what: `the clock of this machine is ${Math.max(1, Math.round(aheadMs / dayMs))} days ahead of the time that is known to have passed here; what is old by it is kept for as much longer. Set it right, unless nothing ran here for so long`,
      needsPerson: true,
    })
  }
}
