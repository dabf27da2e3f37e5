/**
 * The participant kit's inbox in a service's own database.
 *
 * Invariants:
 * - the primary key is what makes a command take effect once; whoever stores a reply second rolls back;
 * - a database that is away, whenever in a transaction it goes, is no command's fault: the whole batch waits for it.
 */
import type { Kysely, Migration, Transaction } from 'kysely'
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
    /** Unix milliseconds. */
    stored_at: number
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

/** The replies that are there already count as stored when this runs. */
export function inboxAgeMigration(dialect: Database<never>['dialect']): Migration {
  return {
    async up(db) {
      await db.schema
        .alterTable('inbox')
        .addColumn('stored_at', 'bigint', (column) => column.notNull().defaultTo(Date.now()))
        .execute()
      const index = db.schema.createIndex('inbox_by_age').on('inbox').column('stored_at')
      // Rows come by age: where the database has an index of a few bytes for that, storing a reply costs no more.
      await (dialect === 'postgres' ? index.using('brin') : index).execute()
    },
  }
}

/** Both databases limit the parameters of one statement (SQLite: 32,766; a row has five). */
const rowsPerStatement = 1_000

/**
 * @example
 * participant({ name: 'order', source: 'order-service', inbox: kyselyInbox(database), handlers })
 */
export function kyselyInbox<S extends InboxTables>(
  database: Database<S>,
  now: () => number = Date.now,
): Inbox<Transaction<S>> {
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
        await inboxOf(tx)
          .insertInto('inbox')
          .values(some.map((reply) => toRow(reply, now())))
          .execute()
      }
    },
  }
}

/** Forgets replies that were stored before then, at most a statement's worth; gives back how many. */
export async function forgetReplies<S extends InboxTables>({ db }: Database<S>, before: number): Promise<number> {
  const inbox = inboxOf(db)
  const old = inbox.selectFrom('inbox').select('command_id').where('stored_at', '<', before).limit(rowsPerStatement)
  const { numDeletedRows } = await inbox.deleteFrom('inbox').where('command_id', 'in', old).executeTakeFirst()
  return Number(numDeletedRows)
}

/** Kysely cannot see through a type parameter that `S` has these tables; the constraint on `S` says that it has. */
function inboxOf<S extends InboxTables>(db: Kysely<S>): Kysely<InboxTables> {
  return db as unknown as Kysely<InboxTables>
}

function toRow(reply: StoredReply, now: number): InboxTables['inbox'] {
  return {
    command_id: reply.commandId,
    kind: reply.kind,
    type: reply.type,
    payload: JSON.stringify(reply.payload ?? null),
    stored_at: now,
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
