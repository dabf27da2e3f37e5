/**
 * Inputs for sagas that this process cannot run, since their version is not registered here: they are kept in the store,
 * which all processes share, and carried out by one that can. And the other way round: what others have kept for this one.
 *
 * In a rolling upgrade the builds share a group: answers come to whichever reads them, and none may wait for chance.
 */
import type { Input } from '../../core/decide.ts'
import type { DefinitionVersion, HandedInput, Store, StoredSaga } from '../../stores/store.ts'
import type { Clock } from '../../clock.ts'
import type { OnProblem } from '../../problem.ts'
import { EngineError } from './errors.ts'
import type { Loop } from './loop.ts'
import type { Outcome } from './mover.ts'
import { named } from './registry.ts'

export interface HandoverOptions {
  readonly store: Store
  readonly clock: Clock
  readonly loop: Loop
  readonly versions: readonly DefinitionVersion[]
  readonly onProblem: OnProblem
}

interface Waiting {
  readonly handed: HandedInput
  readonly kept: () => void
  readonly failed: (error: unknown) => void
}

/** Kept inputs that are taken at once. */
const portion = 500

/** How long a request waits for the process that carries it out, and how often it looks, in milliseconds. */
const patienceMs = 10_000
const lookMs = 100

export class Handover {
  readonly #options: HandoverOptions
  readonly #underWay = new Set<string>()
  readonly #told = new Set<string>()
  #gathered: Waiting[] = []
  #taking: Promise<void> | null = null
  #stopped = false

  constructor(options: HandoverOptions) {
    this.#options = options
  }

  /** Keeps an input for whoever runs the saga; resolves once it is durable. What gathers in a turn is one call. */
  hand(saga: StoredSaga, inputId: string, input: Input): Promise<'handed'> {
    this.#tell(saga)
    return new Promise((kept, failed) => {
      this.#gathered.push({ handed: { sagaId: saga.id, inputId, input }, kept: () => kept('handed'), failed })
      if (this.#gathered.length === 1) setImmediate(() => void this.#keep())
    })
  }

  /** Keeps a request and waits until it is carried out. @throws EngineError handed_over */
  async ask(saga: StoredSaga, inputId: string, input: Input): Promise<Outcome> {
    const { store, clock } = this.#options
    await this.hand(saga, inputId, input)
    const name = { sagaId: saga.id, inputId }
    for (const began = clock.elapsed(); clock.elapsed() - began < patienceMs && !this.#stopped;) {
      if ((await store.stillHanded([name])).length === 0) return this.#outcomeOf(saga.id, inputId)
      await new Promise<void>((resolve) => clock.after(lookMs, resolve))
    }
    throw new EngineError(
      'handed_over',
      `Saga ${saga.id} runs under ${named(saga)}, which is not registered here, and no process that runs it has answered within ${patienceMs / 1000} s. The request is kept, and is carried out when one does.`,
    )
  }

  /** Carries out what was kept for the versions that run here. */
  take(): void {
    this.#taking ??= this.#takeAll().finally(() => (this.#taking = null))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#taking
  }

  async #keep(): Promise<void> {
    const gathered = this.#gathered
    this.#gathered = []
    try {
      await this.#options.store.hand(gathered.map(({ handed }) => handed))
      gathered.forEach(({ kept }) => kept())
    } catch (error) {
      gathered.forEach(({ failed }) => failed(error))
    }
  }

  async #outcomeOf(sagaId: string, inputId: string): Promise<Outcome> {
    const {
      sagas: [saga],
    } = await this.#options.store.load([sagaId])
    if (saga === undefined) throw new EngineError('not_found', `There is no saga ${sagaId}.`)
    const recent = await this.#options.store.history(sagaId, Math.max(0, saga.seq - 100))
    const events = recent.find((entry) => entry.inputId === inputId)?.events ?? []
    return { saga, events, fresh: false }
  }

  async #takeAll(): Promise<void> {
    const { store, versions, onProblem } = this.#options
    try {
      while (!this.#stopped) {
        const handed = await store.handed(versions, portion)
        const fresh = handed.filter((each) => !this.#underWay.has(keyOf(each)))
        if (fresh.length === 0) return
        await store.dropHanded(await this.#carryOut(fresh))
      }
    } catch (cause) {
      const what = 'inputs that were handed over could not be read; tried again with the next heartbeat'
      onProblem({ what, needsPerson: false, cause })
    }
  }

  /** Those that are done with: decided, whatever followed, or for a saga that is gone. */
  async #carryOut(handed: readonly HandedInput[]): Promise<readonly HandedInput[]> {
    for (const each of handed) this.#underWay.add(keyOf(each))
    const done = await Promise.all(handed.map((each) => this.#decide(each)))
    for (const each of handed) this.#underWay.delete(keyOf(each))
    return handed.filter((_, index) => done[index])
  }

  /** `uncertain`, since another process may have carried it out, and died before it was dropped. */
  #decide({ sagaId, inputId, input }: HandedInput): Promise<boolean> {
    return new Promise((resolve) =>
      this.#options.loop.put({
        sagaId,
        inputId,
        input,
        uncertain: true,
        done: () => resolve(true),
        failed: () => resolve(false),
        elsewhere: () => resolve(false),
      }),
    )
  }

  /** Once for each version: it is no fault in a rolling upgrade, and a person's matter where it lasts. */
  #tell(saga: StoredSaga): void {
    const version = named(saga)
    if (this.#told.has(version)) return
    this.#told.add(version)
    this.#options.onProblem({
      what: `answers and requests for sagas of ${version} come here, where it is not registered; they are kept for a process that runs it`,
      needsPerson: false,
    })
  }
}

const keyOf = ({ sagaId, inputId }: HandedInput): string => JSON.stringify([sagaId, inputId])
