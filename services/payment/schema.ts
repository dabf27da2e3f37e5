/** The Payment Service's tables. Money is whole cents; times are Unix milliseconds. */
import { sql, type Kysely, type Migration, type Selectable } from 'kysely'
import { inboxAgeMigration, inboxMigration, type InboxTables } from '../shared/database/inbox.ts'
import type { Database } from '../shared/database/database.ts'
import type { Gateway, RevertReason } from './gateway.ts'
import type { LedgerTables } from './ledger.ts'
import { sandboxMigration, type SandboxTables } from './sandbox-gateway.ts'

/**
 * - `INITIATING`: the gateway is being asked to hold the money; whether it does is not known yet.
 * - `AUTHORIZED`: the money is held.
 * - `RELEASING`: being taken and given to the runner; how far that got is not known yet.
 * - `CAPTURED`: taken, but the transfer to the runner was refused; kept until the release is tried again or reverted.
 * - `SUCCEEDED`: the runner has the money.
 * - `REVERTING`: being undone; how far that got is not known yet. Leads to `REVERTED` only, but for a runner who does not
 *   give the money back (`SUCCEEDED` again).
 * - `REVERTED`, `FAILED`: nobody's money is anywhere but with the customer.
 */
export type PaymentStatus =
  'INITIATING' | 'AUTHORIZED' | 'RELEASING' | 'CAPTURED' | 'SUCCEEDED' | 'REVERTING' | 'REVERTED' | 'FAILED'

export interface PaymentTables extends InboxTables, LedgerTables, SandboxTables {
  payments: {
    payment_id: string
    /** The `authorize_payment` that this payment answers, and the gateway's key of the hold. */
    command_id: string
    /** Null only in a marker of an undo that came first and did not name the order. */
    order_id: string | null
    /** Null in a marker: an undo came before its command, which must never reach the gateway. */
    customer_id: string | null
    saga_id: string
    cents: number
    description: string | null
    status: PaymentStatus
    gateway: Gateway['name']
    /** What a repeat of the hold needs; removed once the hold is settled. JSON. */
    card: string | null
    intent_id: string | null
    transfer_id: string | null
    runner_id: string | null
    runner_account: string | null
    revert_reason: RevertReason | null
    /** Refusals of a transfer, reversal, cancel or refund so far: the next try needs another key. */
    attempt: number
    /** Of a refused hold, JSON. */
    refusal: string | null
    /** Grows with every change: whoever prepared on an older row changes nothing. */
    version: number
    created_at: number
    updated_at: number
    /** When a hold that was not released is let go. */
    expires_at: number
    /** When the upkeep looks at it; null where it waits for somebody to ask, or for nothing any more. */
    due_at: number | null
  }
}

export type PaymentRow = Selectable<PaymentTables['payments']>

const payments: Migration = {
  async up(db) {
    await db.schema
      .createTable('payments')
      .addColumn('payment_id', 'text', (column) => column.primaryKey())
      .addColumn('command_id', 'text', (column) => column.notNull().unique())
      // One payment per order, whoever asks at the same moment.
      .addColumn('order_id', 'text', (column) => column.unique())
      .addColumn('customer_id', 'text')
      .addColumn('saga_id', 'text', (column) => column.notNull())
      .addColumn('cents', 'bigint', (column) => column.notNull())
      .addColumn('description', 'text')
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('gateway', 'text', (column) => column.notNull())
      .addColumn('card', 'text')
      .addColumn('intent_id', 'text', (column) => column.unique())
      .addColumn('transfer_id', 'text', (column) => column.unique())
      .addColumn('runner_id', 'text')
      .addColumn('runner_account', 'text')
      .addColumn('revert_reason', 'text')
      .addColumn('attempt', 'bigint', (column) => column.notNull())
      .addColumn('refusal', 'text')
      .addColumn('version', 'bigint', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .execute()
    for (const who of ['customer_id', 'runner_id'] as const) {
      await db.schema.createIndex(`payments_by_${who}`).on('payments').column(who).execute()
    }
    await db.schema.createIndex('payments_by_status').on('payments').columns(['status', 'updated_at']).execute()
  },
}

/**
 * For what was written without a due time, before there were any or by a process of that time that still runs beside this
 * one: as `due.ts` would have set it when each of them last changed.
 */
export const fillDueTimes = sql`update payments set due_at = case
    when status = 'INITIATING' then updated_at + 1800000
    when status = 'AUTHORIZED' then expires_at
    else updated_at + 60000
  end where due_at is null and status in ('INITIATING', 'AUTHORIZED', 'RELEASING', 'REVERTING')`

const dueTimes: Migration = {
  async up(db) {
    await db.schema.alterTable('payments').addColumn('due_at', 'bigint').execute()
    await fillDueTimes.execute(db)
    // Of what waits for the upkeep, which is little: a payment leaves it when it ends.
    await db.schema
      .createIndex('payments_by_due_at')
      .on('payments')
      .columns(['gateway', 'due_at'])
      .where(sql.ref('due_at'), 'is not', null)
      .execute()
  },
}

type Dialect = Database<never>['dialect']

/** The migrations differ by dialect only in how a table is made append-only. */
export function paymentMigrations(dialect: Dialect): Record<string, Migration> {
  return {
    '001_inbox': inboxMigration,
    '002_payments': payments,
    '003_ledger': ledgerMigration(dialect),
    '004_sandbox': sandboxMigration,
    '005_due_times': dueTimes,
    '006_inbox_age': inboxAgeMigration(dialect),
  }
}

function ledgerMigration(dialect: Dialect): Migration {
  return {
    async up(db) {
      await db.schema
        .createTable('ledger_transactions')
        // Such as `hold:<payment>`: one effect of a kind per payment.
        .addColumn('business_key', 'text', (column) => column.primaryKey())
        .addColumn('payment_id', 'text', (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .execute()
      await db.schema
        .createTable('ledger_entries')
        .addColumn('business_key', 'text', (column) => column.notNull().references('ledger_transactions.business_key'))
        .addColumn('account', 'text', (column) => column.notNull())
        .addColumn('cents', 'bigint', (column) => column.notNull())
        .addPrimaryKeyConstraint('ledger_entries_key', ['business_key', 'account'])
        .execute()
      await db.schema
        .createIndex('ledger_transactions_by_payment')
        .on('ledger_transactions')
        .column('payment_id')
        .execute()
      if (dialect === 'postgres') await refuseChangesInPostgres(db)
      else await refuseChangesInSqlite(db)
    },
  }
}

const ledgerTables = ['ledger_transactions', 'ledger_entries'] as const
const appendOnly = 'the ledger is append-only: post a correcting transaction instead'

async function refuseChangesInSqlite(db: Kysely<unknown>): Promise<void> {
  for (const table of ledgerTables) {
    for (const change of ['update', 'delete']) {
      const name = sql.ref(`${table}_no_${change}`)
      await sql`create trigger ${name} before ${sql.raw(change)} on ${sql.table(table)}
        begin select raise(abort, ${sql.lit(appendOnly)}); end`.execute(db)
    }
  }
}

async function refuseChangesInPostgres(db: Kysely<unknown>): Promise<void> {
  await sql`create function ledger_is_append_only() returns trigger language plpgsql as
    ${sql.lit(`begin raise exception '${appendOnly}'; end`)}`.execute(db)
  for (const table of ledgerTables) {
    await sql`create trigger ${sql.ref(`${table}_append_only`)} before update or delete or truncate on ${sql.table(table)}
      for each statement execute function ledger_is_append_only()`.execute(db)
  }
}
