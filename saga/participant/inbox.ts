/**
 * Where a participant keeps the ids of the commands it has obeyed, with their replies: in its own database, so that the
 * reply and the effect commit together.
 */

export interface StoredReply {
  readonly commandId: string
  /** `tombstone`: the command's undo came first; the command must be refused. */
  readonly kind: 'done' | 'rejected' | 'tombstone'
  /** The reply's type and payload; empty text and null for a tombstone. */
  readonly type: string
  readonly payload: unknown
}

/** A participant's database, as far as the kit needs it. `Tx` is whatever its queries run on. */
export interface Inbox<Tx> {
  /** Runs the work in one transaction; rolls back where it throws. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  find(tx: Tx, commandIds: readonly string[]): Promise<readonly StoredReply[]>
  /** Inserts; a command id that is already there makes it throw (two processes obeyed at once: the loser rolls back). */
  save(tx: Tx, replies: readonly StoredReply[]): Promise<void>
}

/** An inbox whose replies last until they are removed. */
export interface DurableInbox<Tx> extends Inbox<Tx> {
  /** Makes the table where it is missing; safe with several processes starting at once. */
  migrate(): Promise<void>
  /**
   * Removes replies that were stored `retainMs` ago or longer, at most a thousand; gives back how many. Keep them for as long
   * as a saga may repeat its command.
   *
   * That goes by the database's own clock, whatever those of the processes say. One that has none but the machine's (SQLite)
   * does not believe in a jump ahead of more than a day.
   */
  removeOld(retainMs: number): Promise<number>
}
