/**
 * The participant kit's inbox in a service's own database: the library's, within Kysely's transactions.
 *
 * Invariant: a database that is away, whenever in a transaction it goes, is no command's fault: the whole batch waits for it.
 */
import { CompiledQuery, type Migration, type Transaction } from 'kysely'
import type { DurableInbox, StoredReply } from 'ordersaga/inbox'
import { postgresInboxOver } from 'ordersaga/participant/postgres-inbox'
import { sqliteInboxOver, type SqliteInboxOptions } from 'ordersaga/participant/sqlite-inbox'
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

/** As the library's own table, which a service makes among its migrations. */
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

/**
 * @example
 * participant({ name: 'order', source: 'order-service', inbox: kyselyInbox(database), handlers })
 */
export function kyselyInbox<S extends InboxTables>(
  database: Database<S>,
  options: Omit<SqliteInboxOptions, 'table'> = {},
): DurableInbox<Transaction<S>> {
  const inboxOver =
    database.dialect === 'postgres' ? postgresInboxOver<Transaction<S>> : sqliteInboxOver<Transaction<S>>
  return inboxOver(
    {
      async transaction(work) {
        try {
          return await retryContention(() => database.db.transaction().execute(work))
        } catch (cause) {
          if (!isAway(cause) || isUnavailable(cause)) throw cause
          const why = cause instanceof Error ? cause.message : String(cause)
          throw new UnavailableError(`the database cannot be used now (${why})`, { cause })
        }
      },
      query: async (tx, text, values) => (await tx.executeQuery(CompiledQuery.raw(text, [...values]))).rows,
    },
    { table: 'inbox', ...options },
  )
}
