/**
 * The durable engine: runs saga definitions over a store and a transport (design section 5).
 *
 * A library, not a server: it lives in the process of the service that uses it, over the database that service has.
 * Any number of such processes may share a store; `seq` keeps them right, and the owner is only a hint for who sends and
 * wakes. A process that dies is noticed by its missing heartbeat, and its sagas are taken over.
 */
import { v7 as uuidv7 } from 'uuid'
import type { Action } from '../../core/act.ts'
import { readInput, type Input } from '../../core/decide.ts'
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import { pending } from '../../core/pending.ts'
import type { SagaState } from '../../core/state.ts'
import { isSettled } from '../../core/state.ts'
import type { HistoryEntry, PageRequest, SagaFilter, SagaPage, Store, StoredSaga } from '../../stores/store.ts'
import type { Message, Subscription, Transport } from '../../transports/transport.ts'
import { eventChannel, UnavailableError } from '../../transports/transport.ts'
import { Alarms } from './alarms.ts'
import type { Clock } from '../../clock.ts'
import { systemClock } from '../../clock.ts'
import { EngineError } from './errors.ts'
import type { Update } from './feed.ts'
import { Feed } from './feed.ts'
import { fingerprintOf } from './fingerprint.ts'
import { Loop } from './loop.ts'
import type { Job, Moved, Outcome } from './mover.ts'
import { Mover } from './mover.ts'
import { Outbox } from './outbox.ts'
import { Retention } from './retention.ts'
import { Takeover } from './takeover.ts'

export type { Update } from './feed.ts'

export interface EngineOptions {
  readonly store: Store
  readonly transport: Transport
  /** Every definition that this process runs, old versions with live sagas included. */
  readonly definitions: readonly SagaDefinition[]
  /** Replicas of one orchestrator share a group; it names the subscription to the participants' replies. */
  readonly group?: string
  readonly clock?: Clock
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
  /** Repeats of commands per second and participant; 500. */
  readonly repeatsPerSecond?: number
  /** Milliseconds between heartbeats; 2,000. Another process takes over after three are missed. */
  readonly heartbeatMs?: number
  /** Ended sagas are removed this many milliseconds after their last move, with their keys; never where none is given. */
  readonly retainMs?: number
  /** Told what an operator should know: one sentence and the cause. */
  readonly onProblem?: (what: string, cause: unknown) => void
}

export interface StartOptions {
  /**
   * Idempotency key: the same key and input give the same saga; another input under it is refused. While the engine is busy
   * a repeat is too: ask again.
   */
  readonly key?: string | undefined
}

export interface Started {
  readonly saga: StoredSaga
  /** False where the key was known: the saga that it names is returned. */
  readonly fresh: boolean
}

export interface CancelAnswer {
  readonly accepted: boolean
  /** Where not accepted: why. */
  readonly reason: string | null
  readonly saga: StoredSaga
}

export interface ActionAnswer {
  readonly accepted: boolean
  readonly reason: string | null
  readonly saga: StoredSaga
}

export interface Figures {
  /** Inputs that wait for the next batch. */
  readonly queued: number
  /** Sagas of this process that have a wake-up. */
  readonly waking: number
  /** Sagas that wait for a participant's answer, as far as this process knows. */
  readonly running: number
}

export interface Engine {
  /** The id of this process, as its sagas' owner. It takes another after a claim of unknown outcome. */
  readonly owner: string
  /** Starts a saga; resolves once it is durable. @throws EngineError invalid_input, key_reused, busy, stopped */
  start<Input>(definition: SagaDefinition<Input>, input: Input, options?: StartOptions): Promise<Started>
  /** Asks to undo a saga. @throws EngineError not_found, busy, stopped */
  cancel(sagaId: string, by: string, reason: string): Promise<CancelAnswer>
  /** An operator's action on a parked saga. @throws EngineError not_found, busy, stopped */
  act(sagaId: string, action: Action, by: string, reason: string): Promise<ActionAnswer>
  /**
   * Hands in an outside event, or an answer that came by another way. False where no such saga exists.
   *
   * @throws EngineError stopped
   */
  deliver(message: Message): Promise<boolean>
  get(sagaId: string): Promise<StoredSaga | null>
  list(filter: SagaFilter, page?: PageRequest): Promise<SagaPage>
  count(filter: SagaFilter): Promise<number>
  history(sagaId: string, afterSeq?: number): Promise<readonly HistoryEntry[]>
  /** Every move of a saga in order, past ones after `afterSeq` first, then live ones. */
  updates(sagaId: string, afterSeq?: number, signal?: AbortSignal): AsyncGenerator<Update, void, undefined>
  /** The state in which the saga ended or parked; waits for it. */
  result(sagaId: string, signal?: AbortSignal): Promise<SagaState>
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
 * Opens the store, takes the live sagas that nobody runs, and begins. Where that fails, nothing of it goes on.
 *
 * @throws EngineError unknown_definition where the store holds live sagas of a version that is not registered
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

/** The pause before a saga is woken again whose wake-up could not be handled. */
const wakeAgainMs = 10_000

const keyOf = (name: string, version: number): string => `${name}@${version}`

class DurableEngine implements Engine {
  owner = uuidv7()
  readonly #store: Store
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #group: string
  readonly #definitions: ReadonlyMap<string, SagaDefinition>
  readonly #replyTypes: ReadonlySet<string>
  readonly #onProblem: (what: string, cause: unknown) => void
  readonly #mover: Mover
  readonly #loop: Loop
  readonly #alarms: Alarms
  readonly #outbox: Outbox
  readonly #feed: Feed
  readonly #takeover: Takeover
  readonly #retention: Retention | null
  /** Sagas that wait for an answer, as far as this process knows. */
  readonly #running = new Set<string>()
  /** Starts that are not committed yet. */
  #starting = 0
  readonly #maxRunning: number
  #subscriptions: readonly Subscription[] = []
  #watching: { close(): Promise<void> } | null = null
  /** The store may have a heartbeat of this process. */
  #signedOn = false
  #stopping: Promise<void> | null = null

  constructor(options: EngineOptions) {
    const clock = options.clock ?? systemClock
    const onProblem = options.onProblem ?? (() => undefined)
    const { definitions } = options
    this.#store = options.store
    this.#transport = options.transport
    this.#clock = clock
    this.#group = options.group ?? 'ordersaga'
    this.#onProblem = onProblem
    this.#maxRunning = options.maxRunning ?? 10_000
    this.#definitions = new Map(
      definitions.map((definition) => [keyOf(definition.name, definition.version), definition]),
    )
    this.#replyTypes = new Set(definitions.flatMap((definition) => definition.steps.flatMap(replyTypes)))
    this.#alarms = new Alarms(clock, (id) => this.#wake(id))
    this.#outbox = new Outbox({
      transport: options.transport,
      clock,
      repeatsPerSecond: options.repeatsPerSecond ?? 500,
      onProblem,
    })
    this.#feed = new Feed(options.store)
    this.#mover = new Mover({
      store: options.store,
      owner: () => this.owner,
      now: () => clock.now(),
      definitionOf: (name, version) => this.#definitions.get(keyOf(name, version)),
      onMoved: (moved) => this.#moved(moved),
      onProblem,
      cached: options.cached ?? 20_000,
    })
    this.#loop = new Loop({
      mover: this.#mover,
      clock,
      lanes: options.lanes ?? (options.store.exclusive === true ? 1 : 2),
      maxBatch: options.maxBatch ?? 256,
      maxQueued: options.maxQueued ?? 10_000,
      onProblem,
    })
    const { retainMs } = options
    this.#retention =
      retainMs === undefined ? null : new Retention({ store: options.store, clock, retainMs, onProblem })
    this.#takeover = new Takeover({
      store: options.store,
      owner: () => this.owner,
      rename: () => void (this.owner = uuidv7()),
      clock,
      heartbeatMs: options.heartbeatMs ?? 2000,
      versions: definitions.map(({ name, version }) => ({ definition: name, version })),
      resume: (saga) => this.#mover.resume(saga),
      onBeat: () => {
        if (options.store.exclusive !== true) this.#heard(this.#feed.look())
        this.#retention?.run()
      },
      onProblem,
    })
  }

  async begin(): Promise<void> {
    await this.#store.open()
    await this.#checkVersions()
    const participants = new Set([...this.#definitions.values()].flatMap((each) => each.steps.flatMap(participantsOf)))
    this.#watching = (await this.#store.watch?.((ids) => this.#movedElsewhere(ids))) ?? null
    const subscribing = [...participants].map((name) =>
      this.#transport.subscribe(eventChannel(name), this.#group, (batch) => this.#receive(batch)),
    )
    // Also where one fails, the others are kept, to be closed.
    const subscribed = await Promise.allSettled(subscribing)
    this.#subscriptions = subscribed.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
    await Promise.all(subscribing)
    this.#signedOn = true
    await this.#takeover.begin()
  }

  async start<Input>(definition: SagaDefinition<Input>, input: Input, options: StartOptions = {}): Promise<Started> {
    const known = this.#definitions.get(keyOf(definition.name, definition.version))
    if (known === undefined)
      throw new EngineError(
        'unknown_definition',
        `${definition.name} version ${definition.version} is not registered; pass it to startEngine in definitions.`,
      )
    const checked = readInput(definition, input)
    if (!checked.ok) throw new EngineError('invalid_input', `The input does not fit ${definition.name}: ${checked.why}`)
    this.#checkRoom()
    const id = uuidv7()
    this.#starting += 1
    try {
      const { saga, fresh } = await this.#ask(
        id,
        { type: 'start', id, input: checked.value, seed: seedOf(id) },
        `start:${id}`,
        {
          definition: known,
          key: options.key ?? null,
          fingerprint: options.key === undefined ? '' : fingerprintOf([definition.name, checked.value]),
        },
      )
      return { saga, fresh }
    } finally {
      this.#starting -= 1
    }
  }

  async cancel(sagaId: string, by: string, reason: string): Promise<CancelAnswer> {
    return answerOf(await this.#ask(sagaId, { type: 'cancel', by, reason }, `cancel:${uuidv7()}`))
  }

  async act(sagaId: string, action: Action, by: string, reason: string): Promise<ActionAnswer> {
    return answerOf(await this.#ask(sagaId, { type: 'act', action, by, reason }, `${action.kind}:${uuidv7()}`))
  }

  async deliver(message: Message): Promise<boolean> {
    await this.#loop.room()
    return (await this.#take(message)) !== null
  }

  async get(sagaId: string): Promise<StoredSaga | null> {
    const {
      sagas: [saga],
      damaged: [damage],
    } = await this.#store.load([sagaId])
    if (damage !== undefined) throw damage.problem
    return saga ?? null
  }

  async list(filter: SagaFilter, page?: PageRequest): Promise<SagaPage> {
    const found = await this.#store.list(filter, page)
    for (const { id, problem } of found.damaged) this.#onProblem(`saga ${id} cannot be listed`, problem)
    return found
  }

  count(filter: SagaFilter): Promise<number> {
    return this.#store.count(filter)
  }

  history(sagaId: string, afterSeq?: number): Promise<readonly HistoryEntry[]> {
    return this.#store.history(sagaId, afterSeq)
  }

  updates(sagaId: string, afterSeq = 0, signal?: AbortSignal): AsyncGenerator<Update, void, undefined> {
    return this.#feed.updates(sagaId, afterSeq, signal)
  }

  async result(sagaId: string, signal?: AbortSignal): Promise<SagaState> {
    const awaited = this.#feed.awaitSettled(sagaId, signal)
    try {
      // What runs here is in memory; whatever else may have happened to it comes by the feed.
      const saga = this.#mover.running(sagaId) ?? (await this.get(sagaId))
      if (saga === null) throw notFound(sagaId)
      const state = isSettled(saga.state.status) ? saga.state : await awaited.state
      if (state !== null) return state
      throw new EngineError('stopped', `The wait for saga ${sagaId} was ended before the saga was; ask for it again.`)
    } finally {
      awaited.callOff()
    }
  }

  figures(): Figures {
    return { queued: this.#loop.queued, waking: this.#alarms.size, running: this.#running.size }
  }

  async ready(): Promise<boolean> {
    return (await this.#store.ready()) && (await this.#transport.ready())
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#end())
  }

  async #end(): Promise<void> {
    this.#alarms.stop()
    // At once: a subscription waits for its batch in hand, and that for the loop, which no longer waits for the store.
    await Promise.all([
      ...this.#subscriptions.map((subscription) => subscription.close()),
      this.#takeover.stop(),
      this.#retention?.stop(),
      this.#loop.stop(),
    ])
    this.#feed.stop()
    await this.#outbox.flush()
    await this.#watching?.close()
    if (!this.#signedOn) return
    await this.#store.retire(this.owner).catch((error: unknown) => {
      this.#onProblem('this process could not sign off; others take its sagas when its heartbeat is missed', error)
    })
  }

  /**
   * Taken in beyond what the participants can do, sagas would only wait until their attempts' times are up, and the good
   * ones among them would be undone.
   *
   * @throws EngineError busy
   */
  #checkRoom(): void {
    const running = this.#running.size + this.#starting
    if (running < this.#maxRunning) return
    throw new EngineError(
      'busy',
      `${running} sagas start or wait for their participants already. Ask again in a second, or raise maxRunning.`,
    )
  }

  async #checkVersions(): Promise<void> {
    const missing = (await this.#store.liveVersions()).filter(
      ({ definition, version }) => !this.#definitions.has(keyOf(definition, version)),
    )
    if (missing.length === 0) return
    const list = missing.map((each) => `${each.definition} version ${each.version} (${each.count})`).join(', ')
    throw new EngineError(
      'unknown_definition',
      `The store holds live sagas of definitions that are not registered: ${list}. Register these versions too; a saga ends under the version that it started with.`,
    )
  }

  /** A batch of replies; acknowledged when each of them is committed. */
  async #receive(batch: readonly Message[]): Promise<void> {
    const ours = batch.filter((message) => this.#replyTypes.has(message.type))
    await this.#loop.room()
    try {
      await Promise.all(ours.map((message) => this.#take(message)))
    } catch (error) {
      // Not the messages' fault: they wait for another process, or for this one's restart.
      if (error instanceof EngineError && error.code === 'stopped') throw new UnavailableError(error.message)
      throw error
    }
  }

  #take({ id, type, payload, causationId, correlationId: sagaId }: Message): Promise<Outcome | null> {
    const input: Input = { type: 'reply', reply: { type, payload, causationId } }
    return new Promise((done, failed) => this.#loop.put({ sagaId, input, inputId: id, done, failed }))
  }

  /** A request from outside: refused where too much waits already. */
  async #ask(sagaId: string, input: Input, inputId: string, start?: Job['start']): Promise<Outcome> {
    const outcome = await new Promise<Outcome | null>((done, failed) =>
      this.#loop.offer({ sagaId, input, inputId, done, failed, ...(start === undefined ? {} : { start }) }),
    )
    if (outcome === null) throw notFound(sagaId)
    return outcome
  }

  /** As long as a saga of this process has a next cause it has a wake-up, whatever becomes of this one. */
  #wake(sagaId: string): void {
    this.#loop.put({
      sagaId,
      input: { type: 'time' },
      inputId: `time:${this.#clock.now()}`,
      done: (outcome) => {
        // Another process has it, and the hint of that was lost.
        if (outcome?.saga.owner !== this.owner) this.#running.delete(sagaId)
        else if (outcome.events.length === 0) this.#nothingDue(outcome.saga)
      },
      failed: () => this.#alarms.set(sagaId, this.#clock.now() + wakeAgainMs), // the loop or the mover has said why
    })
  }

  /** It was moved meanwhile, or the clock was set back. */
  #nothingDue(saga: StoredSaga): void {
    const definition = this.#definitions.get(keyOf(saga.definition, saga.version))
    if (definition === undefined) return
    this.#moved({ saga, entries: [], pending: pending(definition, saga.state), commands: [] })
  }

  #movedElsewhere(sagaIds: readonly string[]): void {
    this.#mover.forget(sagaIds)
    for (const id of sagaIds) this.#running.delete(id)
    this.#heard(this.#feed.hint(sagaIds))
  }

  #heard(reading: Promise<void>): void {
    reading.catch((error: unknown) => {
      this.#onProblem('sagas that others may have moved could not be read; their subscribers see it later', error)
    })
  }

  #moved({ saga, entries, pending, commands }: Moved): void {
    this.#alarms.set(saga.id, pending.wakeAt)
    if (pending.commands.length > 0) this.#running.add(saga.id)
    else this.#running.delete(saga.id)
    if (commands.length > 0) this.#outbox.send(commands)
    this.#feed.moved(saga.state, entries)
  }
}

const notFound = (sagaId: string): EngineError => new EngineError('not_found', `There is no saga ${sagaId}.`)

function answerOf({ saga, events }: Outcome): CancelAnswer {
  for (const event of events) {
    if (event.type === 'CancelRefused') return { accepted: false, reason: event.reason, saga }
    if (event.type === 'RequestRefused') return { accepted: false, reason: event.why, saga }
  }
  return { accepted: true, reason: null, saga }
}

const contractsOf = (step: StepDefinition) => [step.do, step.undo, step.query].filter((contract) => contract !== null)

const participantsOf = (step: StepDefinition): readonly string[] =>
  contractsOf(step).map((contract) => contract.participant)

function replyTypes(step: StepDefinition): readonly string[] {
  const events = step.event === null ? [] : [step.event.type]
  return contractsOf(step)
    .flatMap(({ done, rejected }) => [done.type, ...(rejected === null ? [] : [rejected.type])])
    .concat(events)
}

/** For jitter: the last 32 bits of a UUID v7 are random. */
const seedOf = (id: string): number => Number.parseInt(id.slice(-8), 16)
