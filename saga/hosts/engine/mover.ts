/**
 * Turns a batch of inputs into one commit: load, decide, commit, answer.
 *
 * Invariants:
 * - nothing is answered, acknowledged or sent before it is committed;
 * - a stale or uncertain move is never guessed: the saga is read again and its inputs are decided again, which changes
 *   nothing where they had taken effect;
 * - a saga that cannot be decided or stored parks alone; the rest of its batch goes on.
 */
import type { Input, Transition } from '../../core/decide.ts'
import { transition } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import type { Command, Pending } from '../../core/pending.ts'
import { pending } from '../../core/pending.ts'
import type { SagaState } from '../../core/state.ts'
import { hasEnded, isSettled } from '../../core/state.ts'
import type { DamagedSaga, HistoryEntry, Move, Start, Store, StoredSaga } from '../../stores/store.ts'
import { StoreError } from '../../stores/store.ts'
import { EngineError, keyReused } from './errors.ts'
import { businessKeyOf } from './business-key.ts'
import { inputIdOf, isCausedBy } from './input-id.ts'
import type { OnProblem, Problem } from '../../problem.ts'
import { lateAnswerProblem, refusalOf } from './other-structure.ts'
import { concerns, named, type Registry } from './registry.ts'
import { askedIn } from '../move.ts'
import { damageProblem } from './takeover.ts'

/** What became of an input. `saga` is the saga after it; `events` is what it caused, none where nothing followed. */
export interface Outcome {
  readonly saga: StoredSaga
  readonly events: readonly Event[]
  /** Of a start: false where the id or the key was known already. */
  readonly fresh: boolean
}

/** An input on its way through the loop. */
export interface Job {
  readonly sagaId: string
  readonly input: Input
  /** Names the input in the history: a message's id, a request's, a wake-up's. */
  readonly inputId: string
  /** Unix milliseconds: it is at least that late, whatever the clock says. */
  readonly notBefore?: number
  /** Called where the saga runs under a definition that is not registered here. */
  readonly elsewhere?: (saga: StoredSaga) => void
  readonly start?: { readonly definition: SagaDefinition; readonly key: string | null; readonly fingerprint: string }
  /** Null where there is no such saga. */
  readonly done: (outcome: Outcome | null) => void
  readonly failed: (error: unknown) => void
  /** Set after a commit of unknown outcome: the history is asked whether it had taken effect. */
  uncertain?: boolean
  /** Set where who asks waits for the answer and can ask again: refused while nothing can be stored. */
  offered?: boolean
}

/** A saga moved by the batch in hand. */
export interface Moved {
  readonly saga: StoredSaga
  readonly entries: readonly HistoryEntry[]
  readonly pending: Pending
  /** Commands that this move asked for. */
  readonly commands: readonly Command[]
}

export interface MoverOptions {
  readonly store: Store
  readonly owner: () => string
  readonly now: () => number
  readonly registry: Pick<Registry, 'of' | 'find'>
  /** Called for every saga that moved, once its move is durable; without entries where it may have moved unseen. */
  readonly onMoved: (moved: Moved) => void
  readonly onProblem: OnProblem
  /** How many live sagas' states are kept in memory to save their load; `seq` makes that safe. */
  readonly cached: number
}

interface Draft {
  readonly jobs: Job[]
  /** The saga's commands, built once. */
  readonly built: Command[]
  readonly definition: SagaDefinition
  readonly before: StoredSaga | null
  state: SagaState
  readonly entries: HistoryEntry[]
  readonly outcomes: (readonly Event[])[]
}

export class Mover {
  readonly #options: MoverOptions
  readonly #cache = new Map<string, StoredSaga>()
  /** What is outstanding of sagas in memory, so that it is not built again. */
  readonly #commands = new Map<string, readonly Command[]>()

  constructor(options: MoverOptions) {
    this.#options = options
  }

  /** Takes a saga's stored form into memory, where it was just read. */
  remember(saga: StoredSaga): void {
    this.#cache.delete(saga.id)
    this.#cache.set(saga.id, saga)
    if (this.#cache.size > this.#options.cached) this.forget([this.#cache.keys().next().value as string])
  }

  /** A saga that this process moved last and that has not settled, as far as is known here. */
  running(sagaId: string): StoredSaga | null {
    const saga = this.#cache.get(sagaId)
    return saga !== undefined && saga.owner === this.#options.owner() && !isSettled(saga.state.status) ? saga : null
  }

  /**
   * Carries out a batch. Returns the jobs that must be decided again, because they were stale.
   *
   * @throws StoreError `unavailable`: nothing is known of the batch; run it again, its jobs marked uncertain
   */
  async run(jobs: readonly Job[]): Promise<readonly Job[]> {
    const drafts = await this.#draft(jobs)
    return drafts.length === 0 ? [] : this.#commit(drafts)
  }

  /** Forgets what is in memory of these sagas: it may not be what is stored. */
  forget(sagaIds: readonly string[]): void {
    for (const id of sagaIds) {
      this.#cache.delete(id)
      this.#commands.delete(id)
    }
  }

  async #draft(jobs: readonly Job[]): Promise<readonly Draft[]> {
    const bySaga = new Map<string, Job[]>()
    for (const job of jobs) {
      const list = bySaga.get(job.sagaId)
      if (list === undefined) bySaga.set(job.sagaId, [job])
      else list.push(job)
    }
    const { known, damaged } = await this.#load(
      [...bySaga].filter(([, [job]]) => job?.start === undefined).map(([id]) => id),
    )
    for (const { id, problem } of damaged) {
      this.#options.onProblem(damageProblem(id, problem))
      bySaga.get(id)?.forEach((job) => job.failed(problem))
      bySaga.delete(id)
    }
    const answered = await this.#answered(jobs, known)
    const drafts: Draft[] = []
    for (const [id, list] of bySaga) {
      const open = answered.size === 0 ? list : list.filter((job) => !answered.has(job))
      const draft = this.#draftOf(known.get(id) ?? null, open)
      if (draft !== null) drafts.push(draft)
    }
    return drafts
  }

  /** The jobs that turn out to have taken effect before. */
  async #answered(jobs: readonly Job[], known: ReadonlyMap<string, StoredSaga>): Promise<ReadonlySet<Job | null>> {
    const uncertain = jobs.filter((job) => job.uncertain === true && job.start === undefined)
    return new Set(await Promise.all(uncertain.map((job) => this.#lookBack(job, known.get(job.sagaId)))))
  }

  /** Answers a job that turns out to have taken effect before, and returns it. */
  async #lookBack(job: Job, saga: StoredSaga | undefined): Promise<Job | null> {
    if (saga === undefined) return null
    const recent = await this.#options.store.history(job.sagaId, Math.max(0, saga.seq - 100))
    const entry = recent.find((move) => isCausedBy(move, job.inputId, job.input))
    if (entry === undefined) return null
    this.resume(saga)
    job.done({ saga, events: entry.events, fresh: false })
    return job
  }

  /** These sagas, as far as they exist. Held by the caller, since what is in memory may be forgotten at any time. */
  async #load(ids: readonly string[]): Promise<Known> {
    const known = new Map<string, StoredSaga>()
    const missing: string[] = []
    for (const id of ids) {
      const saga = this.#cache.get(id)
      if (saga === undefined) missing.push(id)
      else known.set(id, saga)
    }
    if (missing.length === 0) return { known, damaged: [] }
    const { sagas, damaged } = await this.#options.store.load(missing)
    for (const saga of sagas) {
      this.remember(saga)
      known.set(saga.id, saga)
    }
    return { known, damaged }
  }

  #draftOf(before: StoredSaga | null, jobs: Job[]): Draft | null {
    const first = jobs[0]
    if (first === undefined) return null
    const definition = first.start?.definition ?? (before && this.#options.registry.of(before.state))
    if (definition == null) {
      for (const job of jobs) this.#answerWithout(job, before)
      return null
    }
    // Before the first decision there is no state; `started` below sets it, since the first job is then the start.
    const known = before === null ? undefined : this.#commands.get(before.id)
    const draft: Draft = {
      jobs,
      built: known === undefined ? [] : [...known],
      definition,
      before,
      state: before?.state as SagaState,
      entries: [],
      outcomes: [],
    }
    for (const job of jobs) this.#decide(draft, job)
    if (draft.entries.length > 0) return draft
    jobs.forEach((job) => job.done({ saga: before as StoredSaga, events: [], fresh: false }))
    return null
  }

  /** Its saga does not exist, cannot be moved any more, or runs elsewhere. */
  #answerWithout(job: Job, saga: StoredSaga | null): void {
    if (saga === null) return job.done(null)
    const { state } = saga
    if (hasEnded(state.status) && this.#options.registry.find(state.definition, state.version) !== undefined) {
      const problem = lateAnswerProblem(state, job.input)
      if (problem !== null) this.#options.onProblem(problem)
      return job.done({ saga, events: refusalOf(state, job.input), fresh: false })
    }
    if (job.elsewhere !== undefined) job.elsewhere(saga)
    else job.failed(new EngineError('unknown_definition', strangeProblem(saga).what))
  }

  #decide(draft: Draft, job: Job): void {
    const at = Math.max(this.#options.now(), job.notBefore ?? 0, lastMoved(draft))
    const ours = job.input.type !== 'reply' || concerns(draft.definition, job.sagaId, job.input.reply)
    const { events, state } = ours ? this.#decideSafely(draft, job.input, at) : { events: [], state: null }
    draft.outcomes.push(events)
    if (events.length === 0) return
    draft.state = state as SagaState
    const { status } = draft.state
    const seq = (draft.before?.seq ?? 0) + draft.entries.length + 1
    draft.entries.push({ sagaId: job.sagaId, seq, at, inputId: inputIdOf(job.inputId), events, status })
  }

  /** The core is total; should it fail all the same, the saga parks alone. */
  #decideSafely(draft: Draft, input: Input, at: number): Transition {
    const state = draft.state ?? null
    try {
      return transition(draft.definition, state, input, at, draft.built)
    } catch (error) {
      const what = `saga ${state?.id ?? 'that starts'} could not be decided; it is parked`
      this.#options.onProblem({ what, needsPerson: true, sagaId: state?.id, cause: error })
      return transition(draft.definition, state, { type: 'fault', reason: String(error) }, at)
    }
  }

  async #commit(drafts: readonly Draft[]): Promise<readonly Job[]> {
    const prepared = drafts.map((draft) => this.#prepare(draft))
    const starts = prepared.filter((item) => item.draft.before === null)
    const moves = prepared.filter((item) => item.draft.before !== null)
    let result
    try {
      result = await this.#options.store.commit({ starts: starts.map(toStart), moves: moves.map(toMove) })
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'refused') throw error
      return this.#split(drafts, error)
    }
    const again: Job[] = []
    for (const [index, item] of starts.entries()) {
      const answer = result.starts[index]
      if (answer?.kind === 'exists') await this.#exists(item.draft, answer.id, answer.fingerprint)
      else this.#finish(item)
    }
    for (const [index, item] of moves.entries()) {
      if (result.moves[index] === 'moved') this.#finish(item)
      else {
        this.forget([item.saga.id])
        again.push(...item.draft.jobs)
      }
    }
    return again
  }

  /** The database refused the batch: it is halved until the row that it refuses stands alone. */
  async #split(drafts: readonly Draft[], error: StoreError): Promise<readonly Job[]> {
    const [only] = drafts
    if (drafts.length > 1) {
      const half = drafts.length >> 1
      return [...(await this.#commit(drafts.slice(0, half))), ...(await this.#commit(drafts.slice(half)))]
    }
    return only === undefined ? [] : this.#refused(only, error)
  }

  async #refused(draft: Draft, error: StoreError): Promise<readonly Job[]> {
    const { before } = draft
    const parking = draft.jobs[0]?.input.type === 'fault'
    const what = `the store refused a move of saga ${draft.state.id}`
    this.#options.onProblem({ what, needsPerson: false, sagaId: draft.state.id, cause: error })
    const refusal = new EngineError('refused', `The store refused this input: ${error.message}`, error)
    draft.jobs.forEach((job) => job.failed(refusal))
    this.forget([draft.state.id])
    if (before === null || parking) return []
    const fault: Job = {
      sagaId: before.id,
      input: { type: 'fault', reason: `the store refused the move: ${error.message}` },
      inputId: `fault:${before.seq}`,
      done: () => undefined,
      failed: () => undefined,
    }
    return [fault]
  }

  async #exists(draft: Draft, id: string, fingerprint: string): Promise<void> {
    const {
      sagas: [saga],
      damaged: [damage],
    } = await this.#options.store.load([id])
    for (const job of draft.jobs) {
      if (damage !== undefined) job.failed(damage.problem)
      else if (saga === undefined)
        job.failed(
          new EngineError('busy', `Saga ${id}, which held the idempotency key, is just being removed. Ask again.`),
        )
      else if (fingerprint !== job.start?.fingerprint) job.failed(keyReused())
      // Under its own id it is this very start, whose commit had lost its answer.
      else job.done({ saga, events: [], fresh: id === draft.state.id })
    }
    // Where this very start was committed before a broken connection, its commands have not been sent.
    if (saga !== undefined && draft.jobs.some((job) => job.uncertain)) this.resume(saga, true)
  }

  /**
   * Takes up a saga that was moved elsewhere, or by a commit whose answer was lost: what is pending is sent again. What is to be
   * asked once may have been, and each copy may be obeyed: its answer is waited for, and silence settled as its step says.
   *
   * @param unsent nothing of it has been sent
   */
  resume(saga: StoredSaga, unsent = false): void {
    const definition = this.#options.registry.of(saga.state)
    if (definition === undefined) return this.#options.onProblem(strangeProblem(saga))
    this.remember(saga)
    const open = pending(definition, saga.state)
    const entries = saga.seq === 1 ? [firstMove(definition, saga)] : []
    const commands = unsent ? open.commands : open.commands.filter((command) => !isAskedOnce(definition, command))
    this.#options.onMoved({ saga, entries, pending: open, commands })
  }

  #prepare(draft: Draft): Prepared {
    const { before, state, entries, definition, jobs } = draft
    const open = pending(definition, state, draft.built)
    const start = jobs[0]?.start
    const at = entries.at(-1)?.at ?? 0
    const saga: StoredSaga = {
      id: state.id,
      definition: definition.name,
      version: definition.version,
      seq: (before?.seq ?? 0) + entries.length,
      state,
      owner: this.#options.owner(),
      key: before?.key ?? start?.key ?? null,
      fingerprint: before?.fingerprint ?? start?.fingerprint ?? '',
      businessKey: businessKeyOf(definition, state),
      createdAt: before?.createdAt ?? at,
      updatedAt: at,
    }
    return {
      draft,
      saga,
      live: open.wakeAt !== null || open.commands.length > 0,
      moved: { saga, entries, pending: open, commands: askedIn(entries, open.commands) },
    }
  }

  #finish({ draft, saga, live, moved }: Prepared): void {
    if (live) {
      this.remember(saga)
      this.#commands.set(saga.id, moved.pending.commands)
    } else this.forget([saga.id])
    this.#options.onMoved(moved)
    for (const [index, job] of draft.jobs.entries())
      job.done({ saga, events: draft.outcomes[index] ?? [], fresh: index === 0 && draft.before === null })
  }
}

interface Known {
  readonly known: ReadonlyMap<string, StoredSaga>
  readonly damaged: readonly DamagedSaga[]
}

interface Prepared {
  readonly draft: Draft
  readonly saga: StoredSaga
  readonly live: boolean
  readonly moved: Moved
}

const toStart = ({ draft, saga, live }: Prepared): Start => ({ saga, entry: draft.entries[0] as HistoryEntry, live })

const toMove = ({ draft, saga, live }: Prepared): Move => ({
  id: saga.id,
  fromSeq: draft.before?.seq ?? 0,
  toSeq: saga.seq,
  state: saga.state,
  businessKey: saga.businessKey,
  owner: saga.owner,
  live,
  updatedAt: saga.updatedAt,
  entries: draft.entries,
})

/** Nobody may have told of it yet: it was started in a caller's transaction, or who started it has died. Decided again, not read. */
function firstMove(definition: SagaDefinition, { id, seq, state, createdAt: at }: StoredSaga): HistoryEntry {
  const begin: Input = { type: 'start', id, input: state.input, seed: state.seed }
  const { events } = transition(definition, null, begin, at)
  return { sagaId: id, seq, at, inputId: `start:${id}`, events, status: state.status }
}

/** A saga's own time never goes back, whoever sets the clock: else what it waits for would be late by as much. */
const lastMoved = ({ before, entries }: Draft): number => entries.at(-1)?.at ?? before?.updatedAt ?? 0

const strangeProblem = (saga: StoredSaga): Problem => ({
  what: `saga ${saga.id} runs under ${named(saga)}, which is not registered here as the saga began; register that version too`,
  needsPerson: true,
  sagaId: saga.id,
})

function isAskedOnce({ byName }: SagaDefinition, { step, direction }: Command): boolean {
  const onUnknown = direction === 'do' ? byName.get(step)?.onUnknown : undefined
  return onUnknown === 'undo' || onUnknown === 'park'
}
