/** Users and their sessions in the database. */
import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { roles, type Role, type User } from '../shared/auth/access-token.ts'
import type { AuthTables, SessionRow, UserRow } from './schema.ts'

type Db = Kysely<AuthTables>

export interface NewUser {
  readonly email: string
  /** As scrypt keeps it. */
  readonly password: string
  readonly roles: readonly Role[]
  readonly isFirstLook: boolean
}

/** The new user, or undefined where the e-mail address is somebody's. */
export function insertUser(db: Db, user: NewUser, now: number): Promise<UserRow | undefined> {
  return db
    .insertInto('users')
    .values({
      user_id: uuidv7(),
      email: user.email,
      password: user.password,
      roles: JSON.stringify(user.roles),
      first_look: user.isFirstLook ? 1 : 0,
      created_at: now,
      updated_at: now,
    })
    .onConflict((conflict) => conflict.column('email').doNothing())
    .returningAll()
    .executeTakeFirst()
}

export const userOf = ({ user_id, email, roles: kept }: UserRow): User => {
  const names = JSON.parse(kept) as readonly string[]
  return { subject: user_id, email, roles: roles.filter((role) => names.includes(role)) }
}

export function findUserByEmail(db: Db, email: string): Promise<UserRow | undefined> {
  return db.selectFrom('users').selectAll().where('email', '=', email).executeTakeFirst()
}

/** The same password, worked out anew; not where it was changed since. */
export async function keepPasswordAnew(db: Db, { user_id, password }: UserRow, anew: string): Promise<void> {
  await db
    .updateTable('users')
    .set({ password: anew })
    .where('user_id', '=', user_id)
    .where('password', '=', password)
    .execute()
}

/** The changed user; undefined where the password is another one by now. */
export function changePassword(db: Db, user: UserRow, password: string, now: number): Promise<UserRow | undefined> {
  return db
    .updateTable('users')
    .set({ password, first_look: 0, updated_at: now })
    .where('user_id', '=', user.user_id)
    .where('password', '=', user.password)
    .returningAll()
    .executeTakeFirst()
}

export function setRoles(db: Db, email: string, to: readonly Role[], now: number): Promise<UserRow | undefined> {
  return db
    .updateTable('users')
    .set({ roles: JSON.stringify(to), updated_at: now })
    .where('email', '=', email)
    .returningAll()
    .executeTakeFirst()
}

export interface NewRefreshToken {
  readonly hash: string
  readonly expiresAt: number
}

export async function insertSession(
  tx: Db,
  session: { readonly userId: string; readonly expiresAt: number },
  first: NewRefreshToken,
  now: number,
): Promise<string> {
  const sessionId = uuidv7()
  await tx
    .insertInto('sessions')
    .values({
      session_id: sessionId,
      user_id: session.userId,
      created_at: now,
      expires_at: session.expiresAt,
      ended_at: null,
    })
    .execute()
  await insertRefreshToken(tx, sessionId, first)
  return sessionId
}

export async function insertRefreshToken(tx: Db, sessionId: string, token: NewRefreshToken): Promise<void> {
  await tx
    .insertInto('refresh_tokens')
    .values({ hash: token.hash, session_id: sessionId, expires_at: token.expiresAt, used_at: null })
    .execute()
}

/** Marks the token as used: of several who come with it at once one gets its row, and the others undefined. */
export function useRefreshToken(tx: Db, hash: string, now: number) {
  return tx
    .updateTable('refresh_tokens')
    .set({ used_at: now })
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
}

/** The session of a refresh token, whether that was used or not; one whose time is over is nobody's. */
export async function sessionOfToken(tx: Db, hash: string, now: number): Promise<string | null> {
  const row = await tx
    .selectFrom('refresh_tokens')
    .select('session_id')
    .where('hash', '=', hash)
    .where('expires_at', '>', now)
    .executeTakeFirst()
  return row?.session_id ?? null
}

export type LiveSession = UserRow & Pick<SessionRow, 'session_id' | 'expires_at'>

/** A session that has not ended, with its user as he is now. */
export function findLiveSession(db: Db, sessionId: string, now: number): Promise<LiveSession | undefined> {
  return db
    .selectFrom('sessions')
    .innerJoin('users', 'users.user_id', 'sessions.user_id')
    .selectAll('users')
    .select(['sessions.session_id', 'sessions.expires_at'])
    .where('sessions.session_id', '=', sessionId)
    .where('sessions.ended_at', 'is', null)
    .where('sessions.expires_at', '>', now)
    .executeTakeFirst()
}

/** @returns whether it had not ended before */
export async function endSession(db: Db, sessionId: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('sessions')
    .set({ ended_at: now })
    .where('session_id', '=', sessionId)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

export async function endSessionsOf(db: Db, userId: string, now: number): Promise<void> {
  await db
    .updateTable('sessions')
    .set({ ended_at: now })
    .where('user_id', '=', userId)
    .where('ended_at', 'is', null)
    .execute()
}

/** Removes some of the sessions and refresh tokens that are over; says whether there may be more. */
export async function removeOldSessions(db: Db, now: number, limit: number): Promise<boolean> {
  const tokens = await db
    .selectFrom('refresh_tokens')
    .select('hash')
    .where('expires_at', '<=', now)
    .orderBy('expires_at')
    .limit(limit)
    .execute()
  const hashes = tokens.map(({ hash }) => hash)
  if (hashes.length > 0) await db.deleteFrom('refresh_tokens').where('hash', 'in', hashes).execute()
  const sessions = await db
    .selectFrom('sessions')
    .select('session_id')
    .where('expires_at', '<=', now)
    .orderBy('expires_at')
    .limit(limit)
    .execute()
  const ids = sessions.map(({ session_id }) => session_id)
  if (ids.length > 0) await db.deleteFrom('sessions').where('session_id', 'in', ids).execute()
  return Math.max(hashes.length, ids.length) === limit
}
