/**
 * The Stock Service's tables, and the products that a first look finds. Prices are whole cents, times Unix milliseconds.
 *
 * Of each product, always: `initial_stock` and what `restocks` brought are what is left (`stock`) and what reservations in
 * force have taken. A product that was removed keeps its row, hidden: what was sold of it may come back.
 */
import { sql, type Kysely, type Migration, type Selectable } from 'kysely'
import type { Database } from '../shared/database/database.ts'
import { inboxAgeMigration, inboxMigration, type InboxTables } from '../shared/database/inbox.ts'

/**
 * `TAKEN`: an order has it, until its undo. `HELD`: until `expires_at`, unless it is kept (`TAKEN`) before. `RETURNED`: given
 * back, or undone before it came: nothing is taken under this id any more.
 */
export type ReservationState = 'TAKEN' | 'HELD' | 'RETURNED'

export interface StockTables extends InboxTables {
  products: {
    /** 24 hex digits. */
    product_id: string
    name: string
    price_cents: number
    stock: number
    initial_stock: number
    vendor_id: string
    image: string
    category_id: string | null
    description: string
    created_at: number
    updated_at: number
    removed_at: number | null
  }
  categories: { category_id: string; name: string; created_at: number; removed_at: number | null }
  restocks: { restock_id: string; product_id: string; quantity: number; restocked_at: number }
  reservations: {
    /** The transaction of an order (its saga's id), or the id of a hold. */
    transaction_id: string
    state: ReservationState
    /** Null where it does not expire. */
    expires_at: number | null
    /** The address of the user who holds it; null where an order does, or it is not known who. */
    held_by: string | null
    created_at: number
    updated_at: number
  }
  /** What each reservation has taken; stays when that is given back. */
  reservation_lines: { transaction_id: string; product_id: string; quantity: number }
}

export type ProductRow = Selectable<StockTables['products']>
export type CategoryRow = Selectable<StockTables['categories']>
export type ReservationRow = Selectable<StockTables['reservations']>

const tables: Migration = {
  async up(db) {
    await db.schema
      .createTable('products')
      .addColumn('product_id', 'text', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('price_cents', 'bigint', (column) => column.notNull())
      // Whatever a statement says: what is not there is not sold.
      .addColumn('stock', 'bigint', (column) => column.notNull().check(sql`stock >= 0`))
      .addColumn('initial_stock', 'bigint', (column) => column.notNull())
      .addColumn('vendor_id', 'text', (column) => column.notNull())
      .addColumn('image', 'text', (column) => column.notNull())
      .addColumn('category_id', 'text')
      .addColumn('description', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .addColumn('removed_at', 'bigint')
      .execute()
    await db.schema.createIndex('products_of_vendor').on('products').columns(['vendor_id', 'product_id']).execute()
    await db.schema.createIndex('products_of_category').on('products').columns(['category_id', 'product_id']).execute()
    await db.schema
      .createTable('categories')
      .addColumn('category_id', 'text', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('removed_at', 'bigint')
      .execute()
    await db.schema
      .createTable('restocks')
      .addColumn('restock_id', 'text', (column) => column.primaryKey())
      .addColumn('product_id', 'text', (column) => column.notNull())
      .addColumn('quantity', 'bigint', (column) => column.notNull())
      .addColumn('restocked_at', 'bigint', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('restocks_of_product').on('restocks').column('product_id').execute()
    await db.schema
      .createTable('reservations')
      .addColumn('transaction_id', 'text', (column) => column.primaryKey())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'bigint')
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .execute()
    await db.schema
      .createIndex('holds_by_expiry')
      .on('reservations')
      .columns(['expires_at', 'transaction_id'])
      .where(sql.ref('state'), '=', 'HELD')
      .execute()
    await db.schema
      .createTable('reservation_lines')
      .addColumn('transaction_id', 'text', (column) => column.notNull())
      .addColumn('product_id', 'text', (column) => column.notNull())
      .addColumn('quantity', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('reservation_lines_of_transaction', ['transaction_id', 'product_id'])
      .execute()
  },
}

const holders: Migration = {
  async up(db) {
    await db.schema.alterTable('reservations').addColumn('held_by', 'text').execute()
  },
}

/** A vendor's address is one in several writings. */
const vendors: Migration = {
  async up(db) {
    await db.schema.dropIndex('products_of_vendor').execute()
    await db.schema
      .createIndex('products_of_vendor')
      .on('products')
      .expression(sql`lower(vendor_id), product_id`)
      .execute()
  },
}

/** What the embedded system has to sell at its first look; the last one is nearly sold out. */
const wares = [
  ['65f000000000000000000001', 'Coffee beans', 1299, 100, 'Dark roast, 500 g'],
  ['65f000000000000000000002', 'Tea pot', 2450, 40, 'Cast iron, 0.8 l'],
  ['65f000000000000000000003', 'Mug', 799, 250, 'Stoneware'],
  ['65f000000000000000000004', 'Espresso machine', 49_900, 1, 'The last one'],
] as const

const kitchen = '65f0000000000000000000c1'

/** A migration, so that it happens once: what is changed or removed later stays so. */
const firstLook: Migration = {
  async up(db: Kysely<StockTables>) {
    const at = Date.now()
    await db
      .insertInto('categories')
      .values({ category_id: kitchen, name: 'Kitchen', created_at: at, removed_at: null })
      .execute()
    await db
      .insertInto('products')
      .values(
        wares.map(([product_id, name, price_cents, stock, description]) => ({
          product_id,
          name,
          price_cents,
          stock,
          initial_stock: stock,
          vendor_id: 'vendor@example.com',
          image: '',
          category_id: kitchen,
          description,
          created_at: at,
          updated_at: at,
          removed_at: null,
        })),
      )
      .execute()
  },
}

/** The products of a first look are in the embedded database alone: a server is somebody's shop. */
export function stockMigrations(dialect: Database<never>['dialect']): Record<string, Migration> {
  return {
    '001_inbox': inboxMigration,
    '002_inbox_age': inboxAgeMigration(dialect),
    '003_stock': tables,
    ...(dialect === 'sqlite' ? { '004_first_look': firstLook } : {}),
    '005_holders': holders,
    '006_vendors': vendors,
  }
}
