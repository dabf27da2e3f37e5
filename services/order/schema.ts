/** The Order Service's tables. Money is whole cents; times are Unix milliseconds. */
import type { Migration, Selectable } from 'kysely'
import type { Database } from '../shared/database/database.ts'
import { inboxAgeMigration, inboxMigration, type InboxTables } from '../shared/database/inbox.ts'
import { outboxMigration, type OutboxTables } from '../shared/database/outbox.ts'
import type { OrderStatus } from './domain.ts'

export interface OrderTables extends InboxTables, OutboxTables {
  orders: {
    order_id: string
    /** Null for an order that no saga made. */
    saga_id: string | null
    customer_id: string
    runner_id: string | null
    /** The `foodItems` as they came, JSON. */
    description: string
    food_cents: number
    delivery_cents: number
    store_location: string | null
    delivery_location: string
    status: OrderStatus
    cancel_reason: string | null
    created_at: number
    updated_at: number
    accepted_at: number | null
    placed_at: number | null
    picked_up_at: number | null
    delivered_at: number | null
    completed_at: number | null
    cancelled_at: number | null
    /** The `Idempotency-Key` of the request that made it, and a hash of what that asked for; null without a key. */
    request_key: string | null
    request_hash: string | null
  }
}

export type OrderRow = Selectable<OrderTables['orders']>

const orders: Migration = {
  async up(db) {
    await db.schema
      .createTable('orders')
      .addColumn('order_id', 'text', (column) => column.primaryKey())
      // One saga makes one order, whatever is repeated.
      .addColumn('saga_id', 'text', (column) => column.unique())
      .addColumn('customer_id', 'text', (column) => column.notNull())
      .addColumn('runner_id', 'text')
      .addColumn('description', 'text', (column) => column.notNull())
      .addColumn('food_cents', 'bigint', (column) => column.notNull())
      .addColumn('delivery_cents', 'bigint', (column) => column.notNull())
      .addColumn('store_location', 'text')
      .addColumn('delivery_location', 'text', (column) => column.notNull())
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('cancel_reason', 'text')
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .addColumn('accepted_at', 'bigint')
      .addColumn('placed_at', 'bigint')
      .addColumn('picked_up_at', 'bigint')
      .addColumn('delivered_at', 'bigint')
      .addColumn('completed_at', 'bigint')
      .addColumn('cancelled_at', 'bigint')
      .execute()
    // Each list is filtered by one of these and sorted newest first.
    for (const filter of ['customer_id', 'runner_id', 'status'] as const) {
      await db.schema
        .createIndex(`orders_by_${filter}`)
        .on('orders')
        .columns([filter, 'created_at', 'order_id'])
        .execute()
    }
    await db.schema.createIndex('orders_by_age').on('orders').columns(['created_at', 'order_id']).execute()
  },
}

const requestKeys: Migration = {
  async up(db) {
    await db.schema.alterTable('orders').addColumn('request_key', 'text').execute()
    await db.schema.alterTable('orders').addColumn('request_hash', 'text').execute()
    // One request makes one order, however often it is sent.
    await db.schema.createIndex('order_of_request').unique().on('orders').column('request_key').execute()
  },
}

export function orderMigrations(dialect: Database<never>['dialect']): Record<string, Migration> {
  return {
    '001_inbox': inboxMigration,
    '002_orders': orders,
    '003_outbox': outboxMigration(dialect),
    '004_request_keys': requestKeys,
    '005_inbox_age': inboxAgeMigration(dialect),
  }
}
