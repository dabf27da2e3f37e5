/**
 * Sessions: a log-in, and all that is refreshed from it.
 *
 * Invariants:
 * - a refresh token is good once. One that comes again was taken by somebody, and nobody can say by whom: its session ends;
 * - of a refresh token the database has the hash alone;
 * - what a session may do is read from the user as he is now, at each refresh and each question.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { readAccessToken, signAccessToken, type User } from '../shared/auth/access-token.ts'
import { retryContention } from '../shared/database/database.ts'
import { HttpError } from '../shared/http/http-error.ts'
import type { Lifetimes } from './domain.ts'
import type { KeyRing } from './keys.ts'
import {
  endSession,
  findLiveSession,
  insertRefreshToken,
  insertSession,
  sessionOfToken,
  userOf,
  useRefreshToken,
  type NewRefreshToken,
} from './rows.ts'
import type { AuthTables, UserRow } from './schema.ts'

type Db = Kysely<AuthTables>

/** What somebody gets who has shown who he is. */
export interface Tokens {
  readonly user: User
  readonly accessToken: string
  readonly accessSeconds: number
  readonly refreshToken: string
  readonly refreshSeconds: number
}

export interface Sessions {
  begin(user: UserRow): Promise<Tokens>
  /** @throws HttpError 401 where the token is not good, or not any more */
  refresh(refreshToken: string): Promise<Tokens>
  /** Ends the session of the token, whatever that is. */
  end(refreshToken: string): Promise<void>
  /** Whose access token it is; a text where it is nobody's: why. */
  read(accessToken: string): Promise<UserRow | string>
}

export interface SessionsOptions {
  readonly db: Db
  readonly keys: KeyRing
  readonly lifetimes: Lifetimes
  readonly now: () => number
  /** Whether that user may be here at all. */
  readonly isAdmitted: (user: UserRow) => boolean
  /** A used refresh token has come again. */
  readonly onReuse: (sessionId: string) => void
}

const again = 'log in again'
const refused = `The refresh token is not good, or not any more: ${again}.`

export function openSessions({ db, keys, lifetimes, now, isAdmitted, onReuse }: SessionsOptions): Sessions {
  const newToken = (sessionEnds: number): NewRefreshToken & { readonly text: string } => {
    const text = randomBytes(32).toString('base64url')
    return { text, hash: hashOf(text), expiresAt: Math.min(now() + lifetimes.refreshMs, sessionEnds) }
  }

  async function tokensOf(row: UserRow, sessionId: string, refresh: ReturnType<typeof newToken>): Promise<Tokens> {
    const user = userOf(row)
    const issuedAt = Math.floor(now() / 1_000)
    const accessSeconds = Math.round(lifetimes.accessMs / 1_000)
    const issued = { ...user, sessionId, id: randomUUID(), issuedAt, expiresAt: issuedAt + accessSeconds }
    return {
      user,
      accessToken: await signAccessToken(issued, await keys.signing()),
      accessSeconds,
      refreshToken: refresh.text,
      refreshSeconds: Math.round((refresh.expiresAt - now()) / 1_000),
    }
  }

  /** The session as it goes on, or null where it does not. What it writes is to stay in either case. */
  async function take(tx: Db, hash: string) {
    const used = await useRefreshToken(tx, hash, now())
    if (used === undefined) {
      const sessionId = await sessionOfToken(tx, hash, now())
      if (sessionId !== null && (await endSession(tx, sessionId, now()))) return { reused: sessionId }
      return null
    }
    const session = await findLiveSession(tx, used.session_id, now())
    if (session === undefined || used.expires_at <= now() || !isAdmitted(session)) return null
    const next = newToken(session.expires_at)
    await insertRefreshToken(tx, session.session_id, next)
    return { session, next }
  }

  return {
    async begin(user) {
      const expiresAt = now() + lifetimes.sessionMs
      const token = newToken(expiresAt)
      const sessionId = await retryContention(() =>
        db.transaction().execute((tx) => insertSession(tx, { userId: user.user_id, expiresAt }, token, now())),
      )
      return tokensOf(user, sessionId, token)
    },

    async refresh(refreshToken) {
      // A key that cannot be had now is found out before the token is used up.
      await keys.signing()
      const taken = await retryContention(() => db.transaction().execute((tx) => take(tx, hashOf(refreshToken))))
      if (taken === null) throw new HttpError(401, refused)
      if ('reused' in taken) {
        onReuse(taken.reused)
        throw new HttpError(
          401,
          `This refresh token was used before, so its session is ended for whoever has it: ${again}.`,
        )
      }
      return tokensOf(taken.session, taken.session.session_id, taken.next)
    },

    async end(refreshToken) {
      const sessionId = await sessionOfToken(db, hashOf(refreshToken), now())
      if (sessionId !== null) await endSession(db, sessionId, now())
    },

    async read(accessToken) {
      const reading = await readAccessToken(accessToken, keys.verifying, now())
      if (reading.kind === 'unknown key') return 'the token is not from here, or too old'
      if (reading.kind === 'refused') return reading.why
      const session = await findLiveSession(db, reading.sessionId, now())
      if (session === undefined) return 'the session of the token has ended'
      return isAdmitted(session) ? session : 'that user may not be here'
    },
  }
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex')
