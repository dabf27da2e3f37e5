/** Turns answers into what is stored and sent. */
import { check, type CommandContract } from '../core/contract.ts'
import { whyNotPlain } from '../core/plain.ts'
import { causedBy } from '../transports/trace.ts'
import type { Message } from '../transports/transport.ts'
import type { Answer } from './handle.ts'
import type { StoredReply } from './inbox.ts'
import { undoneBefore, type Refuse } from './refusing.ts'
import { ParticipantError, received, type Replies, type Work } from './work.ts'

export const replyId = (command: Message): string => `${command.id}:reply`

/** Who replies, and when. */
export interface Sender {
  readonly source: string
  readonly refuse: Refuse
  readonly now: () => number
}

/**
 * Null where nothing is sent: the contract knows no answer, or a tombstone keeps the command out and its contract has no
 * refusal. Then the command is only acknowledged.
 */
export function replyTo<Tx>(sender: Sender, work: Work<Tx>, stored: Replies): Message | null {
  const said = saidTo(sender.refuse, work, stored)
  if (said === null || said.type === '') return null
  const { message } = work
  const id = replyId(message)
  return {
    id,
    type: said.type,
    correlationId: message.correlationId,
    causationId: message.id,
    timestamp: new Date(sender.now()).toISOString(),
    source: sender.source,
    ...causedBy(message, id),
    payload: said.payload,
  }
}

function saidTo<Tx>(refuse: Refuse, work: Work<Tx>, stored: Replies): StoredReply | null {
  const { message, handled } = work
  const reply = stored.get(message.id)
  if (reply?.kind !== 'tombstone') return reply ?? null
  if (handled.contract.rejected === null) return null
  const refusal = refuse({ cause: 'undone_before', why: undoneBefore, command: received(work, stored) })
  return toStore(message, handled.contract, refusal)
}

/** @throws ParticipantError where the answer is not one that the contract knows: a mistake in the service, so nothing is sent */
export function toStore(message: Message, contract: CommandContract, answer: unknown): StoredReply {
  const { type } = contract
  if (!isAnswer(answer)) throw badAnswer(type, 'answers with something else than done(data) or rejected(reason)')
  const spec = answer.kind === 'done' ? contract.done : contract.rejected
  if (spec === null) {
    throw new ParticipantError('no_refusal', `the handler of ${type} refuses, but its contract has no refusal`)
  }
  const payload =
    answer.kind === 'done' ? answer.data : refusal(contract.rejected?.refuse(answer.reason), answer.details)
  const unplain = whyNotPlain(payload, answer.kind === 'done' ? 'data' : 'details')
  if (unplain !== null) throw badAnswer(type, `answers with what is no plain JSON: ${unplain}`)
  const checked = check(spec.data, payload)
  if (!checked.ok) throw badAnswer(type, `gives a ${spec.type} that its contract forbids: ${checked.why}`)
  // As it was given, not as the schema reads it: the orchestrator reads it by the same schema.
  return { commandId: message.id, kind: answer.kind, type: spec.type, payload }
}

const badAnswer = (type: string, what: string): ParticipantError =>
  new ParticipantError('bad_answer', `the handler of ${type} ${what}`)

function isAnswer(value: unknown): value is Answer<unknown> {
  const answer = Object(value) as Partial<Answer<unknown> & { readonly reason: unknown }>
  return answer.kind === 'done' || (answer.kind === 'rejected' && typeof answer.reason === 'string')
}

function refusal(payload: unknown, details: Readonly<Record<string, unknown>> | undefined): unknown {
  return details === undefined ? payload : { ...details, ...(payload as object) }
}
