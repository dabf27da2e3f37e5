/**
 * The durable engine: runs saga definitions over a store and a transport.
 *
 * A library, not a server: it lives in the process of the service that uses it, over the database that service has.
 * Any number of such processes may share a store; `seq` keeps them right, and the owner is only a hint for who sends and
 * wakes. A process that dies is noticed by its missing heartbeat, and its sagas are taken over.
 */
import type { Chance } from '../../chance.ts'
import type { Clock } from '../../clock.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { SagaState, SagaStatus } from '../../core/state.ts'
import type { OnProblem } from '../../problem.ts'
import type {
  HistoryEntry,
  MovePage,
  PageRequest,
  SagaFilter,
  SagaPage,
  Store,
  StoredSaga,
} from '../../stores/store.ts'
import type { Transport } from '../../transports/transport.ts'
import type { Answer, Host, Moved, StartOptions } from '../host.ts'
import type { Waiting } from './admission.ts'
import { DurableEngine } from './durable-engine.ts'
import type { Plan, Preview, Request } from './plan.ts'

export type { Waiting } from './admission.ts'
export type { Plan, Planned, Preview, Request, ToUndo, WakeUp } from './plan.ts'

export interface EngineOptions {
  readonly store: Store
  readonly transport: Transport
  /** Every definition that this process runs, old versions with live sagas included. */
  readonly definitions: readonly SagaDefinition[]
  /**
   * Replicas of one orchestrator share a group; it names the subscription to the participants' answers. Where none is given it
   * follows from the store, which is what replicas share, so that two orchestrators never take each other's answers.
   */
  readonly group?: string
  readonly clock?: Clock
  /** Ids of sagas and requests; the jitter of a saga's retries follows from its id. */
  readonly chance?: Chance
  /** Batches under way at once; 1 over an embedded store, 2 over others, whose commits take time elsewhere. */
  readonly lanes?: number
  /** Most inputs committed together; 256. */
  readonly maxBatch?: number
  /** Most inputs that wait before callers are pushed back; 10,000. */
  readonly maxQueued?: number
  /** Most sagas of this process that wait for participants' answers; beyond, starts are refused as busy; 10,000. */
  readonly maxRunning?: number
  /** Live sagas kept in memory; 20,000. */
  readonly cached?: number
  /** Repeats of commands per second and channel; 500. */
  readonly repeatsPerSecond?: number
  /** Milliseconds between heartbeats; 2,000. Another process takes over after three are missed. */
  readonly heartbeatMs?: number
  /** Ended sagas are removed this many milliseconds after their last move, with their keys; never where none is given. */
  readonly retainMs?: number
  /** Told what an operator should know. Where none is given, what needs a person goes to stderr in one line. */
  readonly onProblem?: OnProblem
  /**
   * Called for each move of a saga, parking among them, once it is durable. The first is shown again where another process takes
   * up a saga that has made no other.
   */
  readonly onMove?: (move: SagaMoved) => void
}

/** A move of a saga as the hook sees it. */
export interface SagaMoved extends Moved {
  /** The saga's status after this move. */
  readonly status: SagaStatus
  /** The saga after this move and those that were committed with it. */
  readonly state: SagaState
}

export interface EngineStartOptions extends StartOptions {
  /**
   * The caller's own transaction: the saga is there once that commits, and any engine on the store takes it up then. What it
   * is depends on the store: PostgreSQL, a client that has begun a transaction; SQLite, what `store.transaction` gives.
   */
  readonly tx?: unknown
}

/** A saga that is started within a caller's transaction, so that nothing more is known of it yet. */
export interface StartedIn {
  readonly id: string
  /** False where the key was known: it is the saga that holds it. */
  readonly fresh: boolean
}

export interface Started extends StartedIn {
  readonly saga: StoredSaga
  readonly state: SagaState
}

/** What became of a request, with the saga as it is stored. */
export interface StoredAnswer extends Answer {
  readonly saga: StoredSaga
}

export interface Figures {
  /** Inputs that wait for the next batch. */
  readonly queued: number
  /** Sagas of this process that have a wake-up. */
  readonly waking: number
  /** Sagas that wait for a participant's answer, as far as this process knows. */
  readonly running: number
  /** The same by the step that they wait for. */
  readonly waiting: readonly Waiting[]
  /** Batches that were tried since the start, and the inputs that were in them. */
  readonly batches: number
  readonly inputs: number
}

export interface Engine extends Host {
  /** The id of this process, as its sagas' owner. It takes another after a claim of unknown outcome. */
  readonly owner: string
  start<Input, Replies>(
    definition: SagaDefinition<Input, Replies>,
    input: NoInfer<Input>,
    options?: EngineStartOptions & { readonly tx?: undefined },
  ): Promise<Started>
  start<Input, Replies>(
    definition: SagaDefinition<Input, Replies>,
    input: NoInfer<Input>,
    options: EngineStartOptions,
  ): Promise<StartedIn>
  /**
   * The saga that was started with this input under this key; null where the key is free. For who asks before a start whether it
   * may be, by what changes with time: asked again, it has been already.
   *
   * @throws EngineError key_reused where it was another input; invalid_input, unknown_definition
   */
  startedUnder<Input, Replies>(
    key: string,
    definition: SagaDefinition<Input, Replies>,
    input: NoInfer<Input>,
  ): Promise<StoredSaga | null>
  cancel(...request: Parameters<Host['cancel']>): Promise<StoredAnswer>
  act(...request: Parameters<Host['act']>): Promise<StoredAnswer>
  get(sagaId: string): Promise<StoredSaga | null>
  list(filter: SagaFilter, page?: PageRequest): Promise<SagaPage>
  count(filter: SagaFilter): Promise<number>
  history(sagaId: string, afterSeq?: number): Promise<readonly HistoryEntry[]>
  /**
   * What remains of a saga as it stands: what is outstanding, ahead and to be undone, and when it is next woken and why; null
   * where there is no such saga. @throws EngineError unknown_definition
   */
  plan(sagaId: string): Promise<Plan | null>
  /**
   * Exactly what a request would do to the saga as it stands now. Changes nothing.
   *
   * @throws EngineError invalid_input, not_found, unknown_definition
   */
  preview(sagaId: string, request: Request, by: string, reason: string): Promise<Preview>
  /** Every move of a saga in order, past ones after `afterSeq` first, then live ones. */
  updates(sagaId: string, afterSeq?: number, signal?: AbortSignal): AsyncGenerator<HistoryEntry, void, undefined>
  /**
   * The moves of all sagas, whichever process made them, in the order in which they became visible: past ones after a
   * position first (from the first where it is null), then live ones. Who keeps a page's `next` with what he has made of the
   * page misses no move and sees none twice, across restarts too. For lists, projections and consoles.
   */
  moves(after?: string | null, signal?: AbortSignal): AsyncGenerator<MovePage, void, undefined>
  /** Figures of now, for metrics. */
  figures(): Figures
  ready(): Promise<boolean>
  /**
   * Takes nothing new, finishes what was taken in, sends what that asked for, and gives its sagas up to others. What waits
   * for a store that is away is refused.
   */
  stop(): Promise<void>
}

/**
 * Opens the store, takes the live sagas that nobody runs, and begins. Where that fails, nothing of it goes on. Sagas of
 * versions that are not registered are left to processes that run them, and told of.
 *
 * @throws EngineError invalid_input, invalid_definition; structure_changed where a definition is declared in another way than
 * the one that live sagas of its version began under
 * @throws StoreError locked where the store is in use by another engine, and what else keeps it from opening
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const engine = new DurableEngine(options)
  try {
    await engine.begin()
  } catch (error) {
    await engine.stop()
    throw error
  }
  return engine
}
