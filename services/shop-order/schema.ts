/** The tables of the orders of the Order Orchestration. Money is whole cents, times are Unix milliseconds. */
import { sql, type Migration, type Selectable } from 'kysely'
import { claimMigration, type ClaimTables } from '../shared/database/claims.ts'
import type { Database } from '../shared/database/database.ts'
import { inboxAgeMigration, inboxMigration, type InboxTables } from '../shared/database/inbox.ts'
import type { OrderStatus } from './messages.ts'

export interface ShopOrderTables extends InboxTables, ClaimTables {
  orders: {
    order_id: string
    transaction_id: string
    user_email: string
    vendor_email: string
    delivery_address: string
    description: string | null
    status: OrderStatus
    total_cents: number
    /** JSON: an array of `{ product_id, quantity, unit_cents }`. */
    items: string
    payment_id: string | null
    created_at: number
    updated_at: number
    delivered_at: number | null
  }
}

export type OrderRow = Selectable<ShopOrderTables['orders']>

const orders: Migration = {
  async up(db) {
    await db.schema
      .createTable('orders')
      .addColumn('order_id', 'text', (column) => column.primaryKey())
      .addColumn('transaction_id', 'text', (column) => column.notNull().unique())
      .addColumn('user_email', 'text', (column) => column.notNull())
      .addColumn('vendor_email', 'text', (column) => column.notNull())
      .addColumn('delivery_address', 'text', (column) => column.notNull())
      .addColumn('description', 'text')
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('total_cents', 'bigint', (column) => column.notNull())
      .addColumn('items', 'text', (column) => column.notNull())
      .addColumn('payment_id', 'text')
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .addColumn('delivered_at', 'bigint')
      .execute()
    for (const who of ['user_email', 'vendor_email'] as const)
      await db.schema.createIndex(`orders_by_${who}`).on('orders').columns([who, 'order_id']).execute()
  },
}

/** From before addresses were kept in lower case. */
const addresses: Migration = {
  async up(db) {
    await db
      .updateTable('orders')
      .set({ user_email: sql`lower(user_email)`, vendor_email: sql`lower(vendor_email)` })
      .execute()
  },
}

export function shopOrderMigrations(dialect: Database<never>['dialect']): Record<string, Migration> {
  return {
    '001_inbox': inboxMigration,
    '002_inbox_age': inboxAgeMigration(dialect),
    '003_claims': claimMigration,
    '004_orders': orders,
    '005_addresses': addresses,
  }
}
