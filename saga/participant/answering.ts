/** Asks the handlers, inside one transaction that also stores what they answer. */
import type { CommandContract } from '../core/contract.ts'
import { groups } from './batches.ts'
import type { ReceivedCommand } from './handle.ts'
import type { Inbox, StoredReply } from './inbox.ts'
import { badPayload, type Refuse } from './refusing.ts'
import { toStore } from './replying.ts'
import { original, ParticipantError, received, type PreparedWork, type Replies, type Work } from './work.ts'

/** The replies that are stored of these commands, and of those that they undo. */
export async function findReplies<Tx>(inbox: Inbox<Tx>, tx: Tx, works: readonly Work<Tx>[]): Promise<Replies> {
  const ids = works.flatMap(({ message }) =>
    message.undoes === undefined ? [message.id] : [message.id, message.undoes],
  )
  const found = await inbox.find(tx, [...new Set(ids)])
  return new Map(found.map((reply) => [reply.commandId, reply]))
}

/** Answers in order; what it saves and what the handlers do commit together. Gives back what is then stored. */
export async function answerAll<Tx>(
  inbox: Inbox<Tx>,
  refuse: Refuse,
  tx: Tx,
  works: readonly PreparedWork<Tx>[],
): Promise<Replies> {
  if (works.length === 0) return new Map()
  const answering = new Answering<Tx>(refuse, await findReplies(inbox, tx, works))
  for (const group of groups(works)) await answering.answer(tx, group)
  if (answering.fresh.length > 0) await inbox.save(tx, answering.fresh)
  return answering.stored
}

/** The answers of one transaction. */
class Answering<Tx> {
  readonly stored: Replies
  /** Those that are not in the inbox yet. */
  readonly fresh: StoredReply[] = []
  readonly #refuse: Refuse

  constructor(refuse: Refuse, stored: Replies) {
    this.#refuse = refuse
    this.stored = stored
  }

  /** Answers commands of one handler, each of another saga, that have no reply yet. */
  async answer(tx: Tx, group: readonly PreparedWork<Tx>[]): Promise<void> {
    const open = group.filter(({ message }) => !this.stored.has(message.id))
    for (const work of open) this.#refuseUnreadable(work)
    const readable = open.filter(({ payload }) => payload.ok)
    const handled = readable[0]?.handled
    if (handled === undefined) return
    const commands = readable.map((work) => this.#commandOf(work))
    const prepared = readable.map((work) => work.prepared)
    const answers = inNumber(handled.contract, await handled.applyAll(tx, commands, prepared), commands.length)
    for (const [index, { message }] of readable.entries())
      this.#keep(toStore(message, handled.contract, answers[index]))
  }

  #refuseUnreadable(work: PreparedWork<Tx>): void {
    const { message, handled, payload } = work
    if (payload.ok) return
    const command = received(work, this.stored)
    const refusal = this.#refuse({ cause: 'bad_payload', why: badPayload(message, payload.why), command })
    this.#keep(toStore(message, handled.contract, refusal))
  }

  /** The command for its handler. What it undoes and never arrived is kept out from now on. */
  #commandOf(work: PreparedWork<Tx>): ReceivedCommand<unknown> {
    const { message, handled } = work
    if (handled.prepare !== null && (original(message, this.stored)?.kind ?? null) !== work.preparedOn) {
      throw new Error(`what ${message.type} undoes has changed while it was prepared; it is prepared again`)
    }
    const command = received(work, this.stored)
    const { undoes } = message
    if (undoes !== undefined && !this.stored.has(undoes)) {
      this.#keep({ commandId: undoes, kind: 'tombstone', type: '', payload: null })
    }
    return command
  }

  #keep(reply: StoredReply): void {
    this.stored.set(reply.commandId, reply)
    this.fresh.push(reply)
  }
}

function inNumber({ type }: CommandContract, answers: unknown, commands: number): readonly unknown[] {
  if (!Array.isArray(answers)) {
    throw new ParticipantError('bad_answer', `the handler of ${type} must answer with a list, one answer per command`)
  }
  if (answers.length === commands) return answers
  throw new ParticipantError(
    'bad_answer',
    `the handler of ${type} gave ${answers.length} answers to ${commands} commands`,
  )
}
