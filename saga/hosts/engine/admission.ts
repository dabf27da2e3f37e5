/**
 * Refuses starts where too much waits already. Taken in beyond what the participants can do, sagas would only wait until
 * their attempts' times are up, and the good among them would be undone.
 */
import type { Command } from '../../core/pending.ts'
import { EngineError } from './errors.ts'

/** Sagas of a definition that wait for the answer of one step. */
export interface Waiting {
  readonly definition: string
  readonly step: string
  readonly direction: Command['direction']
  readonly sagas: number
}

type Place = Omit<Waiting, 'sagas'>

export class Admission {
  readonly #maxRunning: number
  /** Sagas that wait for an answer, as far as this process knows. */
  readonly #running = new Map<string, Place>()
  /** Starts that are not committed yet. */
  #starting = 0

  constructor(maxRunning: number) {
    this.#maxRunning = maxRunning
  }

  get running(): number {
    return this.#running.size
  }

  /** Where each saga waits, those of one place together. */
  get waiting(): readonly Waiting[] {
    const places = new Map<string, Waiting>()
    for (const place of this.#running.values()) {
      const key = JSON.stringify([place.definition, place.step, place.direction])
      places.set(key, { ...place, sagas: (places.get(key)?.sagas ?? 0) + 1 })
    }
    return [...places.values()]
  }

  /** @param commands what it waits for; nothing where it waits for nobody, or is another process's by now */
  moved(sagaId: string, definition: string, [first]: readonly Command[]): void {
    if (first === undefined) this.#running.delete(sagaId)
    else this.#running.set(sagaId, { definition, step: first.step, direction: first.direction })
  }

  left(sagaId: string): void {
    this.#running.delete(sagaId)
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
