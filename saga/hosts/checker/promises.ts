/**
 * What must hold of every saga (docs/saga-rules.md): in each turn, in each state, and of all states together.
 *
 * Each check gives null, or what is broken.
 */
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import { stepOf } from '../../core/evolve.ts'
import type { Pending } from '../../core/pending.ts'
import type { SagaState, StepState } from '../../core/state.ts'
import { hasEnded } from '../../core/state.ts'
import type { Ledger } from './ledger.ts'
import { filled, waitsOf } from './ledger.ts'
import type { Belief } from './network.ts'
import type { Participant } from './participant.ts'
import { turnsBackForGood } from './normal-form.ts'

/** One step with what may be believed of its participant; null for a wait, which has none. */
export interface Place {
  readonly step: StepDefinition
  readonly participant: Participant | null
  readonly belief: Belief | null
}

/** What is broken; `record` is how things stand at the step's participant where that tells it. */
export interface Broken {
  readonly promise: string
  readonly step?: number
  readonly record?: string
}

export interface Found {
  readonly saga: SagaState
  readonly pending: Pending
  readonly ledger: Ledger
  readonly places: readonly Place[]
  /** Whether an answer that tells of the effect, coming now, would have it undone. */
  readonly reopens: (place: Place, record: string) => boolean
}

export function brokenIn(definition: SagaDefinition, found: Found): Broken | null {
  const promise = limbo(found) ?? unsent(definition, found) ?? eventLost(definition, found)
  return promise === null ? effectBroken(found) : { promise }
}

/** It has ended, is parked with a way out, or something will move it. */
function limbo({ saga, pending }: Found): string | null {
  if ((saga.parked !== null) !== (saga.status === 'PARKED') || saga.parked?.from === 'PARKED')
    return 'it is parked without a way out'
  const moves = hasEnded(saga.status) || saga.status === 'PARKED'
  return moves || pending.commands.length > 0 || pending.wakeAt !== null
    ? null
    : 'it has neither ended nor parked and nothing will move it'
}

/** What is asked for is outstanding, so that it is sent (again) whatever became of the message. */
function unsent(definition: SagaDefinition, { saga, pending }: Found): string | null {
  if (hasEnded(saga.status) || saga.status === 'PARKED') return null
  const step = definition.steps.find(({ name, do: command }) => {
    const { phase, paused } = stepOf(saga, name)
    const asked = command !== null && (phase === 'asked' || phase === 'undoing') && paused !== true
    return asked && !pending.commands.some((each) => each.step === name)
  })
  return step === undefined ? null : `${step.name} is ${stepOf(saga, step.name).phase}, but its command is not sent`
}

/** Each event counts once, and none is lost. */
function eventLost(definition: SagaDefinition, { saga, ledger }: Found): string | null {
  if (turnsBackForGood(definition, saga)) return null
  for (const type of definition.byEvent.keys()) {
    const took = filled(definition, saga, type)
    const { [type]: came = 0 } = ledger.came
    if (took > came) return `${took} waits took ${type}, which came ${came} times`
    const waiting = waitsOf(definition, type).find(({ name }) => stepOf(saga, name).phase === 'asked')
    if (waiting !== undefined && saga.status === 'STARTED' && (ledger.usable[type] ?? 0) > took)
      return `${waiting.name} waits for ${type}, which has come`
  }
  const [owed] = ledger.owed
  return saga.status === 'COMPLETED' && owed !== undefined ? `it is COMPLETED, and what follows ${owed} is lost` : null
}

function effectBroken({ saga, ledger, places, reopens }: Found): Broken | null {
  for (const place of places) {
    const { step, participant, belief } = place
    if (participant === null || belief === null) continue
    for (const record of belief.records) {
      const promise = effectFault(saga, ledger, place, participant.effects(record), () => reopens(place, record))
      if (promise !== null) return { promise, step: step.index, record }
    }
  }
  return null
}

function effectFault(
  saga: SagaState,
  ledger: Ledger,
  place: Place,
  effects: number,
  reopens: () => boolean,
): string | null {
  const { step } = place
  const { phase } = stepOf(saga, step.name)
  // Asked again because of an event, it takes effect anew.
  if (effects > 1 && !ledger.again.includes(step.name)) return `${step.name} took effect twice`
  if (saga.status === 'COMPLETED')
    return phase === 'skipped' || effects > 0 ? null : `it is COMPLETED, but ${step.name} has no effect`
  if (!hasEnded(saga.status) || effects === 0 || staysInEffect(saga, step) || saga.leftBehind.includes(step.name))
    return null
  return isKnown(saga, place) || reopens() ? null : `it is ${saga.status}, but ${step.name} is still in effect`
}

/**
 * What nothing undoes may stay: a read, and what stands at or after the pivot of a saga that was cancelled after completion.
 * An operator who skips what has no undo has given it up.
 */
const staysInEffect = (saga: SagaState, step: StepDefinition): boolean =>
  step.effect === 'none' ||
  (step.undo === null && (saga.cancel?.after === true || stepOf(saga, step.name).phase === 'skipped'))

/**
 * A forgetful participant, asked twice, may do once more what was undone or refused by its first answer. Where the saga knew an
 * answer, or could undo nothing, it cannot know better.
 */
const isKnown = (saga: SagaState, { step, participant }: Place): boolean => {
  if (participant?.forgetful !== true) return false
  const { phase, blind, found, exhausted } = stepOf(saga, step.name)
  if (phase === 'rejected') return step.undo === null
  if (phase === 'skipped') return blind !== true && exhausted !== true
  return phase === 'undone' && (blind !== true || found !== undefined)
}

/** What the order of events tells: which undo was asked when, and whether tries were counted rightly. */
export function brokenBy(
  definition: SagaDefinition,
  state: SagaState,
  event: Event,
  ledger: Ledger,
  wasSent: (step: StepDefinition) => boolean,
): string | null {
  if (!('step' in event) || event.step === undefined) return null
  const step = definition.byName.get(event.step)
  if (step === undefined) return null
  switch (event.type) {
    case 'UndoAsked':
      return undoFault(definition, state, step, wasSent)
    case 'StepUnknown':
      return event.retryAt === null && event.refused !== true && step.onUnknown === 'repeat'
        ? triesFault(step, ledger)
        : null
    case 'StepRejected': {
      const final = event.retryAt === null && step.onRejected === 'retry' && state.status === 'STARTED'
      // Where its tries were used up before, this is the answer to the last of them.
      const late = stepOf(state, step.name).exhausted === true
      return final && !late && step.do !== null ? triesFault(step, ledger) : null
    }
    case 'UndoFailed':
      return event.retryAt === null ? undoTriesFault(step, ledger) : null
    default:
      return null
  }
}

function triesFault({ name, retry, stepMs }: StepDefinition, { asks }: Ledger): string | null {
  const { [name]: count = 0 } = asks
  // Its time may be up before its tries are.
  return count === retry.tries || (stepMs !== null && count < retry.tries)
    ? null
    : `${name} was given up after ${count} of ${retry.tries} tries`
}

function undoTriesFault({ name, undoRetry }: StepDefinition, { undoAsks }: Ledger): string | null {
  const { [name]: count = 0 } = undoAsks
  return count === undoRetry.tries
    ? null
    : `the undo of ${name} was given up after ${count} of ${undoRetry.tries} tries`
}

function undoFault(
  definition: SagaDefinition,
  state: SagaState,
  step: StepDefinition,
  wasSent: (step: StepDefinition) => boolean,
): string | null {
  const { name } = step
  const { phase } = stepOf(state, name)
  const empty = phase === 'rejected' && step.do?.rejectedInPart !== true
  if (empty || phase === 'todo') return `${name} is undone although it is ${phase}`
  if (!wasSent(step)) return `${name} is undone although it was never sent`
  const pivot = definition.steps.find((other) => other.place === 'pivot')
  const decided = pivot === undefined ? null : stepOf(state, pivot.name)
  // Found done against what an operator said, it is undone itself.
  if (decided?.phase === 'done' && decided.found === undefined && state.cancel?.after !== true)
    return `${name} is undone after the pivot`
  if (phase === 'undoing' || phase === 'stuck') return null // a repeat; what was found since is undone after it
  const deciding = state.cancel?.after === true && name === definition.cancelDecidedBy
  const newer = definition.steps.find(
    (other) => other.index > step.index && other.undo !== null && mayRemain(other, stepOf(state, other.name)),
  )
  return newer === undefined || deciding ? null : `${name} is undone before the newer ${newer.name}`
}

const mayRemain = (step: StepDefinition, { phase, exhausted }: StepState): boolean =>
  phase === 'done' ||
  phase === 'unknown' ||
  phase === 'asked' ||
  (phase === 'skipped' && exhausted === true) ||
  (phase === 'rejected' && step.do?.rejectedInPart === true)
