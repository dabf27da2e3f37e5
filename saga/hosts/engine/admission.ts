/**
 * Refuses starts where too much waits already. Taken in beyond what the participants can do, sagas would only wait until
 * their attempts' times are up, and the good among them would be undone.
 */
import { EngineError } from './errors.ts'

export class Admission {
  readonly #maxRunning: number
  /** Sagas that wait for an answer, as far as this process knows. */
  readonly #running = new Set<string>()
  /** Starts that are not committed yet. */
  #starting = 0

  constructor(maxRunning: number) {
    this.#maxRunning = maxRunning
  }

  get running(): number {
    return this.#running.size
  }

  moved(sagaId: string, waits: boolean): void {
    if (waits) this.#running.add(sagaId)
    else this.#running.delete(sagaId)
  }

  /** Runs a start where there is room. @throws EngineError busy */
  async start<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running.size + this.#starting >= this.#maxRunning)
      throw new EngineError(
        'busy',
        `${this.#running.size} sagas wait for their participants, and ${this.#starting} begin. Ask again in a second.`,
      )
    this.#starting += 1
    try {
      return await work()
    } finally {
      this.#starting -= 1
    }
  }
}
