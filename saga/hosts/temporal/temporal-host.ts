/**
 * Sagas on Temporal, as any other host offers them: each is a workflow whose id is the saga's. This is the client's side, and
 * holds nothing: starts, requests and reads go to Temporal's server, and from there to whichever worker has the workflow.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Client, WorkflowHandle } from '@temporalio/client'
import { v5 as uuidv5 } from 'uuid'
import { systemChance, type Chance } from '../../chance.ts'
import type { Action } from '../../core/act.ts'
import { transition, type Input } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import { seedOf } from '../../core/seed.ts'
import { isSettled, type SagaState } from '../../core/state.ts'
import { problemReporter, type OnProblem } from '../../problem.ts'
import { businessKeyOf } from '../engine/business-key.ts'
import {
  checkAction,
  checkIncoming,
  checkKey,
  checkRequest,
  checkSagaId,
  checkedInput,
  resultOf,
} from '../engine/entries.ts'
import { EngineError, keyReused, notFound, waitEnded } from '../engine/errors.ts'
import { fingerprintOf } from '../engine/fingerprint.ts'
import { named, Registry } from '../engine/registry.ts'
import type { Answer, Delivery, Host, Incoming, Moved, Result, ResultOptions, StartOptions } from '../host.ts'
import { answerIn, deliveryIn, noSaga } from '../move.ts'
import { SagaIndex } from './saga-index.ts'
import { memo, queries, requests, type Begin, type Moves } from './protocol.ts'

export { parkedIn, SagaIndex, type KeywordAttribute } from './saga-index.ts'

export interface TemporalHostOptions {
  /** Yours, with its connection and namespace; it is left open. */
  readonly client: Client
  /** Where workers take the workflows from. */
  readonly taskQueue: string
  /** Every definition whose sagas are started or asked for here, old versions included. */
  readonly definitions: readonly SagaDefinition[]
  /** The type that a definition's workflow is registered under; its name where none is given. */
  readonly workflowType?: (definition: SagaDefinition) => string
  /** The id of a saga, and of its workflow, that is started with a key; a UUID that follows from the key where none is given. */
  readonly idOf?: (key: string) => string
  /** Milliseconds that the server and a worker may take to answer; 10,000. */
  readonly answerMs?: number
  /** Ids of sagas that are started without a key. */
  readonly chance?: Chance
  /** Told what an operator should know. Where none is given, what needs a person goes to stderr in one line. */
  readonly onProblem?: OnProblem
}

/** For ids that follow from a key. */
const keySpace = '6f1d3c52-0e6b-5a59-9d0b-1f8c8f6a2b47'

/** A wait for a saga's end hears of most ends at once, and looks for the others after pauses that grow, in milliseconds. */
const firstLookMs = 50
const longestLookMs = 2_000

const mostMoves = 1_000

/** gRPC: what was asked for can never be. */
const invalidArgument = 3

/** gRPC: what was asked for is in no state for it. */
const failedPrecondition = 9

/** @throws EngineError invalid_definition, invalid_input */
export const temporalHost = (options: TemporalHostOptions): Host => new TemporalHost(options)

class TemporalHost implements Host {
  readonly #options: TemporalHostOptions
  readonly #registry: Registry
  readonly #report: OnProblem
  readonly #chance: Chance
  readonly #answerMs: number
  readonly #asked = new Set<Promise<unknown>>()
  readonly #stopped = new AbortController()
  readonly #index: SagaIndex

  constructor(options: TemporalHostOptions) {
    const { client, taskQueue, answerMs = 10_000 } = options as Partial<TemporalHostOptions>
    if (typeof client?.workflow?.start !== 'function')
      throw new EngineError('invalid_input', 'client must be a Client of @temporalio/client.')
    if (typeof taskQueue !== 'string' || taskQueue === '')
      throw new EngineError('invalid_input', 'taskQueue must name the queue that the workers take sagas from.')
    if (!(Number.isFinite(answerMs) && answerMs >= 1))
      throw new EngineError('invalid_input', `answerMs must be a number of milliseconds; it is ${String(answerMs)}.`)
    this.#options = options
    this.#registry = new Registry(options.definitions, 'temporalHost')
    this.#report = problemReporter(options.onProblem)
    this.#chance = options.chance ?? systemChance
    this.#answerMs = answerMs
    this.#index = new SagaIndex(client)
  }

  async start<Input, Replies>(
    definition: SagaDefinition<Input, Replies>,
    input: NoInfer<Input>,
    options: StartOptions = {},
  ): Promise<{ readonly state: SagaState; readonly fresh: boolean }> {
    const known = this.#registry.given(definition)
    checkKey(options)
    const read = checkedInput(known, input)
    const { key } = options
    const { workflowType = ({ name }: SagaDefinition) => name, idOf = idOfKey, client, taskQueue } = this.#options
    const id = key === undefined ? this.#chance.newId() : idOf(key)
    const fingerprint = key === undefined ? '' : fingerprintOf([known.name, input])
    const begin = { type: 'start', id, input: read, seed: seedOf(id) } as const
    // As the workflow will decide it; only its times are of this machine's clock.
    const state = transition(known, null, begin, Date.now()).state as SagaState
    const businessKey = businessKeyOf(known, state)
    const fresh = await this.#call('start', async () => {
      const searchable = await this.#index.attributesOf(known, businessKey)
      const args: [Begin] = [
        {
          id,
          definition: known.name,
          version: known.version,
          structure: known.structureKey,
          seed: begin.seed,
          input: begin.input,
          indexed: searchable !== null,
          businessKey,
        },
      ]
      try {
        await client.workflow.start(workflowType(known), {
          workflowId: id,
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
          taskQueue,
          args,
          memo: { [memo.fingerprint]: fingerprint },
          ...(searchable === null ? {} : { typedSearchAttributes: searchable }),
        })
        return true
      } catch (error) {
        if (isNamed(error, 'WorkflowExecutionAlreadyStartedError')) return false
        throw error
      }
    })
    // Without a key nobody else has its id: an earlier try of this very start had lost its answer.
    return fresh || key === undefined ? { state, fresh: true } : this.#again(id, fingerprint)
  }

  async cancel(sagaId: string, by: string, reason: string): Promise<Answer> {
    checkRequest(sagaId, by, reason)
    const answer = await this.#request<Answer>(sagaId, requests.cancel, [by, reason])
    return answer ?? this.#refused(sagaId, { type: 'cancel', by, reason })
  }

  async act(sagaId: string, action: Action, by: string, reason: string): Promise<Answer> {
    checkRequest(sagaId, by, reason)
    checkAction(action)
    const answer = await this.#request<Answer>(sagaId, requests.act, [action, by, reason])
    return answer ?? this.#refused(sagaId, { type: 'act', action, by, reason })
  }

  async deliver(incoming: Incoming): Promise<Delivery> {
    checkIncoming(incoming)
    const { sagaId, ...message } = incoming
    const delivery = await this.#request<Delivery>(sagaId, requests.deliver, [message])
    if (delivery !== null) return delivery
    const closed = await this.#closed(sagaId, { type: 'reply', reply: message }).catch(refusedForGood)
    if (closed instanceof EngineError) return { outcome: 'refused', reason: closed.message }
    if (closed === null) return noSaga(sagaId)
    const { events, state, tooLate } = closed
    return tooLate === null ? deliveryIn(events, message.type, named(state)) : { outcome: 'refused', reason: tooLate }
  }

  async state(sagaId: string): Promise<SagaState | null> {
    checkSagaId(sagaId)
    return this.#query<SagaState>(this.#handle(sagaId), queries.state)
  }

  async history(sagaId: string, afterSeq = 0): Promise<readonly Moved[]> {
    checkSagaId(sagaId)
    const runs: (readonly Moved[])[] = []
    for (let run: string | null | undefined; run !== null;) {
      const moves = await this.#movesOf(this.#handle(sagaId, run), afterSeq)
      if (moves === null) break // there is none, or the server has removed it: the moves before are gone with it
      runs.unshift(moves.moves)
      run = moves.firstSeq > afterSeq + 1 ? moves.before : null
    }
    return runs.flat().slice(0, mostMoves)
  }

  async result<Replies = Readonly<Record<string, unknown>>>(
    sagaId: string,
    { definition, signal }: ResultOptions<Replies> = {},
  ): Promise<Result<Replies>> {
    checkSagaId(sagaId)
    return resultOf(await this.#settled(sagaId, signal), definition)
  }

  /**
   * Ends the waits of this process, and what is asked, within `answerMs`: then the connection may be closed. Sagas go on wherever
   * workers are.
   */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.allSettled(this.#asked)
  }

  #handle(sagaId: string, runId?: string): WorkflowHandle {
    return this.#options.client.workflow.getHandle(sagaId, runId)
  }

  /** The saga that holds a key already. */
  async #again(id: string, fingerprint: string): Promise<{ readonly state: SagaState; readonly fresh: false }> {
    const { memo: kept } = await this.#call('read', () => this.#handle(id).describe())
    if (kept?.[memo.fingerprint] !== fingerprint) throw keyReused()
    const state = await this.state(id)
    if (state === null)
      throw new EngineError('busy', `Saga ${id}, which held the idempotency key, is just being removed. Ask again.`)
    return { state, fresh: false }
  }

  /** Null where the saga has no open workflow. */
  async #request<T>(sagaId: string, name: string, args: [unknown, ...unknown[]]): Promise<T | null> {
    return this.#call('request', async () => {
      try {
        return await this.#handle(sagaId).executeUpdate<T, [unknown, ...unknown[]]>(name, { args })
      } catch (error) {
        if (isNamed(error, 'WorkflowNotFoundError')) return null
        // It closed while it was asked.
        if (isNamed(error, 'WorkflowUpdateFailedError') && typeOf(error.cause) === 'AcceptedUpdateCompletedWorkflow')
          return null
        throw error
      }
    })
  }

  async #query<T>(handle: WorkflowHandle, name: string, ...args: unknown[]): Promise<T | null> {
    return this.#call('read', async () => {
      try {
        return await handle.query<T, unknown[]>(name, ...args)
      } catch (error) {
        if (isNamed(error, 'WorkflowNotFoundError')) return null
        if (closedBeforeBegun(error)) throw endedThere(handle.workflowId, 'before any worker had begun it', error)
        throw error
      }
    })
  }

  /** Moves of one run, a thousand at most. */
  async #movesOf(run: WorkflowHandle, afterSeq: number): Promise<Moves | null> {
    const moves: Moved[] = []
    for (;;) {
      const page = await this.#query<Moves>(run, queries.moves, moves.at(-1)?.seq ?? afterSeq)
      if (page === null) return null
      moves.push(...page.moves)
      if (!page.more || moves.length >= mostMoves) return { ...page, moves }
    }
  }

  async #refused(sagaId: string, input: Input): Promise<Answer> {
    const closed = await this.#closed(sagaId, input)
    if (closed === null) throw notFound(sagaId)
    const { events, state, tooLate } = closed
    return tooLate === null ? answerIn(events, state) : { accepted: false, reason: tooLate, state }
  }

  /**
   * What an input would do to a saga whose workflow is closed: it is refused as the saga itself would, or it comes too late. Null
   * where there is no such saga.
   */
  async #closed(sagaId: string, input: Input): Promise<Closed | null> {
    const state = await this.state(sagaId)
    if (state === null) return null
    const definition = this.#registry.of(state)
    if (definition === undefined)
      throw new EngineError(
        'unknown_definition',
        `Saga ${sagaId} ran under ${named(state)}, which is not registered here.`,
      )
    const { events } = transition(definition, state, input, Date.now())
    const moved = events.find(({ type }) => !refusals.has(type))
    const tooLate =
      moved === undefined
        ? null
        : isSettled(state.status)
          ? `it came too late: the saga has ended ${state.status}, and its workflow is closed`
          : `its workflow was ended in Temporal before the saga had ended (${state.status})`
    if (moved?.type === 'EffectFound' || moved?.type === 'EffectRepeated' || moved?.type === 'StepDone')
      this.#report({
        what: `an answer to step ${moved.step} of saga ${sagaId} came after its workflow was closed; its effect may be left behind`,
        needsPerson: true,
        sagaId,
      })
    return { state, events, tooLate }
  }

  async #settled(sagaId: string, signal?: AbortSignal): Promise<SagaState> {
    const calledOff = AbortSignal.any([this.#stopped.signal, ...(signal === undefined ? [] : [signal])])
    for (let ms = firstLookMs; ; ms = longestLookMs) {
      const state = await this.#watched(sagaId, calledOff, ms)
      if (state !== null) return state
    }
  }

  /**
   * One turn of a wait, which may last for days: what each look leaves with promises and signals goes with the turn.
   *
   * @returns null where it has not ended by then
   */
  async #watched(sagaId: string, calledOff: AbortSignal, firstMs: number): Promise<SagaState | null> {
    const over = new AbortController()
    // Where no worker answers, a look lasts as long as it may: a wait that is called off does not.
    const off = new Promise<'not now'>((resolve) =>
      calledOff.addEventListener('abort', () => resolve('not now'), { signal: over.signal }),
    )
    const { client } = this.#options
    let isClosed = false
    // Most sagas' workflows close with them, which the server says at once; some stay open, and parked ones do.
    const closing = this.#closes(sagaId, over.signal).then(() => (isClosed = true))
    try {
      const end = performance.now() + this.#answerMs
      for (let ms = firstMs; performance.now() < end; ms = Math.min(2 * ms, longestLookMs)) {
        if (calledOff.aborted) throw waitEnded(sagaId)
        const sawClosed = isClosed
        const look = new AbortController()
        const looked = client.withAbortSignal(look.signal, () => this.#looked(sagaId, sawClosed))
        const state = await Promise.race([off, looked]).finally(() => look.abort())
        if (state === null) throw notFound(sagaId)
        if (state !== 'not now' && isSettled(state.status)) return state
        if (state !== 'not now' && sawClosed) throw endedThere(sagaId, `before the saga had ended (${state.status})`)
        const paused = pause(ms, undefined, { signal: AbortSignal.any([calledOff, over.signal]) })
        await Promise.race([closing, paused.catch(() => undefined)])
      }
      return null
    } finally {
      over.abort()
    }
  }

  /** Resolves when the saga's workflow closes, however; never where that could not be heard of. */
  #closes(sagaId: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#options
    return new Promise((resolve) => {
      this.#ask(() => client.withAbortSignal(signal, () => this.#handle(sagaId).result())).then(
        () => resolve(),
        (error: unknown) => {
          if (isNamed(error, 'WorkflowFailedError')) resolve()
        },
      )
    })
  }

  /** A wait outlasts the time in which no worker answers; of a workflow that is closed, one more look must tell. */
  async #looked(sagaId: string, closed: boolean): Promise<SagaState | 'not now' | null> {
    try {
      return await this.state(sagaId)
    } catch (error) {
      if (!closed && error instanceof EngineError && error.code === 'busy') return 'not now'
      throw error
    }
  }

  /** @throws EngineError stopped, busy, refused */
  async #call<T>(kind: Kind, work: () => Promise<T>): Promise<T> {
    if (this.#stopped.signal.aborted)
      throw new EngineError('stopped', 'The host is stopped. Ask another, or this one after its restart.')
    try {
      return await this.#ask(work)
    } catch (error) {
      if (error instanceof EngineError) throw error
      throw errorOf(error, kind)
    }
  }

  /** What is tried again on a connection that was closed meanwhile would end the process: whoever stops waits for it. */
  async #ask<T>(work: () => Promise<T>): Promise<T> {
    const asked = this.#options.client.withDeadline(Date.now() + this.#answerMs, work)
    this.#asked.add(asked)
    return asked.finally(() => this.#asked.delete(asked))
  }
}

interface Closed {
  readonly state: SagaState
  readonly events: readonly Event[]
  /** Why what would have moved the saga does not; null where nothing would. */
  readonly tooLate: string | null
}

/** What comes to a saga that was ended in Temporal is refused, as what comes too late is. */
function refusedForGood(error: unknown): EngineError {
  if (error instanceof EngineError && error.code === 'stopped' && !error.retryable) return error
  throw error
}

/** What a saga says to an input that changes nothing. */
const refusals: ReadonlySet<string> = new Set(['ReplyIgnored', 'RequestRefused', 'CancelRefused'])

const idOfKey = (key: string): string => uuidv5(key, keySpace)

/** By name: a process may have more than one copy of the client's classes. */
const isNamed = (error: unknown, name: string): error is Error => error instanceof Error && error.name === name

const typeOf = (cause: unknown): unknown => (cause as { readonly type?: unknown } | undefined)?.type

/** Who had terminated it has done so for good: to ask again does not help. */
const endedThere = (sagaId: string, when: string, cause?: unknown): EngineError =>
  new EngineError('stopped', `The workflow of saga ${sagaId} was ended in Temporal ${when}.`, cause, false)

const codeOf = (error: unknown): unknown =>
  (error as { readonly cause?: { readonly code?: unknown } } | undefined)?.cause?.code

/** The server has the same code for a queue without workers. */
const closedBeforeBegun = (error: unknown): boolean =>
  codeOf(error) === failedPrecondition && /closed before/i.test(whyOf(error))

function whyOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error ? cause.message : String(error)
}

/** What was asked of Temporal: a read moves nothing, and only a start has a key. */
type Kind = 'start' | 'request' | 'read'

const unanswered: Readonly<Record<Kind, string>> = {
  start: ': this may or may not have taken effect. Ask again, with the same key.',
  request: ': this may or may not have taken effect. Read the state of the saga, or ask again.',
  read: '. Ask again.',
}

function errorOf(error: unknown, kind: Kind): EngineError {
  const why = whyOf(error)
  if (isNamed(error, 'WorkflowUpdateFailedError') || isNamed(error, 'QueryNotRegisteredError'))
    return new EngineError('refused', `The workflow does not take this: ${why}`, error)
  if (isNamed(error, 'NamespaceNotFoundError'))
    return new EngineError(
      'refused',
      `Temporal has no namespace ${String((error as { readonly namespace?: unknown }).namespace)}: create it, or give temporalHost a client of another.`,
      error,
    )
  if (codeOf(error) === invalidArgument) return new EngineError('refused', `Temporal refuses this: ${why}`, error)
  return new EngineError(
    'busy',
    `Temporal, or a worker that has this saga, did not answer (${why})${unanswered[kind]}`,
    error,
  )
}
