/**
 * One saga within its workflow: inputs come as signals, updates, activities' answers and timers; what follows is decided by the
 * core, and asked for as activities and timers. The workflow's history makes it durable; replayed, it decides the same again.
 */
import {
  ApplicationFailure,
  CancellationScope,
  defineQuery,
  defineSignal,
  defineUpdate,
  log,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  sleep,
  upsertMemo,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow'
import type { Action } from '../../core/act.ts'
import { transition, type Input, type Transition } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import { contractOf, pending, type Command } from '../../core/pending.ts'
import { hasEnded, type SagaState } from '../../core/state.ts'
import { businessKeyOf } from '../engine/business-key.ts'
import { checkAction, checkIncoming, checkRequest } from '../engine/entries.ts'
import { concerns, named } from '../engine/registry.ts'
import type { Answer, Delivery, Incoming, Moved } from '../host.ts'
import { labelOf } from '../label.ts'
import { answerIn, askedIn, deliveryIn } from '../move.ts'
import { activityIdOf, toldBy, type ActivityCall, type Outcome } from './calls.ts'
import { attributes, memo, queries, requests, type Begin, type Carried, type Moves, type Told } from './protocol.ts'
import { remainsOpen } from './remains-open.ts'

export interface WorkflowSagaOptions {
  /** How commands are called that ours do not carry out. */
  readonly call: (command: Command) => ActivityCall | null
  readonly openMs: number
  readonly lateMs: number
  readonly continueAfterEvents: number
}

/** A saga whose wake-up moved nothing is woken again after this many milliseconds. */
const wakeAgainMs = 10_000

/** Where answers keep coming, a run continues as new with some outstanding: so many events after it should have. */
const mostLater = 1_000

/** Moves that one answer to a query holds, and how much of them: below what the server takes. */
const movesAtOnce = 1_000
const charactersAtOnce = 500_000

export class WorkflowSaga {
  readonly #definition: SagaDefinition
  readonly #options: WorkflowSagaOptions
  readonly #begin: Begin
  /** What this run continues, or the state after the start: there is one from `begin` on. */
  #state: SagaState | null
  #seq: number
  /** A saga's own time never goes back. */
  #at: number
  /** The latest time that a timer has reached. */
  #reached = 0
  readonly #moves: Moved[] = []
  readonly #firstSeq: number
  readonly #built: Command[] = []
  /** Commands whose activities are under way. */
  #inFlight = 0
  /** Activities of others that this run has called. */
  #calls = 0
  #timer: { readonly at: number; readonly scope: CancellationScope } | null = null
  #continues = false
  /** Events of the run when it should have continued as new. */
  #shouldSince: number | null = null
  #status: string
  #businessKey: string | null

  constructor(definition: SagaDefinition, begin: Begin, options: WorkflowSagaOptions) {
    const { carried } = begin
    this.#definition = definition
    this.#options = options
    this.#begin = begin
    this.#state = carried?.state ?? null
    this.#seq = carried?.seq ?? 0
    this.#at = carried?.at ?? 0
    this.#firstSeq = this.#seq + 1
    this.#status = this.#state?.status ?? 'STARTED'
    this.#businessKey = this.#state === null ? begin.businessKey : businessKeyOf(definition, this.#state)
  }

  get state(): SagaState {
    if (this.#state === null) throw new Error('a saga has no state before it has begun')
    return this.#state
  }

  get carried(): Carried {
    return { state: this.state, seq: this.#seq, at: this.#at }
  }

  /** This run's history is long enough. */
  get continues(): boolean {
    return this.#continues
  }

  /** It has ended, and nothing is waited for that could move it again. */
  get isOver(): boolean {
    const closesAt = this.#closesAt()
    return closesAt !== null && closesAt <= this.#now()
  }

  /** Starts the saga, or sends again what was outstanding in the run before. */
  begin(): void {
    const { id, input, seed } = this.#begin
    if (this.#state === null) this.#take({ type: 'start', id, input, seed }, `start:${id}`)
    else {
      for (const command of pending(this.#definition, this.state, this.#built).commands) this.#send(command)
      this.#arm()
    }
    // Signals that came with the start are for a saga that has begun.
    this.#listen()
  }

  cancel(by: string, reason: string): Answer {
    return answerIn(this.#take({ type: 'cancel', by, reason }, `cancel:${uuid4()}`), this.state)
  }

  #act(action: Action, by: string, reason: string): Answer {
    return answerIn(this.#take({ type: 'act', action, by, reason }, `${action.kind}:${uuid4()}`), this.state)
  }

  #deliver({ id, type, payload, causationId }: Message): Delivery {
    const reply = { id, type, payload, ...(causationId == null ? {} : { causationId }) }
    const ours = concerns(this.#definition, this.state.id, reply)
    const events = ours ? this.#take({ type: 'reply', reply }, labelOf(id)) : []
    return deliveryIn(events, type, named(this.state))
  }

  #listen(): void {
    const { id } = this.#begin
    setHandler(defineQuery<SagaState>(queries.state), () => this.state)
    setHandler(defineQuery<Moves, [number]>(queries.moves), (after = 0) => this.#movesAfter(after))
    setHandler(defineUpdate<Answer, [string, string]>(requests.cancel), (by, reason) => this.cancel(by, reason), {
      validator: (by: string, reason: string) => checkRequest(id, by, reason),
    })
    setHandler(
      defineUpdate<Answer, [Action, string, string]>(requests.act),
      (action, by, reason) => this.#act(action, by, reason),
      {
        validator: (action: Action, by: string, reason: string) => {
          checkRequest(id, by, reason)
          checkAction(action)
        },
      },
    )
    const checkMessage = (message: Message): void => checkIncoming({ ...message, sagaId: id })
    setHandler(defineUpdate<Delivery, [Message]>(requests.deliver), (message) => this.#deliver(message), {
      validator: checkMessage,
    })
    // Nobody hears what becomes of a signal: one that cannot be read must not keep the workflow from going on.
    setHandler(defineSignal<[string, string]>(requests.cancel), (by, reason) =>
      readable(
        () => checkRequest(id, by, reason),
        () => this.cancel(by, reason),
      ),
    )
    setHandler(defineSignal<[Message]>(requests.deliver), (message) =>
      readable(
        () => checkMessage(message),
        () => this.#deliver(message),
      ),
    )
  }

  /** Carries out an input; gives what it has caused, nothing where nothing follows. */
  #take(input: Input, inputId: string): readonly Event[] {
    const at = Math.max(this.#now(), this.#at)
    const { events, state } = this.#decide(input, at)
    if (events.length === 0 || state === null) return []
    this.#state = state
    this.#at = at
    this.#seq += 1
    const move: Moved = { seq: this.#seq, at, inputId, events }
    this.#moves.push(move)
    this.#tell()
    this.#continues ||= this.#shouldContinue()
    // The next run sends what is outstanding.
    if (this.#continues) return events
    for (const command of askedIn([move], pending(this.#definition, state, this.#built).commands)) this.#send(command)
    this.#arm()
    return events
  }

  /** The core is total; should it fail all the same, the saga parks. */
  #decide(input: Input, at: number): Transition {
    try {
      return transition(this.#definition, this.#state, input, at, this.#built)
    } catch (error) {
      log.error('the saga could not be decided; it is parked', { error })
      return transition(this.#definition, this.#state, { type: 'fault', reason: String(error) }, at)
    }
  }

  /**
   * A command is an activity, tried once: repeats, their pauses and their end are the saga's. Whatever keeps it from an answer
   * leaves its outcome unknown, and the saga settles that when its attempt's time is up. It may take twice that time, so that
   * a late answer is heard.
   */
  #send(command: Command): void {
    const { attemptMs } = this.#definition.byName.get(command.step) ?? { attemptMs: 0 }
    const call = this.#options.call(command)
    this.#inFlight += 1
    CancellationScope.nonCancellable(() =>
      call === null ? carriedOut(command, attemptMs) : this.#called(command, call, attemptMs),
    )
      .finally(() => (this.#inFlight -= 1))
      .then((told) => this.#answered(command, told))
      .catch((error: unknown) => log.error('an answer could not be taken in', { error }))
  }

  /** By an activity of others. */
  async #called(command: Command, call: ActivityCall, attemptMs: number): Promise<Told | null> {
    this.#calls += 1
    const { activity, args, local = false } = call
    const options = timesOf(command, attemptMs)
    const proxy = local
      ? proxyLocalActivities<Functions>(options)
      : proxyActivities<Functions>({ ...options, activityId: activityIdOf(command, this.#calls) })
    const outcome = await outcomeOf(async () => proxy[activity]?.(...args))
    const said = outcome === null ? null : call.hear(outcome)
    const { byName } = this.#definition
    const step = byName.get(command.step)
    const contract = step === undefined ? null : contractOf(step, command.direction)
    return said === null || contract === null ? null : toldBy(contract, said)
  }

  /** @param told null where nobody knows, and `sent` where the answer comes later */
  #answered(command: Command, told: Told | 'sent' | null): void {
    const { id, unanswered, attempt } = command
    if (told === null) return // unknown, and not a failure
    if (told !== 'sent') {
      const reply = { id: `${id}:${told.type}`, type: told.type, payload: told.payload, causationId: id }
      this.#take({ type: 'reply', reply }, labelOf(reply.id))
    } else if (unanswered) this.#take({ type: 'sent', commandId: id }, labelOf(`sent:${id}:${attempt}`))
  }

  /** One timer, which may be early: a saga's wake-up moves with each of its moves, mostly to a later time. */
  #arm(notBefore = 0): void {
    if (this.isOver) return
    const { wakeAt } = pending(this.#definition, this.state, this.#built)
    const closesAt = this.#closesAt()
    const next = Math.min(wakeAt ?? Infinity, closesAt ?? Infinity)
    if (next === Infinity) return
    const at = Math.max(next, notBefore)
    if (this.#timer !== null && this.#timer.at <= at) return
    this.#timer?.scope.cancel()
    void CancellationScope.nonCancellable(async () => {
      const timer = { at, scope: new CancellationScope() }
      this.#timer = timer
      try {
        await timer.scope.run(() => sleep(Math.max(1, at - this.#now())))
      } catch {
        return // an earlier one took its place
      }
      this.#timer = null
      this.#reached = Math.max(this.#reached, at)
      this.#wake()
    })
  }

  #wake(): void {
    const { wakeAt } = pending(this.#definition, this.state, this.#built)
    if (this.#continues || wakeAt === null || wakeAt > this.#now()) return this.#arm()
    const events = this.#take({ type: 'time' }, `time:${wakeAt}`)
    if (events.length === 0) this.#arm(this.#now() + wakeAgainMs)
  }

  /**
   * A timer that has fired has reached its time, whatever the workflow's clock says: replayed after a task that was empty, that
   * clock may be some milliseconds behind or ahead of what it was, and what is decided must be the same.
   */
  #now(): number {
    return Math.max(Date.now(), this.#reached)
  }

  /** When its workflow closes, Unix milliseconds; null while it has not ended. */
  #closesAt(): number | null {
    const { status, endedAt } = this.state
    if (!hasEnded(status)) return null
    const open = remainsOpen(this.#definition, this.state, this.#options)
    return (endedAt ?? this.#at) + open
  }

  #shouldContinue(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo()
    if (this.isOver || !(continueAsNewSuggested || historyLength >= this.#options.continueAfterEvents)) return false
    this.#shouldSince ??= historyLength
    return this.#inFlight === 0 || historyLength >= this.#shouldSince + mostLater
  }

  /** Lets Temporal's own lists show it. */
  #tell(): void {
    const { status, parked } = this.state
    if (status !== this.#status && (status === 'PARKED' || this.#status === 'PARKED'))
      upsertMemo({ [memo.parked]: parked === null ? null : `${parked.step}: ${parked.reason}` })
    const businessKey = businessKeyOf(this.#definition, this.state)
    if (this.#begin.indexed && (status !== this.#status || businessKey !== this.#businessKey))
      upsertSearchAttributes([
        { key: keyword(attributes.status), value: status },
        { key: keyword(attributes.businessKey), value: businessKey },
      ])
    this.#status = status
    this.#businessKey = businessKey
  }

  #movesAfter(seq: number): Moves {
    const moves: Moved[] = []
    let characters = 0
    const from = Math.max(0, seq + 1 - this.#firstSeq)
    for (const move of this.#moves.slice(from, from + movesAtOnce)) {
      characters += JSON.stringify(move).length
      if (moves.length > 0 && characters > charactersAtOnce) break
      moves.push(move)
    }
    return {
      moves,
      more: from + moves.length < this.#moves.length,
      firstSeq: this.#firstSeq,
      before: workflowInfo().continuedFromExecutionRunId ?? null,
    }
  }
}

type Functions = Record<string, (...args: readonly unknown[]) => Promise<unknown>>

/**
 * Twice the attempt's time, so that a late answer is heard. What no worker has taken within the attempt is called again.
 */
const timesOf = ({ step, direction }: Command, attemptMs: number) => ({
  startToCloseTimeout: Math.max(1, 2 * attemptMs),
  scheduleToStartTimeout: Math.max(1, attemptMs),
  retry: { maximumAttempts: 1 },
  summary: `${step} ${direction}`,
})

/** By one of our activities, which `sagaActivities` makes. Null where nobody knows its outcome. */
async function carriedOut(command: Command, attemptMs: number): Promise<Told | 'sent' | null> {
  const activities = proxyActivities<Record<string, (command: Command, forMs: number) => Promise<Told | null>>>(
    timesOf(command, attemptMs),
  )
  try {
    return (await activities[command.type]?.(command, Math.max(1, 2 * attemptMs))) ?? 'sent'
  } catch {
    return null
  }
}

/** Null where an activity was lost, took too long, or whoever ran it is not there. */
async function outcomeOf(work: () => Promise<unknown>): Promise<Outcome | null> {
  try {
    return { result: await work() }
  } catch (error) {
    // That of a local activity comes as it is, and that of another inside an ActivityFailure.
    const own = error instanceof ApplicationFailure ? error : (error as { readonly cause?: unknown }).cause
    if (!(own instanceof ApplicationFailure)) return null
    const { type, message, nonRetryable } = own
    return { failed: { type: type ?? null, message, isFinal: nonRetryable === true } }
  }
}

/** An event or answer, without the saga that it is sent to. */
type Message = Omit<Incoming, 'sagaId'>

const keyword = (name: string) => ({ name, type: 'KEYWORD' }) as const

function readable(check: () => void, take: () => unknown): void {
  try {
    check()
  } catch (error) {
    log.warn(`a signal that cannot be read is left out: ${String(error)}`)
    return
  }
  take()
}
