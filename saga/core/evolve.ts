/**
 * What is true after an event. Total: an event that does not fit leaves the state as it is.
 *
 * Only `decide` makes events; it folds each through here before it decides the next, so state and history cannot part.
 */
import type { Event, EventName } from './events.ts'
import type { SagaState, StepState } from './state.ts'
import { entriesOf, noSteps, stepIn, withStepIn } from './steps.ts'

const untouched: StepState = { phase: 'todo', attempts: 0, since: 0 }

/** The state of a step; `todo` where it has not begun. */
export const stepOf = (state: SagaState, step: string): StepState => stepIn(state.steps, step) ?? untouched

/** Names of the steps that a time is set for. */
export const openSteps = (state: SagaState): readonly string[] =>
  state.open ?? entriesOf(state.steps).flatMap(([name, { nextAt }]) => (nextAt === undefined ? [] : [name]))

/** Folds one event; null is the state before `SagaStarted`. */
export function evolve(state: SagaState | null, event: Event): SagaState | null {
  if (event.type === 'SagaStarted') return state ?? started(event)
  return state === null ? null : next(state, event)
}

function started(event: Event & { type: 'SagaStarted' }): SagaState {
  return {
    id: event.id,
    definition: event.definition,
    version: event.version,
    seed: event.seed,
    input: event.input,
    status: 'STARTED',
    stage: 0,
    steps: noSteps,
    startedAt: event.at,
    endedAt: null,
    deadline: event.deadline,
    error: null,
    cancel: null,
    parked: null,
    expiresAt: null,
    leftBehind: [],
    ...(event.structure === undefined ? {} : { structure: event.structure }),
  }
}

/** Changes one step; the marks of the attempt before are dropped. */
function withStep(state: SagaState, name: string, change: Partial<StepState>): SagaState {
  const { phase, attempts, since, reply, round, undoRound, blind, resent, before, by, found } = stepOf(state, name)
  // Field by field, since this runs for nearly every event and spreading a rest pattern costs several times as much.
  const step: { -readonly [K in keyof StepState]: StepState[K] } = { phase, attempts, since }
  if (reply !== undefined) step.reply = reply
  if (round !== undefined) step.round = round
  if (undoRound !== undefined) step.undoRound = undoRound
  if (blind !== undefined) step.blind = blind
  if (resent !== undefined) step.resent = resent
  if (before !== undefined) step.before = before
  if (by !== undefined) step.by = by
  if (found !== undefined) step.found = found
  return setStep(state, name, Object.assign(step, change))
}

function setStep(state: SagaState, name: string, step: StepState): SagaState {
  const steps = withStepIn(state.steps, name, step)
  const before = openSteps(state)
  const timed = step.nextAt !== undefined
  if (before.includes(name) === timed) return { ...state, steps, open: before }
  const without = before.length < 2 ? noneOpen : before.filter((each) => each !== name)
  return { ...state, steps, open: timed ? [...before, name] : without }
}

const noneOpen: readonly string[] = []

const pause = (retryAt: number | null): Partial<StepState> =>
  retryAt === null ? {} : { nextAt: retryAt, paused: true }

function next(state: SagaState, event: Exclude<Event, { type: 'SagaStarted' }>): SagaState {
  switch (event.type) {
    case 'StageEntered':
      return { ...state, stage: event.stage }
    case 'StepAsked': {
      const { phase } = stepOf(state, event.step)
      return withStep(state, event.step, {
        phase: 'asked',
        attempts: event.attempt,
        ...(event.round > 1 ? { round: event.round } : {}),
        ...(phase === 'todo' ? { since: event.at } : {}),
        ...(phase === 'done' ? { before: true } : {}),
        ...(phase === 'todo' ? {} : { resent: true }),
        nextAt: event.until,
      })
    }
    case 'StepQueried':
      return withStep(state, event.step, { attempts: event.attempt, querying: true, nextAt: event.until })
    case 'StepDone':
      return stepDone(state, event)
    case 'StepRejected':
      return withStep(state, event.step, { phase: 'rejected', why: event.reason, ...pause(event.retryAt) })
    case 'StepUnknown':
      return withStep(state, event.step, {
        phase: 'unknown',
        why: event.reason,
        ...(event.retryAt === null ? { exhausted: true } : pause(event.retryAt)),
      })
    case 'StepSkipped':
      return skipped(state, event)
    case 'UndoAsked': {
      const asked = withStep(state, event.step, {
        phase: 'undoing',
        attempts: event.attempt,
        ...(event.round > 1 ? { undoRound: event.round } : {}),
        ...(event.blind ? { blind: true } : {}),
        nextAt: event.until,
      })
      return event.stage === undefined ? asked : { ...asked, undoing: event.stage }
    }
    case 'UndoFailed':
      return withStep(state, event.step, {
        phase: event.retryAt === null ? 'stuck' : 'undoing',
        why: event.reason,
        ...(event.refused ? { undoRound: (stepOf(state, event.step).undoRound ?? 1) + 1 } : {}),
        ...pause(event.retryAt),
      })
    case 'UndoDone':
      return undoDone(state, event.step)
    case 'EffectFound':
      return effectFound(state, event.step, event.reply)
    case 'EffectRepeated':
      return effectAdded(state, event.step, event.reply)
    case 'ReplyIgnored':
      // What is outstanding stays so; should its time pass, this is why.
      return event.step === undefined
        ? state
        : setStep(state, event.step, { ...stepOf(state, event.step), why: event.why })
    case 'EventKept':
      return { ...state, kept: [...(state.kept ?? []), { event: event.event, data: event.data }] }
    case 'EventFollowed':
      return followed(state, event.event)
    default:
      return sagaLevel(state, event)
  }
}

/** A denied effect is treated like a blind undo: a success that comes all the same is evidence against the denial. */
function skipped(state: SagaState, event: Event & { type: 'StepSkipped' }): SagaState {
  const mark: Partial<StepState> =
    event.effect === 'possible' ? { exhausted: true } : event.effect === 'denied' ? { blind: true } : {}
  const change = { phase: 'skipped', why: event.reason, ...mark } as const
  return { ...withStep(state, event.step, change), expiresAt: event.expiresAt ?? state.expiresAt }
}

/** A wait keeps the id of what it took, since each event counts once. */
function stepDone(given: SagaState, { step, reply, event }: Event & { type: 'StepDone' }): SagaState {
  // Found done while the saga is undone, it may be newer than what is undone now; left out before, its time is no matter now.
  const late = stepOf(given, step).phase === 'skipped'
  const state =
    given.undoing === undefined && !late
      ? given
      : { ...given, undoing: undefined, expiresAt: late ? null : given.expiresAt }
  if (event === undefined) return withStep(state, step, { phase: 'done', reply })
  return withoutKept(withStep(state, step, { phase: 'done', reply, by: event.id }), event)
}

function withoutKept(state: SagaState, { type, id }: EventName): SagaState {
  const { kept = [] } = state
  const at = kept.findIndex(({ event }) => event.type === type && event.id === id)
  return at === -1 ? state : { ...state, kept: kept.toSpliced(at, 1) }
}

/** An id is one of its type. */
export const followedName = ({ type, id }: EventName): string => `${type} ${id}`

/** How many ids of events are remembered, far more than come twice late. */
const mostFollowed = 32

function followed(state: SagaState, event: EventName): SagaState {
  const rest = withoutKept(state, event)
  return event.id === null
    ? rest
    : { ...rest, followed: [...(state.followed ?? []), followedName(event)].slice(-mostFollowed) }
}

/** Undone, unless more of its successes were found: the next is then done, and undone under a fresh id. */
function undoDone(state: SagaState, step: string): SagaState {
  const { found } = stepOf(state, step)
  if (found === undefined || found.at + 1 >= found.replies.length) return withStep(state, step, { phase: 'undone' })
  return foundNext(state, step, { ...found, at: found.at + 1 })
}

/** One more of a step's successes: it is undone after the others. */
function effectAdded(state: SagaState, name: string, reply: unknown): SagaState {
  const step = stepOf(state, name)
  const replies = [...(step.found?.replies ?? [step.reply]), reply]
  return setStep(state, name, { ...step, found: { replies, at: step.found?.at ?? 0 } })
}

function effectFound(state: SagaState, name: string, reply: unknown): SagaState {
  const step = stepOf(state, name)
  // The undo of a known success is under way.
  if ((step.phase === 'undoing' || step.phase === 'stuck') && step.blind !== true)
    return effectAdded(state, name, reply)
  const before = step.found?.replies ?? (step.blind === true || step.reply === undefined ? [] : [step.reply])
  const replies = [...before, reply]
  return {
    ...foundNext(state, name, { replies, at: replies.length - 1 }),
    status: state.cancel === null ? 'COMPENSATING' : 'CANCELLING',
    parked: null,
    endedAt: null,
    leftBehind: [], // it is undone after all, or parks again
    undoing: undefined,
  }
}

/** The step counts as done again, and its undo gets a fresh id: the old one was answered, or is on its way, for nothing. */
function foundNext(state: SagaState, name: string, found: NonNullable<StepState['found']>): SagaState {
  const { blind: _blind, ...step } = stepOf(state, name)
  const bare = setStep(state, name, step)
  const undoRound = (step.undoRound ?? 1) + 1
  return withStep(bare, name, { phase: 'done', reply: found.replies[found.at] ?? undefined, undoRound, found })
}

function sagaLevel(state: SagaState, event: Event): SagaState {
  switch (event.type) {
    case 'CompensationStarted':
      return { ...state, status: 'COMPENSATING', error: { step: event.step, reason: event.reason } }
    case 'CancelRequested':
      return { ...state, cancel: { by: event.by, reason: event.reason, at: event.at, after: false } }
    case 'CancelStarted':
      return {
        ...state,
        status: 'CANCELLING',
        cancel: state.cancel && { ...state.cancel, after: event.afterCompletion },
      }
    case 'CancelRefused':
      return cancelRefused(state)
    case 'SagaParked':
      return {
        ...state,
        status: 'PARKED',
        // Parked already, it goes back to where it was before the first parking, never to being parked.
        parked: { step: event.step, reason: event.reason, from: state.parked?.from ?? state.status },
      }
    case 'SagaResumed':
      return { ...state, status: state.parked?.from ?? state.status, parked: null }
    case 'SagaCompleted':
      return { ...state, status: 'COMPLETED', endedAt: event.at }
    case 'SagaReopened':
      return { ...state, status: 'STARTED', stage: event.stage, endedAt: null }
    case 'SagaCompensated':
      return { ...state, status: 'COMPENSATED', endedAt: event.at }
    case 'SagaCancelled':
      return { ...state, status: 'CANCELLED', endedAt: event.at }
    case 'SagaFailed':
      return { ...state, status: 'FAILED', endedAt: event.at, parked: null, leftBehind: event.leftBehind }
    default:
      return state // RequestRefused: recorded, nothing changes
  }
}

/**
 * A refused cancel after completion leaves the saga completed, its deciding step done as before. An expiry that was still
 * to come stays: what refused may have changed by then.
 */
function cancelRefused(state: SagaState): SagaState {
  const late = state.cancel?.after === true ? state.cancel : null
  const undoing = late === null ? [] : entriesOf(state.steps).filter(([, { phase }]) => phase === 'undoing')
  const { steps, open } = undoing.reduce((all, [name, step]) => setStep(all, name, asDone(step)), state)
  const expired = late !== null && state.expiresAt !== null && state.expiresAt <= late.at
  return {
    ...state,
    status: late === null ? state.status : 'COMPLETED',
    cancel: null,
    parked: null, // a saga that was parked while it asked has its answer now
    expiresAt: expired ? null : state.expiresAt,
    steps,
    open,
    undoing: undefined,
  }
}

/** Its undo was refused: a next one needs a fresh id, since the participant answers this one from its store. */
function asDone(step: StepState): StepState {
  const { nextAt: _nextAt, paused: _paused, ...kept } = step
  return { ...kept, phase: 'done', undoRound: (step.undoRound ?? 1) + 1 }
}
