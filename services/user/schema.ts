/**
 * The User Service's tables, and the people that a first look finds.
 *
 * Border: of a card there is only what the payment provider calls it and what it tells about it; no number, no code.
 */
import type { Kysely, Migration, Selectable } from 'kysely'
import type { Database } from '../shared/database/database.ts'
import { inboxAgeMigration, inboxMigration, type InboxTables } from '../shared/database/inbox.ts'

export interface UserTables extends InboxTables {
  users: {
    user_id: string
    username: string | null
    email: string
    first_name: string | null
    last_name: string | null
    phone_number: string | null
    customer_rating: number
    runner_rating: number
    stripe_customer_id: string | null
    stripe_connect_account_id: string | null
    payment_method_id: string | null
    /** Null where the provider has not told: never made up. */
    card_brand: string | null
    card_last4: string | null
    card_exp_month: number | null
    card_exp_year: number | null
    card_updated_at: number | null
    created_at: number
    updated_at: number
  }
}

export type UserRow = Selectable<UserTables['users']>

const users: Migration = {
  async up(db) {
    await db.schema
      .createTable('users')
      .addColumn('user_id', 'text', (column) => column.primaryKey())
      .addColumn('username', 'text')
      .addColumn('email', 'text', (column) => column.notNull())
      .addColumn('first_name', 'text')
      .addColumn('last_name', 'text')
      .addColumn('phone_number', 'text')
      .addColumn('customer_rating', 'double precision', (column) => column.notNull())
      .addColumn('runner_rating', 'double precision', (column) => column.notNull())
      .addColumn('stripe_customer_id', 'text')
      .addColumn('stripe_connect_account_id', 'text')
      .addColumn('payment_method_id', 'text')
      .addColumn('card_brand', 'text')
      .addColumn('card_last4', 'text')
      .addColumn('card_exp_month', 'integer')
      .addColumn('card_exp_year', 'integer')
      .addColumn('card_updated_at', 'bigint')
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .execute()
  },
}

/** Customers by the sandbox card they pay with; the first is the customer of the documented example call. */
const customers: readonly (readonly [id: string, card: string | null])[] = [
  ['cust_123', 'pm_sandbox_ok'],
  ['cust_declined', 'pm_sandbox_declined'],
  ['cust_slow', 'pm_sandbox_slow'],
  ['cust_lost_answer', 'pm_sandbox_lost_answer'],
  ['cust_release_fails', 'pm_sandbox_release_fails'],
  ['cust_no_card', null],
]

const runners: readonly string[] = ['runner_123', 'runner_456']

/** A migration, so that it happens once: somebody who is changed or removed later stays so. */
const people: Migration = {
  async up(db: Kysely<UserTables>) {
    const at = Date.now()
    const person = (id: string): UserTables['users'] => ({
      user_id: id,
      username: id,
      email: `${id}@example.com`,
      first_name: null,
      last_name: null,
      phone_number: null,
      customer_rating: 5,
      runner_rating: 5,
      stripe_customer_id: null,
      stripe_connect_account_id: null,
      payment_method_id: null,
      card_brand: null,
      card_last4: null,
      card_exp_month: null,
      card_exp_year: null,
      card_updated_at: null,
      created_at: at,
      updated_at: at,
    })
    await db
      .insertInto('users')
      .values([
        ...customers.map(([id, card]) => ({
          ...person(id),
          stripe_customer_id: `cus_sandbox_${id}`,
          payment_method_id: card,
          card_updated_at: card === null ? null : at,
        })),
        ...runners.map((id) => ({ ...person(id), stripe_connect_account_id: `acct_sandbox_${id}` })),
      ])
      .execute()
  },
}

export function userMigrations(dialect: Database<never>['dialect']): Record<string, Migration> {
  return {
    '001_inbox': inboxMigration,
    '002_users': users,
    '003_people': people,
    '004_inbox_age': inboxAgeMigration(dialect),
  }
}
