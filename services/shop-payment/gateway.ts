/**
 * Who really charges cards, and a sandbox in its place: it moves play money in a table of its own.
 *
 * The sandbox lives in the service's database for convenience only. It behaves as the outside system that it stands for: every
 * call commits by itself, before it is answered, and nothing of it is rolled back with the caller.
 *
 * What it does to a payment is told by the part of the user's e-mail address before the `@`, up to a `+`:
 * - `declined`: the card is refused;
 * - `lost-answer`: the card is charged, and the answer that says so first is lost;
 * - any other: all goes well.
 */
import type { Kysely, Migration } from 'kysely'

/**
 * Promises of every gateway:
 * - what is charged under a key is charged once, however often it is asked for;
 * - a refusal left nothing behind, and the same key may be tried again;
 * - once given back, nothing is charged under the key any more, also where that is asked for only then;
 * - a call that throws has an unknown outcome: the same call finds out.
 */
export interface CardGateway {
  charge(request: ChargeRequest): Promise<{ readonly ok: true } | { readonly ok: false; readonly why: string }>
  giveBack(key: string): Promise<void>
}

export interface ChargeRequest {
  readonly key: string
  readonly userEmail: string
  readonly cents: number
}

export interface SandboxTables {
  card_charges: {
    /** The transaction of the order. */
    key: string
    cents: number
    state: 'CHARGED' | 'GIVEN_BACK'
  }
}

export const sandboxMigration: Migration = {
  async up(db) {
    await db.schema
      .createTable('card_charges')
      .addColumn('key', 'text', (column) => column.primaryKey())
      .addColumn('cents', 'bigint', (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .execute()
  },
}

const givenBack = { ok: false, why: 'it was undone before it arrived' } as const

export function sandboxGateway<S extends SandboxTables>(database: Kysely<S>): CardGateway {
  const db = database as unknown as Kysely<SandboxTables>
  return {
    async charge({ key, userEmail, cents }) {
      const manner = /^[^@+]*/.exec(userEmail)?.[0]
      if (manner === 'declined') return { ok: false, why: 'the card was declined' }
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('card_charges')
        .values({ key, cents, state: 'CHARGED' })
        .onConflict((conflict) => conflict.column('key').doNothing())
        .executeTakeFirstOrThrow()
      if (numInsertedOrUpdatedRows === 1n && manner === 'lost-answer')
        throw new Error('the sandbox gateway lost its answer on the way')
      if (numInsertedOrUpdatedRows === 1n) return { ok: true }
      const before = await db.selectFrom('card_charges').selectAll().where('key', '=', key).executeTakeFirstOrThrow()
      if (before.state === 'GIVEN_BACK') return givenBack
      if (before.cents !== cents) throw new Error(`the key ${key} was used before with another amount`)
      return { ok: true }
    },

    async giveBack(key) {
      await db
        .insertInto('card_charges')
        .values({ key, cents: 0, state: 'GIVEN_BACK' })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ state: 'GIVEN_BACK' }))
        .execute()
    },
  }
}
