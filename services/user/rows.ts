/** Users in the database. */
import type { Kysely } from 'kysely'
import { v4 as uuidv4 } from 'uuid'
import type { UserRow, UserTables } from './schema.ts'

type Db = Kysely<UserTables>

/** What the provider tells of a card. A field that it does not tell stays null. */
export interface Card {
  readonly paymentMethodId: string
  readonly brand: string | null
  readonly last4: string | null
  readonly expMonth: number | null
  readonly expYear: number | null
}

export interface NewUser {
  readonly email: string
  readonly firstName: string | null
  readonly lastName: string | null
  readonly phoneNumber: string | null
  readonly username: string | null
  readonly stripeCustomerId: string | null
  readonly card: Card | null
}

export function findUser(db: Db, userId: string): Promise<UserRow | undefined> {
  return db.selectFrom('users').selectAll().where('user_id', '=', userId).executeTakeFirst()
}

export function findUsers(db: Db, userIds: readonly string[]): Promise<readonly UserRow[]> {
  return db.selectFrom('users').selectAll().where('user_id', 'in', userIds).execute()
}

export async function listUserIds(db: Db): Promise<readonly string[]> {
  const rows = await db.selectFrom('users').select('user_id').orderBy('user_id').execute()
  return rows.map(({ user_id }) => user_id)
}

/** Adds a user with an id that starts with `temp_`. */
export function addTemporaryUser(db: Db, user: NewUser, now: number): Promise<UserRow> {
  return db
    .insertInto('users')
    .values({
      user_id: `temp_${uuidv4().replaceAll('-', '')}`,
      email: user.email,
      username: user.username,
      first_name: user.firstName,
      last_name: user.lastName,
      phone_number: user.phoneNumber,
      customer_rating: 5,
      runner_rating: 5,
      stripe_customer_id: user.stripeCustomerId,
      ...cardColumns(user.card, now),
      created_at: now,
      updated_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
}

export interface SyncedUser {
  readonly userId: string
  readonly email: string
  /** What is left out stays as it is. */
  readonly username?: string | null | undefined
  readonly firstName?: string | null | undefined
  readonly lastName?: string | null | undefined
  readonly phoneNumber?: string | null | undefined
}

/** Adds a user under the id that the login gave, or brings an earlier one up to date. */
export function syncUser(db: Db, user: SyncedUser, now: number): Promise<UserRow> {
  const told = {
    email: user.email,
    ...(user.username === undefined ? {} : { username: user.username }),
    ...(user.firstName === undefined ? {} : { first_name: user.firstName }),
    ...(user.lastName === undefined ? {} : { last_name: user.lastName }),
    ...(user.phoneNumber === undefined ? {} : { phone_number: user.phoneNumber }),
    updated_at: now,
  }
  return db
    .insertInto('users')
    .values({ ...newcomer, ...told, user_id: user.userId, created_at: now })
    .onConflict((conflict) => conflict.column('user_id').doUpdateSet(told))
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** Everything of a user that nobody has told yet. */
const newcomer = {
  username: null,
  first_name: null,
  last_name: null,
  phone_number: null,
  customer_rating: 5,
  runner_rating: 5,
  stripe_customer_id: null,
  stripe_connect_account_id: null,
  payment_method_id: null,
}

/** What a user is rated as. */
export type Role = 'customer' | 'runner'

export function setRating(
  db: Db,
  userId: string,
  role: Role,
  rating: number,
  now: number,
): Promise<UserRow | undefined> {
  return db
    .updateTable('users')
    .set({ ...(role === 'customer' ? { customer_rating: rating } : { runner_rating: rating }), updated_at: now })
    .where('user_id', '=', userId)
    .returningAll()
    .executeTakeFirst()
}

/** Sets or removes the card, and sets the customer where one is given. Undefined where there is no such user, here and below. */
export function setCard(
  db: Db,
  userId: string,
  card: Card | null,
  now: number,
  stripeCustomerId?: string,
): Promise<UserRow | undefined> {
  return db
    .updateTable('users')
    .set({
      ...cardColumns(card, now),
      ...(stripeCustomerId === undefined ? {} : { stripe_customer_id: stripeCustomerId }),
      updated_at: now,
    })
    .where('user_id', '=', userId)
    .returningAll()
    .executeTakeFirst()
}

export function setConnectAccount(
  db: Db,
  userId: string,
  accountId: string,
  now: number,
): Promise<UserRow | undefined> {
  return db
    .updateTable('users')
    .set({ stripe_connect_account_id: accountId, updated_at: now })
    .where('user_id', '=', userId)
    .returningAll()
    .executeTakeFirst()
}

function cardColumns(card: Card | null, now: number) {
  return {
    payment_method_id: card?.paymentMethodId ?? null,
    card_brand: card?.brand ?? null,
    card_last4: card?.last4 ?? null,
    card_exp_month: card?.expMonth ?? null,
    card_exp_year: card?.expYear ?? null,
    card_updated_at: card === null ? null : now,
  }
}
