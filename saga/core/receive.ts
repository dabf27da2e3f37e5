/**
 * Takes an answer in: finds the command that it answers, reads it, and settles the step (design rules 1, 5 and 6).
 *
 * An answer is matched by the id of its command where the sender names it, else by what is outstanding and its type.
 * What matches nothing outstanding changes nothing and is recorded. One exception: a success of a step that was undone
 * blind, at a participant that leaves no tombstones, shows an effect left behind; the saga goes back to undo it.
 */
import type { Reading, ReplyMessage } from './contract.ts'
import { check, readReply } from './contract.ts'
import type { StepDefinition } from './definition.ts'
import type { Built, Direction } from './pending.ts'
import { buildCommand, commandId, contractOf, stepNamed } from './pending.ts'
import type { StepState } from './state.ts'
import { hasEnded } from './state.ts'
import { exhausted, keptOf, leaveOut, outcomeUnknown, undoFailed } from './settle.ts'
import type { Turn } from './turn.ts'

interface Match {
  readonly step: StepDefinition
  readonly direction: Direction
  readonly reading: Reading
}

export function receive(turn: Turn, reply: ReplyMessage): void {
  if (waitedFor(turn, reply)) return
  const match = findMatch(turn, reply)
  if (match === null) return ignore(turn, reply, 'it answers nothing that is outstanding: late, repeated or foreign')
  if (match.reading.kind === 'garbled') return ignore(turn, reply, `it cannot be read: ${match.reading.why}`)
  if (match.reading.kind === 'done') return succeeded(turn, match, match.reading.data, reply)
  if (match.reading.kind === 'rejected') return refused(turn, match, match.reading.reason, reply)
  ignore(turn, reply, 'it is not an answer to the command that it names')
}

const ignore = (turn: Turn, reply: ReplyMessage, why: string): void =>
  turn.emit({ type: 'ReplyIgnored', reply: reply.type, why })

/** A step that waits for an event takes it by its type. */
function waitedFor(turn: Turn, reply: ReplyMessage): boolean {
  if (hasEnded(turn.state.status)) return false
  const { steps } = turn.definition
  const waiting = steps.find((step) => step.event?.type === reply.type && turn.step(step).phase === 'asked')
  if (waiting?.event == null) return false
  const data = check(waiting.event.data, reply.payload)
  if (data.ok) turn.emit({ type: 'StepDone', step: waiting.name, reply: data.value })
  else ignore(turn, reply, `it cannot be read: ${data.why}`)
  return true
}

/** What the answer says of the commands that it may answer; an undo before a command, since it was sent later. */
function findMatch(turn: Turn, reply: ReplyMessage): Match | null {
  const steps = suspects(turn, reply)
  for (const direction of directions)
    for (const step of steps) {
      if (!awaits(turn, step, direction)) continue
      const named = reply.causationId === commandId(turn.state, step.name, direction)
      if (reply.causationId !== undefined && !named) continue
      const reading = read(step, direction, buildCommand(turn.definition, turn.state, step, direction), reply)
      if (named || reading.kind !== 'other') return { step, direction, reading }
    }
  return null
}

const directions: readonly Direction[] = ['undo', 'query', 'do']

/** The steps whose command it may answer: the one that it names, or any that has begun. */
function suspects(turn: Turn, { causationId }: ReplyMessage): readonly StepDefinition[] {
  if (causationId === undefined) return turn.begun()
  const step = turn.definition.byName.get(stepNamed(turn.state, causationId))
  return step === undefined ? [] : [step]
}

const read = (step: StepDefinition, direction: Direction, built: Built, reply: ReplyMessage): Reading =>
  built.ok ? readReply(contractOf(step, direction), built.command.payload, reply) : { kind: 'garbled', why: built.why }

function awaits(turn: Turn, step: StepDefinition, direction: Direction): boolean {
  const state = turn.step(step)
  if (direction === 'do' && undoneBlind(step, state)) return true // evidence of an effect, even after the end
  if (hasEnded(turn.state.status) && turn.state.status !== 'COMPLETED') return false
  if (direction === 'query') return state.querying === true
  if (direction === 'undo') return state.phase === 'undoing' || state.phase === 'stuck'
  if (step.do === null) return false
  return state.phase === 'asked' || state.phase === 'unknown' || (state.phase === 'skipped' && state.exhausted === true)
}

/** Undone, or said to be without effect, although nobody knew; and nothing at the participant keeps the command out. */
const undoneBlind = (step: StepDefinition, { phase, blind }: StepState): boolean =>
  blind === true &&
  ((phase === 'skipped' && step.undo !== null) ||
    ((phase === 'undoing' || phase === 'undone' || phase === 'stuck') && step.do?.tombstones === false))

function succeeded(turn: Turn, { step, direction }: Match, data: unknown, reply: ReplyMessage): void {
  if (direction === 'undo') {
    resumeFrom(turn, step)
    return turn.emit({ type: 'UndoDone', step: step.name })
  }
  const kept = keptOf(step, data)
  if (!kept.ok) return ignore(turn, reply, kept.why)
  if (undoneBlind(step, turn.step(step))) return turn.emit({ type: 'EffectFound', step: step.name, reply: kept.value })
  resumeFrom(turn, step)
  turn.emit({ type: 'StepDone', step: step.name, reply: kept.value })
}

function refused(turn: Turn, { step, direction }: Match, reason: string, reply: ReplyMessage): void {
  const state = turn.step(step)
  if (direction === 'undo') return undoRefused(turn, step, reason, reply)
  if (direction === 'query') return notThereYet(turn, step, reason)
  if (state.phase !== 'asked' && state.phase !== 'unknown')
    return ignore(turn, reply, 'it confirms that the step had no effect')
  resumeFrom(turn, step)
  const forward = (turn.state.parked?.from ?? turn.state.status) === 'STARTED' // parked for another step, it goes on later
  const again = step.onRejected === 'retry' && forward && !exhausted(turn, step)
  const retryAt = again ? turn.retryAt(step.retry, step, state.attempts) : null
  turn.emit({ type: 'StepRejected', step: step.name, reason, retryAt })
  if (retryAt === null) leaveOut(turn, step, reason, 'none')
}

/** The query found no effect. The command may still be on its way, so it is repeated under its id, never given up on that. */
function notThereYet(turn: Turn, step: StepDefinition, reason: string): void {
  const { attempts, round = 1 } = turn.step(step)
  const until = turn.now + step.attemptMs
  if (exhausted(turn, step)) outcomeUnknown(turn, step, reason, null)
  else turn.emit({ type: 'StepAsked', step: step.name, attempt: attempts + 1, round, at: turn.now, until })
}

function undoRefused(turn: Turn, step: StepDefinition, reason: string, reply: ReplyMessage): void {
  const { cancel } = turn.state
  if (turn.step(step).phase === 'stuck') return ignore(turn, reply, 'its undo was given up already')
  if (cancel?.after === true && step.name === turn.definition.cancelDecidedBy)
    return turn.emit({ type: 'CancelRefused', by: cancel.by, reason })
  undoFailed(turn, step, reason, true)
}

/** A late answer settles what the saga was parked for. */
function resumeFrom(turn: Turn, step: StepDefinition): void {
  if (turn.state.parked?.step !== step.name) return
  turn.emit({ type: 'SagaResumed', by: 'reply', reason: 'the answer came' })
}
