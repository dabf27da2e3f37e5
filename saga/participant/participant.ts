/**
 * The participant kit: a service declares handlers for the commands of its contract and serves them over any transport.
 *
 * Invariants:
 * - the reply is stored in the same transaction as the effect, under the command's id; a repeat is answered from the
 *   store and does nothing (design rule 4);
 * - an undo that overtakes its command leaves a tombstone, and the late command is refused (rule 5);
 * - the command is acknowledged only after its reply is published, so no outbox is needed;
 * - a handler that throws has an unknown outcome: nothing is stored, the message is delivered again.
 */
import type { CommandContract } from '../core/contract.ts'
import type { Subscription, Transport } from '../transports/transport.ts'
import type { Inbox, StoredReply } from './inbox.ts'

/** A command in a handler's hands. */
export interface ReceivedCommand<Payload> {
  readonly id: string
  readonly sagaId: string
  readonly payload: Payload
  /** Of an undo that names what it undoes: the id of that command. */
  readonly undoes: string | null
  /** What became of the undone command here; null where it never arrived (a tombstone now keeps it out), or where the
   * undo does not name it. */
  readonly original: StoredReply | null
}

export type Answer<Data> =
  { readonly kind: 'done'; readonly data: Data } | { readonly kind: 'rejected'; readonly reason: string }

export const done = <Data>(data: Data): Answer<Data> => ({ kind: 'done', data })
/** Refused, with no effect. */
export const rejected = (reason: string): Answer<never> => ({ kind: 'rejected', reason })

/** A handler that needs other systems does that in `prepare`; its effect on the own database belongs in `apply`. */
export interface Handler<Tx, Payload, Data, Prepared> {
  /** Runs outside any transaction, possibly several times for one command: must be idempotent by `command.id`. */
  prepare(command: ReceivedCommand<Payload>): Promise<Prepared>
  /** Runs in the transaction that also stores the reply. */
  apply(tx: Tx, command: ReceivedCommand<Payload>, prepared: Prepared): Promise<Answer<Data>>
}

/** One command with its handler, types erased. Made by `handle`. */
export interface Handled<Tx> {
  readonly contract: CommandContract
  readonly prepare: ((command: ReceivedCommand<unknown>) => Promise<unknown>) | null
  readonly apply: (tx: Tx, command: ReceivedCommand<unknown>, prepared: unknown) => Promise<Answer<unknown>>
}

export declare function handle<Tx, Payload, Data, Prepared>(
  contract: CommandContract<Payload, Data>,
  handler:
    | ((tx: Tx, command: ReceivedCommand<Payload>) => Promise<Answer<Data>>)
    | Handler<Tx, Payload, Data, Prepared>,
): Handled<Tx>

export interface ParticipantOptions<Tx> {
  /** The contract's name, such as `order`: commands come from `order_commands`, replies go to `order_events`. */
  readonly name: string
  /** Goes into the replies' `source`, such as `order-service`. */
  readonly source: string
  readonly inbox: Inbox<Tx>
  readonly handlers: readonly Handled<Tx>[]
  /** How many `prepare`s run at once; 16 where none is given. */
  readonly concurrency?: number
  readonly onProblem?: (problem: { readonly what: string; readonly messageId: string; readonly cause: unknown }) => void
}

export declare function participant<Tx>(options: ParticipantOptions<Tx>): {
  attach(transport: Transport): Promise<Subscription>
}
