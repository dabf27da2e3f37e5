/**
 * Moves a saga as far as it goes by itself: forward, backward, or to an end.
 *
 * Each `…Once` does the next single thing and tells whether it did any. Every thing done is an event that brings the
 * saga nearer to an end or makes something outstanding, so `advance` ends.
 */
import type { Follow, StepDefinition } from './definition.ts'
import type { EventName } from './events.ts'
import { evolve } from './evolve.ts'
import { canTurnBack } from './pending.ts'
import type { SagaState, StepState } from './state.ts'
import type { Turn } from './turn.ts'

export function advance(turn: Turn): void {
  while (advanceOnce(turn));
}

function advanceOnce(turn: Turn): boolean {
  const { status } = turn.state
  if (status === 'STARTED') return followKept(turn) || forwardOnce(turn)
  if (status === 'COMPLETED') return followKept(turn)
  return (status === 'COMPENSATING' || status === 'CANCELLING') && backwardOnce(turn)
}

/** Its outcome is open: an answer, a repeat or a pause's end is awaited. */
const isOpen = ({ phase, paused, exhausted }: StepState): boolean =>
  phase === 'asked' || (phase === 'unknown' && exhausted !== true) || (phase === 'rejected' && paused === true)

function forwardOnce(turn: Turn): boolean {
  const stage = turn.definition.stages[turn.state.stage]
  if (stage === undefined) return complete(turn)
  const [next, ...others] = stage.filter((step) => turn.step(step).phase === 'todo')
  if (next !== undefined) return others.length === 0 ? ask(turn, next) : askAll(turn, [next, ...others])
  if (stage.some((step) => isOpen(turn.step(step)))) return false // a group is left when every member is settled
  const failed =
    stage.find((step) => turn.step(step).phase === 'rejected') ??
    stage.find((step) => turn.step(step).phase === 'unknown')
  if (failed !== undefined) return fail(turn, failed)
  return leaveStage(turn, stage)
}

function leaveStage(turn: Turn, stage: readonly StepDefinition[]): boolean {
  const { cancel } = turn.state
  // The pivot was done while a cancel waited for it: the cancel lost, unless it can still be decided after completion.
  if (cancel !== null && stage[0]?.place === 'pivot' && turn.definition.cancelDecidedBy === null)
    turn.emit({ type: 'CancelRefused', by: cancel.by, reason: tooLate })
  turn.emit({ type: 'StageEntered', stage: turn.state.stage + 1 })
  return true
}

const tooLate = 'it came too late: the saga has passed its point of no return'

function complete(turn: Turn): boolean {
  turn.emit({ type: 'SagaCompleted', at: turn.now })
  if (turn.state.cancel !== null) turn.emit({ type: 'CancelStarted', afterCompletion: true })
  return true
}

/** All or none: a member that was asked beside one that cannot be would never be sent, yet count as asked. */
function askAll(turn: Turn, steps: readonly StepDefinition[]): true {
  const asked = steps.map((step) => asking(turn, step, 1, 1))
  for (const { event, why } of asked) if (why !== null) return parkAt(turn, event.step, why)
  for (const { event } of asked) turn.emit(event)
  for (const step of steps) takeKept(turn, step)
  return true
}

/** Sends a step's command, or begins its wait, which an event may have come for already. A payload that cannot be built parks the saga: a person must mend it. */
export function ask(turn: Turn, step: StepDefinition, attempt = 1, round = turn.step(step).round ?? 1): true {
  const { event, folded, why } = asking(turn, step, attempt, round)
  if (why !== null) return parkAt(turn, step.name, why)
  turn.emit(event, folded)
  return takeKept(turn, step)
}

/** Each event counts for one wait, in the order of their coming. */
function takeKept(turn: Turn, step: StepDefinition): true {
  const kept = step.event && turn.state.kept?.find(({ event }) => event.type === step.event?.type)
  if (kept) turn.emit({ type: 'StepDone', step: step.name, reply: kept.data, event: kept.event })
  return true
}

/** What an event asked for that came at the wrong time. */
function followKept(turn: Turn): boolean {
  const { kept } = turn.state
  if (kept === undefined) return false
  for (const { event, data } of kept) {
    const follow = turn.definition.follows.find((each) => each.event.type === event.type)
    if (follow !== undefined && !comesTooEarly(turn, follow)) return followEvent(turn, follow, event, data)
  }
  return false
}

/** A step is asked again once the saga is complete; a cancel waits for a person, and for an earlier one that may be refused. */
const comesTooEarly = ({ state }: Turn, { reaction }: Follow): boolean =>
  state.status !== 'COMPLETED' && (reaction.kind === 'ask' || state.status === 'PARKED' || state.cancel !== null)

/**
 * What follows an event, now or when its time has come. A step whose outcome is known is asked again under a new id, and keeps
 * the time at which it was first asked. Too late for it, the saga cancels.
 */
export function followEvent(turn: Turn, follow: Follow, event: EventName, data: unknown): true {
  const { reaction, by, reason } = follow
  const { status } = turn.state
  if (comesTooEarly(turn, follow)) {
    turn.emit({ type: 'EventKept', event, data })
    return true
  }
  turn.emit({ type: 'EventFollowed', event })
  const step = reaction.kind === 'ask' ? turn.definition.byName.get(reaction.step) : undefined
  const since = step === undefined ? 0 : turn.step(step).since
  const again = reaction.kind === 'ask' && (reaction.withinMs === null || turn.now < since + reaction.withinMs)
  if (!again || step === undefined) {
    if (status === 'STARTED' || status === 'COMPLETED') beginCancel(turn, by, reason)
    return true
  }
  turn.emit({ type: 'SagaReopened', stage: step.stage })
  const { round = 1, exhausted } = turn.step(step)
  // Of unknown outcome it is repeated: under a new id, its undo would not keep the old command out.
  return ask(turn, step, 1, exhausted === true ? round : round + 1)
}

/** The event with the state after it, and why the command cannot be built; null where it can. */
function asking(turn: Turn, step: StepDefinition, attempt: number, round: number) {
  const until = turn.now + step.attemptMs
  const event = { type: 'StepAsked', step: step.name, attempt, round, at: turn.now, until } as const
  const folded = evolve(turn.state, event) as SagaState
  const built = step.do === null ? null : turn.build(step, 'do', folded)
  return { event, folded, why: built?.ok === false ? built.why : null }
}

/** A step of the current stage failed for good. Decides whether the saga undoes itself or needs a person. */
function fail(turn: Turn, step: StepDefinition): boolean {
  const { phase, why = '' } = turn.step(step)
  if (step.place === 'after') return parkAt(turn, step.name, why)
  if (phase === 'unknown' && (step.place === 'pivot' || !mayUndoBlind(step))) return parkAt(turn, step.name, why)
  return beginUndo(turn, step.name, why)
}

/** True where an unknown outcome may be undone without knowing it: it only reads, or its undo is safe on nothing. */
const mayUndoBlind = (step: StepDefinition): boolean =>
  step.onUnknown !== 'park' && (step.effect === 'none' || step.undo?.safeOnNothing === true)

/** Turns the saga round: because of a cancel that waited for the pivot, or because of the failed step. */
export function beginUndo(turn: Turn, step: string, reason: string): true {
  if (turn.state.cancel === null) turn.emit({ type: 'CompensationStarted', step, reason })
  else turn.emit({ type: 'CancelStarted', afterCompletion: false })
  return true
}

/** A cancel of a saga that is STARTED or COMPLETED, by a person or a clock. */
export function beginCancel(turn: Turn, by: string, reason: string): void {
  const { state, definition } = turn
  const request = { type: 'CancelRequested', by, reason, at: turn.now } as const
  if (state.status === 'STARTED' && canTurnBack(definition, state)) {
    turn.emit({ ...request, takes: 'now' })
    turn.emit({ type: 'CancelStarted', afterCompletion: false })
  } else if (state.status === 'STARTED' && definition.stages[state.stage]?.[0]?.place === 'pivot') {
    turn.emit({ ...request, takes: 'pivot' })
  } else if (definition.cancelDecidedBy === null) {
    turn.emit({ type: 'CancelRefused', by, reason: tooLate })
  } else if (state.status === 'STARTED') {
    turn.emit({ ...request, takes: 'completion' })
  } else {
    turn.emit({ ...request, takes: 'now' })
    turn.emit({ type: 'CancelStarted', afterCompletion: true })
  }
}

function backwardOnce(turn: Turn): boolean {
  const { state, definition } = turn
  if (turn.open().some((step) => turn.step(step).phase === 'undoing')) return false // one undo at a time
  const decider = deciderOf(turn)
  if (decider !== null && turn.step(decider).phase === 'done') return askUndo(turn, decider)
  for (
    let stage = Math.min(state.undoing ?? Infinity, state.stage, definition.stages.length - 1);
    stage >= 0;
    stage--
  ) {
    const moved = undoStage(turn, definition.stages[stage] as readonly StepDefinition[])
    if (moved !== null) return moved
  }
  return endUndone(turn)
}

/** Where a completed saga is cancelled: the step whose undo decides. */
function deciderOf({ state, definition }: Turn): StepDefinition | null {
  const name = state.cancel?.after === true ? definition.cancelDecidedBy : null
  return name === null ? null : (definition.byName.get(name) as StepDefinition) // checked when it was declared
}

/** The next thing in undoing a stage, and whether it was done; null where nothing of it remains. */
function undoStage(turn: Turn, steps: readonly StepDefinition[]): boolean | null {
  const stuck = steps.find((step) => turn.step(step).phase === 'stuck')
  if (stuck !== undefined) return parkAt(turn, stuck.name, `its undo was given up: ${String(turn.step(stuck).why)}`)
  const open = steps.filter((step) => isOpen(turn.step(step)))
  const closable = open.find((step) => closesAtOnce(turn, step))
  if (closable !== undefined) return close(turn, closable)
  if (open.some((step) => step.onUnknown !== 'undo')) return false // settled first, by its answer or a repeat
  const newest = steps.findLast((step) => mayHaveEffect(step, turn.step(step)) && step.undo !== null)
  return newest === undefined ? null : askUndo(turn, newest, newest.stage)
}

/** What is open, but can have nothing to undo, is not waited for. */
const closesAtOnce = (turn: Turn, step: StepDefinition): boolean =>
  step.undo === null || turn.step(step).phase === 'rejected'

function close(turn: Turn, step: StepDefinition): true {
  const reason = 'no longer needed: the saga is undone'
  if (turn.step(step).phase === 'rejected') turn.emit({ type: 'StepRejected', step: step.name, reason, retryAt: null })
  else turn.emit({ type: 'StepSkipped', step: step.name, reason, effect: 'none', expiresAt: null })
  return true
}

const mayHaveEffect = (step: StepDefinition, { phase, exhausted, before }: StepState): boolean =>
  phase === 'done' ||
  phase === 'unknown' ||
  phase === 'asked' ||
  (phase === 'skipped' && exhausted === true) ||
  (phase === 'rejected' && (before === true || step.do?.rejectedInPart === true))

/** Names of the steps that may have an effect now, for an operator who gives up. */
export const mayRemain = (turn: Turn): readonly string[] =>
  turn
    .begun()
    .filter((step) => step.do !== null && step.effect !== 'none')
    .filter((step) => {
      const state = turn.step(step)
      return mayHaveEffect(step, state) || state.phase === 'undoing' || state.phase === 'stuck'
    })
    .map((step) => step.name)

/**
 * Sends the undo of a step, the first time or again; blind where nobody knows whether there is anything to
 * undo. `stage` is given where all later ones are settled.
 */
export function askUndo(turn: Turn, step: StepDefinition, stage?: number): true {
  const { phase, attempts, undoRound = 1 } = turn.step(step)
  const unknown = phase !== 'done' && phase !== 'undoing' && phase !== 'stuck'
  if (unknown && !mayUndoBlind(step)) return parkAt(turn, step.name, String(turn.step(step).why))
  const event = {
    type: 'UndoAsked',
    step: step.name,
    ...(stage === undefined ? {} : { stage }),
    attempt: phase === 'undoing' ? attempts + 1 : 1,
    round: undoRound,
    blind: unknown,
    until: turn.now + step.attemptMs,
  } as const
  const folded = evolve(turn.state, event) as SagaState
  const built = turn.build(step, 'undo', folded)
  if (!built.ok) return parkAt(turn, step.name, built.why)
  turn.emit(event, folded)
  return true
}

function endUndone(turn: Turn): true {
  const undid = turn.begun().some((step) => {
    const { phase } = turn.step(step)
    return step.undo !== null && (phase === 'undone' || phase === 'skipped')
  })
  if (turn.state.status === 'CANCELLING') turn.emit({ type: 'SagaCancelled', at: turn.now })
  else if (undid) turn.emit({ type: 'SagaCompensated', at: turn.now })
  else turn.emit({ type: 'SagaFailed', at: turn.now, leftBehind: [], reason: null })
  return true
}

export function parkAt(turn: Turn, step: string, reason: string): true {
  turn.emit({ type: 'SagaParked', step, reason })
  return true
}
