/** The tables of the payments of the Order Orchestration. Money is whole cents, times are Unix milliseconds. */
import { sql, type Migration, type Selectable } from 'kysely'
import { claimMigration, type ClaimTables } from '../shared/database/claims.ts'
import type { Database } from '../shared/database/database.ts'
import { inboxAgeMigration, inboxMigration, type InboxTables } from '../shared/database/inbox.ts'
import { sandboxMigration, type SandboxTables } from './gateway.ts'
import type { PaymentMethod } from './messages.ts'

/**
 * `Pending`: a card is being charged, or cash is still to be collected. `Success`: it is paid. `Failed`: the card was refused.
 * `Cancelled`: undone with its order; `Refund`: given back later. Of the last three nothing is kept.
 */
export const paymentStatuses = ['Pending', 'Failed', 'Success', 'Refund', 'Cancelled'] as const
export type PaymentStatus = (typeof paymentStatuses)[number]

export interface ShopPaymentTables extends InboxTables, ClaimTables, SandboxTables {
  payments: {
    payment_id: string
    transaction_id: string
    user_email: string
    /** Null until it is told. */
    order_id: string | null
    cents: number
    payment_method: PaymentMethod
    status: PaymentStatus
    created_at: number
    updated_at: number
  }
}

export type PaymentRow = Selectable<ShopPaymentTables['payments']>

const payments: Migration = {
  async up(db) {
    await db.schema
      .createTable('payments')
      .addColumn('payment_id', 'text', (column) => column.primaryKey())
      .addColumn('transaction_id', 'text', (column) => column.notNull().unique())
      .addColumn('user_email', 'text', (column) => column.notNull())
      .addColumn('order_id', 'text')
      .addColumn('cents', 'bigint', (column) => column.notNull())
      .addColumn('payment_method', 'text', (column) => column.notNull())
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('payments_by_user').on('payments').columns(['user_email', 'payment_id']).execute()
  },
}

/** From before addresses were kept in lower case. */
const addresses: Migration = {
  async up(db) {
    await db
      .updateTable('payments')
      .set({ user_email: sql`lower(user_email)` })
      .execute()
  },
}

export function shopPaymentMigrations(dialect: Database<never>['dialect']): Record<string, Migration> {
  return {
    '001_inbox': inboxMigration,
    '002_inbox_age': inboxAgeMigration(dialect),
    '003_claims': claimMigration,
    '004_payments': payments,
    '005_sandbox': sandboxMigration,
    '006_addresses': addresses,
  }
}
