/** The engine put together: what comes in goes through the loop, what has moved goes out. */
import { systemChance, type Chance } from '../../chance.ts'
import { systemClock, type Clock } from '../../clock.ts'
import type { Action } from '../../core/act.ts'
import type { Input } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import { pending, type Command } from '../../core/pending.ts'
import type { SagaState } from '../../core/state.ts'
import { isSettled } from '../../core/state.ts'
import type {
  HistoryEntry,
  MovePage,
  PageRequest,
  SagaFilter,
  SagaPage,
  Store,
  StoredSaga,
} from '../../stores/store.ts'
import type { Delivery, Incoming, Result, ResultOptions } from '../host.ts'
import { answerIn, deliveryIn, noSaga } from '../move.ts'
import { Admission } from './admission.ts'
import { Alarms } from './alarms.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Engine, EngineOptions, EngineStartOptions, Figures, Started, StartedIn, StoredAnswer } from './engine.ts'
import {
  checkAction,
  checkedInput,
  checkIncoming,
  checkKey,
  checkOptions,
  checkPage,
  checkRequest,
  readFilter,
  resultOf,
} from './entries.ts'
import { EngineError, keyReused, notFound, waitEnded } from './errors.ts'
import { Feed } from './feed.ts'
import { startFingerprint } from './fingerprint.ts'
import { Handover } from './handover.ts'
import { Hooks } from './hooks.ts'
import { Intake, type Arrived } from './intake.ts'
import { Loop } from './loop.ts'
import type { Job, Moved, Outcome } from './mover.ts'
import { Mover } from './mover.ts'
import { MovesFeed } from './moves-feed.ts'
import { named, Registry } from './registry.ts'
import { Retention } from './retention.ts'
import { startIn } from './start-in.ts'
import { inputOf, planOf, previewOf, type Plan, type Preview, type Request } from './plan.ts'
import { registerStructures } from './structures.ts'
import { Takeover } from './takeover.ts'

/** The pause before a saga is woken again whose wake-up could not be handled, in milliseconds. */
const wakeAgainMs = 10_000

/** Missed heartbeats after which a process counts as gone. */
const missedBeats = 3

export class DurableEngine implements Engine {
  owner: string
  readonly #store: Store
  readonly #chance: Chance
  readonly #clock: Clock
  readonly #group: string | undefined
  readonly #silentMs: number
  readonly #registry: Registry
  readonly #hooks: Hooks
  readonly #mover: Mover
  readonly #loop: Loop
  readonly #alarms: Alarms
  readonly #dispatcher: Dispatcher
  readonly #feed: Feed
  readonly #moves: MovesFeed
  readonly #handover: Handover
  readonly #intake: Intake
  readonly #takeover: Takeover
  readonly #retention: Retention | null
  readonly #admission: Admission
  readonly #transportReady: () => Promise<boolean>
  #watching: { close(): Promise<void> } | null = null
  #release: (() => void) | null = null
  /** The store may have a heartbeat of this process. */
  #signedOn = false
  #stopping: Promise<void> | null = null

  constructor(options: EngineOptions) {
    checkOptions(options)
    const { store, transport, clock = systemClock, chance = systemChance, heartbeatMs = 2000, retainMs } = options
    const hooks = new Hooks(options)
    const { onProblem } = hooks
    const registry = new Registry(options.definitions)
    this.owner = chance.newId()
    this.#store = store
    this.#chance = chance
    this.#transportReady = () => transport.ready()
    this.#clock = clock
    this.#group = options.group
    this.#silentMs = store.exclusive === true ? 0 : missedBeats * heartbeatMs
    this.#registry = registry
    this.#hooks = hooks
    this.#admission = new Admission(options.maxRunning ?? 10_000)
    this.#alarms = new Alarms(clock, (id, at) => this.#wake(id, at))
    this.#dispatcher = new Dispatcher({
      transport,
      clock,
      repeatsPerSecond: options.repeatsPerSecond ?? 500,
      onProblem,
      onSent: (commands) => this.#sent(commands),
    })
    this.#feed = new Feed(store)
    this.#moves = new MovesFeed(store, clock)
    this.#mover = new Mover({
      store,
      owner: () => this.owner,
      now: () => clock.now(),
      registry,
      onMoved: (moved) => this.#moved(moved),
      onProblem,
      cached: options.cached ?? 20_000,
    })
    this.#loop = new Loop({
      mover: this.#mover,
      clock,
      lanes: options.lanes ?? (store.exclusive === true ? 1 : 2),
      maxBatch: options.maxBatch ?? 256,
      maxQueued: options.maxQueued ?? 10_000,
      onProblem,
    })
    const { versions } = registry
    this.#handover = new Handover({ store, clock, loop: this.#loop, versions, onProblem })
    this.#intake = new Intake({ transport, registry, loop: this.#loop, handover: this.#handover, onProblem })
    this.#retention = retainMs === undefined ? null : new Retention({ store, clock, retainMs, onProblem })
    this.#takeover = new Takeover({
      store,
      owner: () => this.owner,
      rename: () => void (this.owner = chance.newId()),
      clock,
      heartbeatMs,
      silentMs: missedBeats * heartbeatMs,
      versions,
      resume: (saga) => this.#mover.resume(saga),
      onBeat: () => {
        if (store.exclusive !== true) this.#heard(this.#feed.look())
        this.#moves.poke()
        this.#handover.take()
        this.#retention?.run()
      },
      onProblem,
    })
  }

  async begin(): Promise<void> {
    await this.#store.open()
    this.#release = this.#store.use?.(this.owner) ?? null
    this.#signedOn = true
    await registerStructures({
      store: this.#store,
      registry: this.#registry,
      clock: this.#clock,
      owner: this.owner,
      silentMs: this.#silentMs,
      onProblem: this.#hooks.onProblem,
    })
    this.#watching =
      (await this.#store.watch?.({
        moved: (ids) => this.#movedElsewhere(ids),
        waiting: () => {
          this.#takeover.nudge()
          this.#handover.take()
        },
      })) ?? null
    await this.#intake.begin(this.#group ?? `ordersaga-${await this.#store.identity()}`)
    await this.#takeover.begin()
    this.#handover.take()
  }

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
  async start<Input, Replies>(
    definition: SagaDefinition<Input, Replies>,
    input: NoInfer<Input>,
    options: EngineStartOptions = {},
  ): Promise<Started | StartedIn> {
    const known = this.#registry.given(definition)
    checkKey(options)
    const read = checkedInput(known, input)
    const id = this.#chance.newId()
    const { key = null, tx } = options
    const start = { definition: known, key, fingerprint: key === null ? '' : startFingerprint(known.name, input) }
    const begin = { type: 'start', id, input: read, seed: seedOf(id) } as const
    if (tx !== undefined) return startIn(this.#store, tx, { ...start, begin, at: this.#clock.now() })
    const { saga, fresh } = await this.#admission.start(() => this.#ask(id, begin, `start:${id}`, { start }))
    return { id: saga.id, saga, state: saga.state, fresh }
  }

  async startedUnder<Input, Replies>(
    key: string,
    definition: SagaDefinition<Input, Replies>,
    input: NoInfer<Input>,
  ): Promise<StoredSaga | null> {
    const { name } = this.#registry.given(definition)
    checkKey({ key })
    const holder = await this.#store.startedUnder(key)
    if (holder === null) return null
    if (holder.fingerprint !== startFingerprint(name, input)) throw keyReused()
    return this.get(holder.id)
  }

  async cancel(sagaId: string, by: string, reason: string): Promise<StoredAnswer> {
    checkRequest(sagaId, by, reason)
    return answerOf(await this.#ask(sagaId, { type: 'cancel', by, reason }, `cancel:${this.#chance.newId()}`))
  }

  async act(sagaId: string, action: Action, by: string, reason: string): Promise<StoredAnswer> {
    checkRequest(sagaId, by, reason)
    checkAction(action)
    return answerOf(
      await this.#ask(sagaId, { type: 'act', action, by, reason }, `${action.kind}:${this.#chance.newId()}`),
    )
  }

  async deliver(incoming: Incoming): Promise<Delivery> {
    checkIncoming(incoming)
    await this.#loop.room()
    return deliveryOf(incoming, await this.#intake.take(incoming))
  }

  async get(sagaId: string): Promise<StoredSaga | null> {
    const {
      sagas: [saga],
      damaged: [damage],
    } = await this.#store.load([sagaId])
    if (damage !== undefined) throw damage.problem
    return saga ?? null
  }

  async state(sagaId: string): Promise<SagaState | null> {
    return (await this.get(sagaId))?.state ?? null
  }

  async list(filter: SagaFilter, page: PageRequest = {}): Promise<SagaPage> {
    checkPage(page)
    const found = await this.#store.list(readFilter(filter), page)
    for (const { id, problem } of found.damaged)
      this.#hooks.onProblem({ what: `saga ${id} cannot be listed`, needsPerson: true, sagaId: id, cause: problem })
    return found
  }

  async count(filter: SagaFilter): Promise<number> {
    return this.#store.count(readFilter(filter))
  }

  history(sagaId: string, afterSeq?: number): Promise<readonly HistoryEntry[]> {
    return this.#store.history(sagaId, afterSeq)
  }

  async plan(sagaId: string): Promise<Plan | null> {
    const saga = await this.get(sagaId)
    return saga === null ? null : planOf(this.#registered(saga), saga.state)
  }

  async preview(sagaId: string, request: Request, by: string, reason: string): Promise<Preview> {
    checkRequest(sagaId, by, reason)
    if (request.kind !== 'cancel') checkAction(request)
    const saga = await this.get(sagaId)
    if (saga === null) throw notFound(sagaId)
    return previewOf(
      this.#registered(saga),
      saga.state,
      inputOf(request, by, reason),
      Math.max(this.#clock.now(), saga.updatedAt),
    )
  }

  updates(sagaId: string, afterSeq = 0, signal?: AbortSignal): AsyncGenerator<HistoryEntry, void, undefined> {
    return this.#feed.updates(sagaId, afterSeq, signal)
  }

  moves(after: string | null = null, signal?: AbortSignal): AsyncGenerator<MovePage, void, undefined> {
    return this.#moves.pages(after, signal)
  }

  async result<Replies = Readonly<Record<string, unknown>>>(
    sagaId: string,
    { definition, signal }: ResultOptions<Replies> = {},
  ): Promise<Result<Replies>> {
    return resultOf(await this.#settled(sagaId, signal), definition)
  }

  figures(): Figures {
    const { queued, batches, inputs } = this.#loop
    const { running, waiting } = this.#admission
    return { queued, batches, inputs, waking: this.#alarms.size, running, waiting }
  }

  async ready(): Promise<boolean> {
    return this.#loop.takes && (await this.#store.ready()) && (await this.#transportReady())
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#end())
  }

  async #end(): Promise<void> {
    this.#alarms.stop()
    // At once: a subscription waits for its batch in hand, and that for the loop, which no longer waits for the store.
    await Promise.all([
      this.#intake.stop(),
      this.#takeover.stop(),
      this.#retention?.stop(),
      this.#handover.stop(),
      this.#loop.stop(),
    ])
    this.#feed.stop()
    this.#moves.stop()
    await this.#dispatcher.flush()
    await this.#watching?.close()
    if (this.#signedOn)
      await this.#store.retire(this.owner).catch((cause: unknown) => {
        const what = 'this process could not sign off; others take its sagas when its heartbeat is missed'
        this.#hooks.onProblem({ what, needsPerson: false, cause })
      })
    this.#release?.()
  }

  #registered(saga: StoredSaga): SagaDefinition {
    const definition = this.#registry.of(saga.state)
    if (definition !== undefined) return definition
    throw new EngineError(
      'unknown_definition',
      `Saga ${saga.id} runs under ${named(saga)}, which is not registered here; ask a process that runs it.`,
    )
  }

  async #settled(sagaId: string, signal?: AbortSignal): Promise<SagaState> {
    const awaited = this.#feed.awaitSettled(sagaId, signal)
    try {
      // What runs here is in memory; whatever else may have happened to it comes by the feed.
      const saga = this.#mover.running(sagaId) ?? (await this.get(sagaId))
      if (saga === null) throw notFound(sagaId)
      const state = isSettled(saga.state.status) ? saga.state : await awaited.state
      if (state !== null) return state
      throw waitEnded(sagaId)
    } finally {
      awaited.callOff()
    }
  }

  /** A request from outside: refused where too much waits already. */
  async #ask(sagaId: string, input: Input, inputId: string, more: Pick<Job, 'start'> = {}): Promise<Outcome> {
    const outcome = await new Promise<Outcome | null>((done, failed) =>
      this.#loop.offer({
        sagaId,
        input,
        inputId,
        done,
        failed,
        elsewhere: (saga) => done(this.#handover.ask(saga, inputId, input)),
        ...more,
      }),
    )
    if (outcome === null) throw notFound(sagaId)
    return outcome
  }

  /** As long as a saga of this process has a next cause it has a wake-up, whatever becomes of this one. */
  #wake(sagaId: string, at: number): void {
    this.#loop.put({
      sagaId,
      input: { type: 'time' },
      inputId: `time:${at}`,
      notBefore: at,
      done: (outcome) => {
        // Another process has it, and the hint of that was lost.
        if (outcome?.saga.owner !== this.owner) this.#admission.left(sagaId)
        else if (outcome.events.length === 0) this.#nothingDue(outcome.saga)
      },
      elsewhere: () => this.#admission.left(sagaId),
      failed: () => this.#alarms.set(sagaId, this.#clock.now() + wakeAgainMs), // the loop or the mover has said why
    })
  }

  /** It was moved meanwhile. */
  #nothingDue(saga: StoredSaga): void {
    const definition = this.#registry.of(saga.state)
    if (definition === undefined) return
    this.#moved({ saga, entries: [], pending: pending(definition, saga.state), commands: [] })
  }

  #sent(commands: readonly Command[]): void {
    for (const { id, sagaId, attempt } of commands)
      this.#loop.put({
        sagaId,
        input: { type: 'sent', commandId: id },
        inputId: `sent:${id}:${attempt}`,
        done: () => undefined,
        failed: () => undefined, // it counts as not known, and is sent again
      })
  }

  #movedElsewhere(sagaIds: readonly string[]): void {
    this.#mover.forget(sagaIds)
    for (const id of sagaIds) this.#admission.left(id)
    this.#heard(this.#feed.hint(sagaIds))
    this.#moves.poke()
  }

  #heard(reading: Promise<void>): void {
    reading.catch((cause: unknown) => {
      const what = 'sagas that others may have moved could not be read; their subscribers see it later'
      this.#hooks.onProblem({ what, needsPerson: false, cause })
    })
  }

  #moved({ saga, entries, pending, commands }: Moved): void {
    this.#alarms.set(saga.id, pending.wakeAt, saga.updatedAt)
    this.#admission.moved(saga.id, saga.definition, pending.commands)
    if (commands.length > 0) this.#dispatcher.send(commands)
    this.#feed.moved(saga.state, entries)
    this.#moves.poke()
    this.#hooks.moved(saga.state, entries)
  }
}

const answerOf = ({ saga, events }: Outcome): StoredAnswer => ({ ...answerIn(events, saga.state), saga })

function deliveryOf({ sagaId, type }: Incoming, arrived: Arrived): Delivery {
  if (arrived === null) return noSaga(sagaId)
  if (arrived === 'handed')
    return { outcome: 'handed over', reason: 'its saga runs under a version that is not registered here' }
  return deliveryIn(arrived.events, type, named(arrived.saga))
}

/** For jitter: the last 32 bits of a UUID v7 are random. */
const seedOf = (id: string): number => Number.parseInt(id.slice(-8), 16)
