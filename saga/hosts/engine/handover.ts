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
import { handedIdOf } from './input-id.ts'
import type { Loop } from './loop.ts'
import type { Outcome } from './mover.ts'
import { named } from './registry.ts'
import { Setbacks } from './setbacks.ts'

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
  readonly #setbacks: Setbacks
  readonly #told = new Set<string>()
  #gathered: Waiting[] = []
  #taking: Promise<void> | null = null
  #stopped = false

  constructor(options: HandoverOptions) {
    this.#options = options
    this.#setbacks = new Setbacks(options.clock)
  }

  /** Keeps an input for whoever runs the saga; resolves once it is durable. What gathers in a turn is one call. */
  hand(saga: StoredSaga, id: string, input: Input): Promise<'handed'> {
    this.#tell(saga)
    const inputId = handedIdOf(id, input)
    return new Promise((kept, failed) => {
      this.#gathered.push({ handed: { sagaId: saga.id, inputId, input }, kept: () => kept('handed'), failed })
      if (this.#gathered.length === 1) setImmediate(() => void this.#keep())
    })
  }

  /** Keeps a request and waits until it is carried out. @throws EngineError handed_over */
  async ask(saga: StoredSaga, id: string, input: Input): Promise<Outcome> {
    const { store, clock } = this.#options
    await this.hand(saga, id, input)
    const inputId = handedIdOf(id, input)
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

  /** What failed lately is passed by; what waits behind it goes on. */
  async #takeAll(): Promise<void> {
    const { store, versions, onProblem } = this.#options
    try {
      while (!this.#stopped) {
        const limit = portion + this.#setbacks.size
        const handed = await store.handed(versions, limit)
        if (handed.length < limit) this.#setbacks.keepOnly(handed.map(keyOf))
        const due = handed.filter((each) => this.#setbacks.isDue(keyOf(each)))
        if (due.length === 0) return
        const done = await this.#carryOut(due)
        if (done.length > 0) await store.dropHanded(done)
      }
    } catch (cause) {
      const what = 'inputs that were handed over could not be read; tried again with the next heartbeat'
      onProblem({ what, needsPerson: false, cause })
    }
  }

  /** Those that are done with. One after the other for each saga, so that none is refused because of another. */
  async #carryOut(handed: readonly HandedInput[]): Promise<readonly HandedInput[]> {
    const bySaga = new Map<string, HandedInput[]>()
    for (const each of handed) bySaga.set(each.sagaId, [...(bySaga.get(each.sagaId) ?? []), each])
    const done: HandedInput[] = []
    const inTurn = async (ofSaga: readonly HandedInput[]): Promise<void> => {
      for (const each of ofSaga) if (await this.#isDone(each)) done.push(each)
    }
    await Promise.all([...bySaga.values()].map(inTurn))
    return done
  }

  /** Decided, whatever followed, or for a saga that is gone; or refused by the store again, which will never take it. */
  async #isDone(handed: HandedInput): Promise<boolean> {
    const error = await this.#decide(handed)
    if (error === null) return true
    if (this.#stopped) return false
    const tries = this.#setbacks.add(keyOf(handed))
    // Once may be the fault of another input, which was decided with it.
    if (tries < 2 || !(error instanceof EngineError && error.code === 'refused')) return false
    this.#options.onProblem({
      what: `input ${handed.inputId}, which was handed over for saga ${handed.sagaId}, is dropped, since the store refuses it each time; the saga is parked, unless it is over. Look at it, and act in place of the input`,
      needsPerson: true,
      sagaId: handed.sagaId,
      messageId: handed.inputId,
      cause: error,
    })
    return true
  }

  /** Why it is not carried out; null where it is. `uncertain`, since another process may have done it, and died before it was dropped. */
  #decide({ sagaId, inputId, input }: HandedInput): Promise<unknown> {
    return new Promise((resolve) =>
      this.#options.loop.put({
        sagaId,
        inputId,
        input,
        uncertain: true,
        done: () => resolve(null),
        failed: resolve,
        elsewhere: () => resolve('it runs elsewhere'),
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

const keyOf = ({ sagaId, inputId }: Omit<HandedInput, 'input'>): string => JSON.stringify([sagaId, inputId])
