/** The Timer Service's tables. Times are Unix milliseconds. */
import { sql, type Migration, type Selectable } from 'kysely'
import type { Database } from '../shared/database/database.ts'
import { inboxAgeMigration, inboxMigration, type InboxTables } from '../shared/database/inbox.ts'

/**
 * `RUNNING` until one of: `FIRED` (said to have expired), `STOPPED` (a runner accepted), `CANCELLED`.
 */
export type TimerState = 'RUNNING' | 'FIRED' | 'STOPPED' | 'CANCELLED'

export interface TimerTables extends InboxTables {
  timers: {
    timer_id: string
    order_id: string
    customer_id: string
    runner_id: string | null
    /** Null where no saga asked for it. */
    saga_id: string | null
    state: TimerState
    created_at: number
    expires_at: number
  }
}

export type TimerRow = Selectable<TimerTables['timers']>

const timers: Migration = {
  async up(db) {
    await db.schema
      .createTable('timers')
      .addColumn('timer_id', 'text', (column) => column.primaryKey())
      .addColumn('order_id', 'text', (column) => column.notNull())
      .addColumn('customer_id', 'text', (column) => column.notNull())
      .addColumn('runner_id', 'text')
      .addColumn('saga_id', 'text')
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .execute()
    // An order has at most one running timer, whoever asks at the same moment.
    await db.schema
      .createIndex('running_timer_of_order')
      .unique()
      .on('timers')
      .column('order_id')
      .where(sql.ref('state'), '=', 'RUNNING')
      .execute()
    await db.schema
      .createIndex('running_timers_by_expiry')
      .on('timers')
      .columns(['expires_at', 'timer_id'])
      .where(sql.ref('state'), '=', 'RUNNING')
      .execute()
    await db.schema.createIndex('timers_of_order').on('timers').columns(['order_id', 'created_at']).execute()
  },
}

export function timerMigrations(dialect: Database<never>['dialect']): Record<string, Migration> {
  return { '001_inbox': inboxMigration, '002_timers': timers, '003_inbox_age': inboxAgeMigration(dialect) }
}
