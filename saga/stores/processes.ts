/** The processes of a store that only one holds, with its engines one after the other: kept in memory, gone with it. */
import type { DefinitionVersion } from './store.ts'
import { StoreError } from './store.ts'

export const versionKey = ({ definition, version }: DefinitionVersion): string => `${version}:${definition}`

interface Beat {
  readonly at: number
  readonly runs: readonly string[]
}

export class Processes {
  readonly #now: () => number
  readonly #beats = new Map<string, Beat>()
  #use: { readonly owner: string } | null = null

  constructor(now: () => number) {
    this.#now = now
  }

  beat(owner: string, runs: readonly DefinitionVersion[]): void {
    this.#beats.set(owner, { at: this.#now(), runs: runs.map(versionKey) })
  }

  retire(owner: string): void {
    this.#beats.delete(owner)
  }

  alive(silentMs: number): string[] {
    return [...this.#beats].filter(([, { at }]) => this.#now() - at < silentMs).map(([owner]) => owner)
  }

  /** How many others live and run the version. */
  othersRunning(version: DefinitionVersion, owner: string, silentMs: number): number {
    const key = versionKey(version)
    return this.alive(silentMs).filter((other) => other !== owner && this.#beats.get(other)?.runs.includes(key)).length
  }

  /** @throws StoreError `locked` */
  use(owner: string): () => void {
    if (this.#use !== null)
      throw new StoreError(
        'locked',
        `This store is in use by another engine in this process (${this.#use.owner}). Give each engine a store of its own, or stop that one first.`,
      )
    const use = { owner }
    this.#use = use
    return () => {
      if (this.#use === use) this.free()
    }
  }

  /** Whoever has the store has it no longer. */
  free(): void {
    this.#use = null
  }
}
