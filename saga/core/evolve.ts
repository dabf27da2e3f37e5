/**
 * What is true after an event. Total: an event that does not fit leaves the state as it is.
 *
 * Only `decide` makes events; it folds each through here before it decides the next, so state and history cannot part.
 */
import type { Event } from './events.ts'
import type { SagaState, StepState } from './state.ts'

const untouched: StepState = { phase: 'todo', attempts: 0, since: 0 }

/** The state of a step; `todo` where it has not begun. */
export const stepOf = (state: SagaState, step: string): StepState => state.steps[step] ?? untouched

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
    steps: {},
    startedAt: event.at,
    endedAt: null,
    deadline: event.deadline,
    error: null,
    cancel: null,
    parked: null,
    expiresAt: null,
    leftBehind: [],
  }
}

/** Changes one step; the marks of the attempt before are dropped. */
function withStep(state: SagaState, name: string, change: Partial<StepState>): SagaState {
  const { phase, attempts, since, reply, round, undoRound, blind } = stepOf(state, name)
  // Field by field, since this runs for nearly every event and spreading a rest pattern costs several times as much.
  const step: { -readonly [K in keyof StepState]: StepState[K] } = { phase, attempts, since }
  if (reply !== undefined) step.reply = reply
  if (round !== undefined) step.round = round
  if (undoRound !== undefined) step.undoRound = undoRound
  if (blind !== undefined) step.blind = blind
  return { ...state, steps: { ...state.steps, [name]: Object.assign(step, change) } }
}

const pause = (retryAt: number | null): Partial<StepState> =>
  retryAt === null ? {} : { nextAt: retryAt, paused: true }

function next(state: SagaState, event: Exclude<Event, { type: 'SagaStarted' }>): SagaState {
  switch (event.type) {
    case 'StageEntered':
      return { ...state, stage: event.stage }
    case 'StepAsked': {
      const first = stepOf(state, event.step).phase === 'todo'
      return withStep(state, event.step, {
        phase: 'asked',
        attempts: event.attempt,
        ...(event.round > 1 ? { round: event.round } : {}),
        ...(first ? { since: event.at } : {}),
        nextAt: event.until,
      })
    }
    case 'StepQueried':
      return withStep(state, event.step, { attempts: event.attempt, querying: true, nextAt: event.until })
    case 'StepDone':
      return withStep(state, event.step, { phase: 'done', reply: event.reply })
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
    case 'UndoAsked':
      return withStep(state, event.step, {
        phase: 'undoing',
        attempts: event.attempt,
        ...(event.round > 1 ? { undoRound: event.round } : {}),
        ...(event.blind ? { blind: true } : {}),
        nextAt: event.until,
      })
    case 'UndoFailed':
      return withStep(state, event.step, {
        phase: event.retryAt === null ? 'stuck' : 'undoing',
        why: event.reason,
        ...(event.refused ? { undoRound: (stepOf(state, event.step).undoRound ?? 1) + 1 } : {}),
        ...pause(event.retryAt),
      })
    case 'UndoDone':
      return withStep(state, event.step, { phase: 'undone' })
    case 'EffectFound':
      return effectFound(state, event.step, event.reply)
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

/** The step counts as done again, and its undo gets a fresh id: the old one was answered, or is on its way, for nothing. */
function effectFound(state: SagaState, step: string, reply: unknown): SagaState {
  const { blind: _blind, ...kept } = stepOf(state, step)
  const bare = { ...state, steps: { ...state.steps, [step]: kept } }
  const undoing = state.cancel === null ? 'COMPENSATING' : 'CANCELLING'
  return {
    ...withStep(bare, step, { phase: 'done', reply, undoRound: (kept.undoRound ?? 1) + 1 }),
    status: undoing,
    parked: null,
    endedAt: null,
    leftBehind: [], // it is undone after all, or parks again
  }
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
    case 'SagaCompensated':
      return { ...state, status: 'COMPENSATED', endedAt: event.at }
    case 'SagaCancelled':
      return { ...state, status: 'CANCELLED', endedAt: event.at }
    case 'SagaFailed':
      return { ...state, status: 'FAILED', endedAt: event.at, parked: null, leftBehind: event.leftBehind }
    default:
      return state // ReplyIgnored, RequestRefused: recorded, nothing changes
  }
}

/**
 * A refused cancel after completion leaves the saga completed, its deciding step done as before. An expiry that was still
 * to come stays: what refused may have changed by then.
 */
function cancelRefused(state: SagaState): SagaState {
  const late = state.cancel?.after === true ? state.cancel : null
  const steps =
    late === null
      ? state.steps
      : Object.fromEntries(
          Object.entries(state.steps).map(([name, step]) => [name, step.phase === 'undoing' ? asDone(step) : step]),
        )
  const expired = late !== null && state.expiresAt !== null && state.expiresAt <= late.at
  return {
    ...state,
    status: late === null ? state.status : 'COMPLETED',
    cancel: null,
    parked: null, // a saga that was parked while it asked has its answer now
    expiresAt: expired ? null : state.expiresAt,
    steps,
  }
}

/** Its undo was refused: a next one needs a fresh id, since the participant answers this one from its store. */
function asDone(step: StepState): StepState {
  const { nextAt: _nextAt, paused: _paused, ...kept } = step
  return { ...kept, phase: 'done', undoRound: (step.undoRound ?? 1) + 1 }
}
