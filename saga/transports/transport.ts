/**
 * What moves messages between the engine and participants.
 *
 * Promises of every transport, held by `transport.contract.ts`:
 * - every group gets every message, whenever it first subscribes (where nothing is durable: the newest ones);
 * - at least once: a message whose handler throws, or whose process dies, is delivered again;
 * - messages with the same `correlationId` on one channel arrive in the order of publishing (redeliveries aside);
 * - back pressure: no further batch is handed to a handler before the last one is settled;
 * - a message that cannot be handled after bounded tries goes to a dead-letter place with its reason, and the next goes on;
 * - `publish` resolves once the messages are the transport's to deliver, and rejects otherwise (outcome unknown, but for
 *   a RefusedError).
 */

/** A command, a reply or an event on its way. Ids are text; the payload is plain JSON. */
export interface Message {
  /** Of a command: its derived id, the same on every repeat. Of others: any unique text. */
  readonly id: string
  /** Such as `create_order` or `order.created`. */
  readonly type: string
  /** The saga id. */
  readonly correlationId: string
  /** Of a reply: the id of the command that it answers. Foreign producers give none. */
  readonly causationId?: string | undefined
  /** Of an undo: the id of the command that it undoes. */
  readonly undoes?: string | undefined
  /** ISO 8601, UTC. */
  readonly timestamp: string
  readonly source?: string | undefined
  /** W3C trace context, of a message that came with one of its own (`trace.ts`). */
  readonly traceparent?: string | undefined
  readonly payload: unknown
}

/** A message of a batch that could not be handled while the others were. */
export interface FailedMessage {
  readonly messageId: string
  readonly reason: string
}

/**
 * Handles one batch. Resolving acknowledges all of it but the messages that it names as failed: only those are delivered
 * again. Throwing means "deliver all of it again"; the messages of a larger batch then come one by one, so that the one
 * that made it throw hurts no other. Throwing an UnavailableError means "all of it again, later": no message is to blame.
 */
export type BatchHandler = (batch: readonly Message[]) => Promise<readonly FailedMessage[] | void>

/**
 * Thrown by a handler that can handle nothing now, such as while its database is away. What it was given waits, for as
 * long as that takes, and no message is charged a try for it. Any error with this `code` says the same: a StoreError does.
 */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError'
  readonly code = 'unavailable'
}

/** Whether a handler, or what it stands on, can handle nothing now. */
export const isUnavailable = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && error.code === 'unavailable'

/**
 * `publish` rejects with it where some messages can never be sent as they are (too large, what no wire carries): these
 * it names, all others of the call are the transport's to deliver. To publish those again is in vain.
 */
export class RefusedError extends Error {
  override readonly name: string = 'RefusedError'
  readonly code = 'refused'
  readonly messageIds: readonly string[]
  constructor(message: string, messageIds: readonly string[], options?: ErrorOptions) {
    super(message, options)
    this.messageIds = messageIds
  }
}

export interface DeadLetter {
  readonly channel: string
  readonly reason: string
  readonly message: Message | string
}

export interface Subscription {
  /** Stops taking messages, waits for the batch in hand. */
  close(): Promise<void>
}

export interface Transport {
  /** Hands messages over to a channel such as `order_commands` or `order_events`. */
  publish(channel: string, messages: readonly Message[]): Promise<void>
  /**
   * Reads a channel. Subscribers with the same group share its messages; each group gets all of them, also those that
   * were published before it first subscribed.
   * A subscriber that is slow or absent loses nothing that a durable transport has accepted.
   */
  subscribe(channel: string, group: string, handler: BatchHandler): Promise<Subscription>
  /** True when messages can be moved now; for readiness checks. */
  ready(): Promise<boolean>
  /** Finishes what is in hand, then stops. */
  close(): Promise<void>
}

/** Where commands to a participant go (docs/wire-contract.md). */
export const commandChannel = (participant: string): string => `${participant}_commands`

/** Where a participant's replies and events come from (docs/wire-contract.md). */
export const eventChannel = (participant: string): string => `${participant}_events`

export const isCommandChannel = (channel: string): boolean => channel.endsWith('_commands')

/** Where the replies to a channel's commands come: `order_commands` -> `order_events`. */
export const replyChannel = (channel: string): string => channel.replace(/_commands$/, '_events')
