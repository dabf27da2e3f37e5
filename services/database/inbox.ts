/**
 * The participant kit's inbox in a service's own database.
 *
 * Invariants:
 * - the primary key is what makes a command take effect once; whoever stores a reply second rolls back;
 * - a database that is away, whenever in a transaction it goes, is no command's fault: the whole batch waits for it.
 */
import type { Migration, Transaction } from 'kysely'
import type { Inbox, StoredReply } from 'ordersaga/inbox'
import { isUnavailable, UnavailableError } from 'ordersaga/transport'
import { retryContention, type Database } from './database.ts'
import { isAway } from './errors.ts'

export interface InboxTables {
  inbox: {
    command_id: string
    kind: StoredReply['kind']
    /** Empty for a tombstone. */
    type: string
    /** JSON. */
    payload: string
  }
}

export const inboxMigration: Migration = {
  async up(db) {
    await db.schema
      .createTable('inbox')
      .addColumn('command_id', 'text', (column) => column.primaryKey())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('type', 'text', (column) => column.notNull())
      .addColumn('payload', 'text', (column) => column.notNull())
      .execute()
  },
}

/** Both databases limit the parameters of one statement (SQLite: 32,766; a row has four). */
const rowsPerStatement = 1_000

/**
 * @example
 * participant({ name: 'order', source: 'order-service', inbox: kyselyInbox(database), handlers })
 */
export function kyselyInbox<S extends InboxTables>(database: Database<S>): Inbox<Transaction<S>> {
  return {
    async transaction(work) {
      try {
        return await retryContention(() => database.db.transaction().execute(work))
      } catch (cause) {
        if (!isAway(cause) || isUnavailable(cause)) throw cause
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new UnavailableError(`the database cannot be used now (${why})`, { cause })
      }
    },
    async find(tx, commandIds) {
      const found: StoredReply[] = []
      for (const ids of chunks(commandIds)) {
        const rows = await inboxOf(tx).selectFrom('inbox').selectAll().where('command_id', 'in', ids).execute()
        found.push(...rows.map(fromRow))
      }
      return found
    },
    async save(tx, replies) {
      for (const some of chunks(replies)) {
        await inboxOf(tx).insertInto('inbox').values(some.map(toRow)).execute()
      }
    },
  }
}

/** Kysely cannot see through a type parameter that `S` has these tables; the constraint on `S` says that it has. */
function inboxOf<S extends InboxTables>(tx: Transaction<S>): Transaction<InboxTables> {
  return tx as unknown as Transaction<InboxTables>
}

function toRow(reply: StoredReply): InboxTables['inbox'] {
  return {
    command_id: reply.commandId,
    kind: reply.kind,
    type: reply.type,
    payload: JSON.stringify(reply.payload ?? null),
  }
}

function fromRow(row: InboxTables['inbox']): StoredReply {
  return { commandId: row.command_id, kind: row.kind, type: row.type, payload: JSON.parse(row.payload) as unknown }
}

function chunks<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / rowsPerStatement) }, (_, index) =>
    items.slice(index * rowsPerStatement, (index + 1) * rowsPerStatement),
  )
}
