/**
 * The Auth Service's tables. Times are Unix milliseconds.
 *
 * Nothing in them can be used by who reads them: passwords are scrypt hashes, refresh tokens SHA-256 of 32 random bytes,
 * private keys sealed with a secret that is kept elsewhere.
 */
import type { Migration, Selectable } from 'kysely'

export interface AuthTables {
  users: {
    user_id: string
    /** In lower case. */
    email: string
    password: string
    /** JSON. */
    roles: string
    /** 1 for those whose password is in the README: none of them gets in where strangers might. */
    first_look: number
    created_at: number
    updated_at: number
  }
  /** One log-in, with all that was refreshed from it. */
  sessions: {
    session_id: string
    user_id: string
    created_at: number
    expires_at: number
    ended_at: number | null
  }
  /** Those that were used stay until their session is removed: one that comes again ends it. */
  refresh_tokens: {
    hash: string
    session_id: string
    expires_at: number
    used_at: number | null
  }
  signing_keys: {
    /** Counted from 1: of replicas that make the next key at once, one does. */
    generation: number
    kid: string
    /** JSON. */
    public_jwk: string
    /** Null once it signs no more. */
    sealed_private_key: string | null
    signs_from: number
  }
  /** Wrong passwords and registrations, by whom they are counted for. */
  attempts: {
    key: string
    /** With those whose end is not known yet. */
    count: number
    failed: number
    /** When its window began. */
    since: number
  }
}

export type UserRow = Selectable<AuthTables['users']>
export type SessionRow = Selectable<AuthTables['sessions']>
export type SigningKeyRow = Selectable<AuthTables['signing_keys']>

const users: Migration = {
  async up(db) {
    await db.schema
      .createTable('users')
      .addColumn('user_id', 'text', (column) => column.primaryKey())
      .addColumn('email', 'text', (column) => column.notNull().unique())
      .addColumn('password', 'text', (column) => column.notNull())
      .addColumn('roles', 'text', (column) => column.notNull())
      .addColumn('first_look', 'integer', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .execute()
  },
}

const sessions: Migration = {
  async up(db) {
    await db.schema
      .createTable('sessions')
      .addColumn('session_id', 'text', (column) => column.primaryKey())
      .addColumn('user_id', 'text', (column) => column.notNull().references('users.user_id'))
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .addColumn('ended_at', 'bigint')
      .execute()
    await db.schema.createIndex('sessions_of_user').on('sessions').column('user_id').execute()
    await db.schema.createIndex('sessions_by_expiry').on('sessions').column('expires_at').execute()
    await db.schema
      .createTable('refresh_tokens')
      .addColumn('hash', 'text', (column) => column.primaryKey())
      .addColumn('session_id', 'text', (column) =>
        column.notNull().references('sessions.session_id').onDelete('cascade'),
      )
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .addColumn('used_at', 'bigint')
      .execute()
    await db.schema.createIndex('refresh_tokens_by_expiry').on('refresh_tokens').column('expires_at').execute()
    await db.schema.createIndex('refresh_tokens_of_session').on('refresh_tokens').column('session_id').execute()
  },
}

const signingKeys: Migration = {
  async up(db) {
    await db.schema
      .createTable('signing_keys')
      .addColumn('generation', 'integer', (column) => column.primaryKey())
      .addColumn('kid', 'text', (column) => column.notNull().unique())
      .addColumn('public_jwk', 'text', (column) => column.notNull())
      .addColumn('sealed_private_key', 'text')
      .addColumn('signs_from', 'bigint', (column) => column.notNull())
      .execute()
  },
}

const attempts: Migration = {
  async up(db) {
    await db.schema
      .createTable('attempts')
      .addColumn('key', 'text', (column) => column.primaryKey())
      .addColumn('count', 'integer', (column) => column.notNull())
      .addColumn('failed', 'integer', (column) => column.notNull())
      .addColumn('since', 'bigint', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('attempts_by_age').on('attempts').column('since').execute()
  },
}

export const authMigrations: Record<string, Migration> = {
  '001_users': users,
  '002_sessions': sessions,
  '003_signing_keys': signingKeys,
  '004_attempts': attempts,
}
