/** A command on its way through the kit: read, prepared, answered. */
import type { Checked } from '../core/contract.ts'
import type { Message } from '../transports/transport.ts'
import type { Handled, ReceivedCommand } from './handle.ts'
import type { StoredReply } from './inbox.ts'

/** A command with its handler and its checked payload. */
export interface Work<Tx> {
  readonly message: Message
  readonly handled: Handled<Tx>
  readonly payload: Checked<unknown>
}

/** Work whose `prepare` has run, and what was known of the undone command then. */
export interface PreparedWork<Tx> extends Work<Tx> {
  readonly prepared: unknown
  readonly preparedOn: StoredReply['kind'] | null
}

/** Leaves one command out of its batch: it is delivered again, the others go on. */
export type Fail = (message: Message, cause: unknown) => void

/** What is stored of the commands of a batch and of those that they undo, by command id. */
export type Replies = Map<string, StoredReply>

/** A mistake in a service's own code or contract: to deliver the command again mends nothing. */
export class ParticipantError extends Error {
  override readonly name = 'ParticipantError'
  /** `bad_answer`: a handler's, or a refusal's. `no_refusal`: must be refused, and its contract cannot. `ambiguous`: has two handlers. */
  readonly code: 'bad_answer' | 'no_refusal' | 'ambiguous'
  constructor(code: ParticipantError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** A command as its handler gets it; of one that cannot be read, the payload as it came. */
export function received<Tx>({ message, payload }: Work<Tx>, stored: Replies): ReceivedCommand<unknown> {
  return {
    id: message.id,
    sagaId: message.correlationId,
    payload: payload.ok ? payload.value : message.payload,
    undoes: message.undoes ?? null,
    original: original(message, stored),
  }
}

/** What became of the command that this one undoes; null where it never arrived. */
export function original(message: Message, stored: Replies): StoredReply | null {
  const reply = message.undoes === undefined ? undefined : stored.get(message.undoes)
  return reply === undefined || reply.kind === 'tombstone' ? null : reply
}
