/**
 * An inbox in memory with a small table beside it, for tests and examples.
 *
 * Invariants: transactions run one after the other; one that throws leaves no trace, in the inbox and in the table.
 */
import { systemClock, type Clock } from '../clock.ts'
import type { DurableInbox, StoredReply } from './inbox.ts'
import { removedAtOnce } from './inbox-table.ts'

/** The table, inside a transaction. */
export interface MemoryTx {
  get(key: string): unknown
  set(key: string, value: unknown): void
  delete(key: string): void
}

export interface MemoryInbox extends Omit<DurableInbox<MemoryTx>, 'migrate'> {
  /** The table as committed; within a transaction, as it stands. */
  readonly table: ReadonlyMap<string, unknown>
  readonly replies: ReadonlyMap<string, StoredReply>
}

/** What a running transaction must undo, newest last. */
type UndoLog = (() => void)[]

class MemoryTransaction implements MemoryTx {
  readonly #table: Map<string, unknown>
  readonly #replies: Map<string, StoredReply>
  readonly #undo: UndoLog = []

  constructor(table: Map<string, unknown>, replies: Map<string, StoredReply>) {
    this.#table = table
    this.#replies = replies
  }

  get(key: string): unknown {
    return this.#table.get(key)
  }

  set(key: string, value: unknown): void {
    this.#remember(key)
    this.#table.set(key, value)
  }

  delete(key: string): void {
    this.#remember(key)
    this.#table.delete(key)
  }

  save(reply: StoredReply): void {
    if (this.#replies.has(reply.commandId)) throw new Error(`command ${reply.commandId} is in the inbox already`)
    this.#replies.set(reply.commandId, reply)
    this.#undo.push(() => this.#replies.delete(reply.commandId))
  }

  rollBack(): void {
    for (const undo of this.#undo.reverse()) undo()
  }

  #remember(key: string): void {
    const had = this.#table.has(key)
    const before = this.#table.get(key)
    this.#undo.push(() => (had ? this.#table.set(key, before) : this.#table.delete(key)))
  }
}

/**
 * @example
 * const inbox = memoryInbox()
 * handle(createOrder, async (tx: MemoryTx, command) => {
 *   tx.set(`order:${command.sagaId}`, command.payload)
 *   return done({ order_id: command.sagaId })
 * })
 */
export function memoryInbox({ clock = systemClock }: { readonly clock?: Pick<Clock, 'now'> } = {}): MemoryInbox {
  const table = new Map<string, unknown>()
  const replies = new Map<string, StoredReply>()
  const storedAt = new Map<string, number>()
  let last: Promise<unknown> = Promise.resolve()

  async function attempt<T>(work: (tx: MemoryTx) => Promise<T>): Promise<T> {
    const tx = new MemoryTransaction(table, replies)
    try {
      return await work(tx)
    } catch (error) {
      tx.rollBack()
      throw error
    }
  }

  return {
    table,
    replies,
    transaction(work) {
      const run = last.then(() => attempt(work))
      last = run.catch(() => undefined)
      return run
    },
    async find(_tx, commandIds) {
      return commandIds.flatMap((id) => replies.get(id) ?? [])
    },
    async save(tx, saved) {
      for (const reply of saved) {
        ;(tx as MemoryTransaction).save(reply)
        storedAt.set(reply.commandId, clock.now())
      }
    },
    async removeOld(retainMs) {
      const latest = clock.now() - retainMs
      const old = [...replies.keys()].filter((id) => (storedAt.get(id) ?? Infinity) <= latest).slice(0, removedAtOnce)
      for (const id of old) {
        replies.delete(id)
        storedAt.delete(id)
      }
      return old.length
    },
  }
}
