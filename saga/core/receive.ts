/**
 * Takes an answer in: finds the command that it answers, reads it, and settles the step.
 *
 * An answer is matched by the id of its command where the sender names it, else by what is outstanding and its type.
 * What matches nothing outstanding changes nothing and is recorded. One exception: a success of a step that counts as
 * without effect, from a participant that keeps late commands out in no way, shows an effect left behind; the saga goes back
 * to undo it, also from its end.
 */
import type { Reading, ReplyMessage } from './contract.ts'
import { readReply } from './contract.ts'
import type { StepDefinition } from './definition.ts'
import type { Built, Direction } from './pending.ts'
import { commandId, contractOf, stepNamed } from './pending.ts'
import { takeEvent } from './event.ts'
import { hasEnded } from './state.ts'
import { exhausted, keptOf, leaveOut, outcomeUnknown, undoFailed } from './settle.ts'
import type { StepState } from './state.ts'
import type { Turn } from './turn.ts'

interface Match {
  readonly step: StepDefinition
  readonly direction: Direction
  readonly reading: Reading
  /** A refusal that may as well be of a repeat of another command, which has been settled. */
  readonly doubtful: boolean
}

export function receive(turn: Turn, reply: ReplyMessage): void {
  const match = findMatch(turn, reply)
  // An event may come with the answers to a command, and name it as they do.
  if ((match === null || match.reading.kind === 'other') && takeEvent(turn, reply)) return
  if (match === null) return ignore(turn, reply, 'it answers nothing that is outstanding: late, repeated or foreign')
  if (match.reading.kind === 'unreadable') return unreadable(turn, match, reply, match.reading.why)
  if (match.reading.kind === 'done') return succeeded(turn, match, match.reading.data, reply)
  if (match.reading.kind === 'rejected') return refused(turn, match, match.reading.reason, reply)
  ignore(turn, reply, 'it is not an answer to the command that it names')
}

/** The transport has taken a command that nobody need answer: that is as good as done. */
export function sent(turn: Turn, id: string): void {
  const step = turn.definition.byName.get(stepNamed(turn.state, id))
  const direction = directions.find((each) => step !== undefined && commandId(turn.state, step.name, each) === id)
  if (step === undefined || direction === undefined || contractOf(step, direction).answered) return
  if (!awaits(turn, step, direction, null)) return
  resumeFrom(turn, step)
  if (direction === 'undo') turn.emit({ type: 'UndoDone', step: step.name })
  else turn.emit({ type: 'StepDone', step: step.name, reply: null })
}

const ignore = (turn: Turn, reply: ReplyMessage, why: string): void =>
  turn.emit({ type: 'ReplyIgnored', reply: reply.type, why })

/** The outcome stays unknown, and the reason is kept: it is why the saga waits in vain. */
function unreadable(turn: Turn, { step }: Match, reply: ReplyMessage, why: string): void {
  turn.emit({ type: 'ReplyIgnored', reply: reply.type, why: `it cannot be read: ${why}`, step: step.name })
}

/**
 * What the answer says of the commands that it may answer; an undo before a command, since it was sent later. Of one that has
 * been settled only a success tells anything more: what else steps have in common is for the one that waits for it.
 */
function findMatch(turn: Turn, reply: ReplyMessage): Match | null {
  const steps = suspects(turn, reply)
  let settled: Match | null = null
  for (const direction of directions)
    for (const step of steps) {
      if (!awaits(turn, step, direction, reply)) continue
      const named = reply.causationId === commandId(turn.state, step.name, direction)
      if (reply.causationId !== undefined && !named) continue
      const reading = read(step, direction, turn.build(step, direction), reply)
      if (!named && reading.kind === 'other') continue
      const match: Match = { step, direction, reading, doubtful: settled !== null }
      if (named || reading.kind === 'done' || !isSettled(turn, step, direction)) return match
      settled ??= match
    }
  return settled
}

function isSettled(turn: Turn, step: StepDefinition, direction: Direction): boolean {
  const { phase } = turn.step(step)
  return direction === 'do' && phase !== 'asked' && phase !== 'unknown'
}

const directions: readonly Direction[] = ['undo', 'query', 'do']

/** The steps whose command it may answer: the one that it names, or any that is answered by its type. */
function suspects(turn: Turn, { causationId, type }: ReplyMessage): readonly StepDefinition[] {
  if (causationId === undefined) return turn.definition.byAnswer.get(type) ?? []
  const step = turn.definition.byName.get(stepNamed(turn.state, causationId))
  return step === undefined ? [] : [step]
}

const read = (step: StepDefinition, direction: Direction, built: Built, reply: ReplyMessage): Reading =>
  built.ok
    ? readReply(contractOf(step, direction), built.command.payload, reply)
    : { kind: 'unreadable', why: built.why }

function awaits(turn: Turn, step: StepDefinition, direction: Direction, reply: ReplyMessage | null): boolean {
  const state = turn.step(step)
  if (state.phase === 'todo' || contractOf(step, direction) === null) return false
  const mayShow = reply !== null && (mayShowEffect(turn, step, reply) || mayShowPart(turn, step, reply))
  if (direction === 'do' && mayShow) return true // also after the end
  if (hasEnded(turn.state.status) && turn.state.status !== 'COMPLETED') return false
  if (direction === 'query') return state.querying === true
  if (direction === 'undo') return state.phase === 'undoing' || state.phase === 'stuck'
  if (state.phase === 'rejected') return reply !== null && provesLittle(turn, step, reply) && isForward(turn)
  return state.phase === 'asked' || state.phase === 'unknown' || (state.phase === 'skipped' && state.exhausted === true)
}

/** Of one who does not name commands: sent more than once, one may have been obeyed and the next refused, or obeyed too. */
const provesLittle = (turn: Turn, step: StepDefinition, { causationId }: ReplyMessage): boolean =>
  causationId === undefined && turn.step(step).resent === true

/**
 * Whether a success shows an effect that is left behind, or one more. Where the step counts as without effect although nobody
 * knew, nothing may have kept a late command out; where a command was sent more than once to one who does not name commands,
 * each may have been obeyed. Whether something keeps late commands out is a fact about who answers: one that does not name its
 * command is none of ours, whatever the contract says.
 */
function mayShowEffect(turn: Turn, step: StepDefinition, reply: ReplyMessage): boolean {
  const { phase, blind, found } = turn.step(step)
  const again = provesLittle(turn, step, reply)
  if (phase === 'skipped') return blind === true
  if (step.undo === null) return false
  if (phase === 'done') return again
  if (phase === 'rejected') return again && !isForward(turn)
  return isUndone(phase) && (again || (isUnguarded(step, reply) && (blind === true || found !== undefined)))
}

const isUnguarded = (step: StepDefinition, { causationId }: ReplyMessage): boolean =>
  causationId === undefined || step.do?.tombstones === false

const isUndone = (phase: StepState['phase']): boolean => phase === 'undoing' || phase === 'undone' || phase === 'stuck'

/** A refusal of one who may do a part all the same: the undo may have come before it. */
function mayShowPart(turn: Turn, step: StepDefinition, reply: ReplyMessage): boolean {
  const { phase, blind, found } = turn.step(step)
  if (step.do?.rejectedInPart !== true) return false
  if (phase === 'skipped') return blind === true
  return isUndone(phase) && isUnguarded(step, reply) && (blind === true || found !== undefined)
}

const isForward = ({ state }: Turn): boolean => (state.parked?.from ?? state.status) === 'STARTED'

function succeeded(turn: Turn, match: Match, data: unknown, reply: ReplyMessage): void {
  const { step, direction } = match
  if (direction === 'undo') {
    resumeFrom(turn, step)
    return turn.emit({ type: 'UndoDone', step: step.name })
  }
  const kept = keptOf(step, data)
  if (!kept.ok) return unreadable(turn, match, reply, kept.why)
  if (direction === 'do' && mayShowEffect(turn, step, reply)) return found(turn, step, kept.value, reply)
  resumeFrom(turn, step)
  turn.emit({ type: 'StepDone', step: step.name, reply: kept.value })
}

/** More than these are no order any more, but a participant that answers without end. */
const mostFound = 32

/** Each success is undone once, and one refusal that may have left a part (null): what tells nothing new is a repeat. */
function found(turn: Turn, step: StepDefinition, value: unknown, reply: ReplyMessage): void {
  const { phase, blind, reply: first, found: more } = turn.step(step)
  const known = more?.replies ?? (blind === true || first === undefined ? [] : [first])
  const text = JSON.stringify(value)
  if (known.some((each) => JSON.stringify(each) === text))
    return turn.emit({ type: 'ReplyIgnored', reply: reply.type, why: 'it says nothing new', repeated: true })
  if (known.length >= mostFound) return ignore(turn, reply, `more than ${mostFound} successes of one step came late`)
  if (step.undo === null) {
    const why = `step ${step.name} took effect, against what an operator said, and has no undo`
    return turn.emit({ type: 'ReplyIgnored', reply: reply.type, why, contradicts: step.name })
  }
  turn.emit({ type: phase === 'done' ? 'EffectRepeated' : 'EffectFound', step: step.name, reply: value })
}

function refused(turn: Turn, { step, direction, doubtful }: Match, reason: string, reply: ReplyMessage): void {
  const state = turn.step(step)
  if (direction === 'undo') return undoRefused(turn, step, reason, reply)
  if (direction === 'query') return notThereYet(turn, step, reason)
  if (mayShowPart(turn, step, reply)) return found(turn, step, null, reply)
  if (state.phase !== 'asked' && state.phase !== 'unknown')
    return ignore(turn, reply, 'it confirms that the step had no effect')
  const again = step.onRejected === 'retry' && isForward(turn) && !exhausted(turn, step)
  const final = step.place === 'pivot' && step.undo === null // nothing would undo a try that was obeyed
  if (final && provesLittle(turn, step, reply))
    return mayBeObeyed(turn, step, `it was refused when it was repeated: ${reason}`)
  if (doubtful && (final || !again))
    return mayBeObeyed(turn, step, `it was refused, or a repeat of a step before it: ${reason}`)
  resumeFrom(turn, step)
  const retryAt = again ? turn.retryAt(step.retry, step, state.attempts) : null
  turn.emit({ type: 'StepRejected', step: step.name, reason, retryAt })
  if (retryAt === null) leaveOut(turn, step, reason, state.before === true ? 'possible' : 'none')
}

/** The refusal is not of every try, as far as anybody can tell. */
function mayBeObeyed(turn: Turn, step: StepDefinition, reason: string): void {
  turn.emit({ type: 'StepUnknown', step: step.name, reason, retryAt: null, refused: true })
  leaveOut(turn, step, reason, 'possible')
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
