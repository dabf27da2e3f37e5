/**
 * Accounts: registering, logging in, another password.
 *
 * Invariants:
 * - a wrong password and an unknown e-mail address are told in the same words after the same work;
 * - passwords are tried so often and no more, whoever tries; what was not a wrong password is not counted as one;
 * - users whose passwords everybody can read get in only where a first look is meant.
 */
import type { Kysely } from 'kysely'
import type { Role } from '../shared/auth/access-token.ts'
import { clientOf } from '../shared/http/client.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { beginAttempt, failAttempt, forgetAttempts, withdrawAttempt, type Counted } from './attempts.ts'
import { mostFailures, mostRegistrations } from './domain.ts'
import type { Passwords } from './passwords.ts'
import { changePassword, endSessionsOf, findUserByEmail, insertUser, keepPasswordAnew } from './rows.ts'
import type { AuthTables, UserRow } from './schema.ts'

export interface Credentials {
  readonly email: string
  readonly password: string
}

export interface Accounts {
  /** @throws HttpError 409 where the e-mail address is somebody's */
  register(credentials: Credentials, address: string): Promise<UserRow>
  add(credentials: Credentials, roles: readonly Role[]): Promise<UserRow>
  /** @throws HttpError 401 where it is not he, 429 where too much was tried */
  logIn(credentials: Credentials, address: string): Promise<UserRow>
  /** Ends all his sessions. */
  changePassword(
    email: string,
    change: { readonly from: string; readonly to: string },
    address: string,
  ): Promise<UserRow>
}

export interface AccountsOptions {
  readonly db: Kysely<AuthTables>
  readonly passwords: Passwords
  readonly now: () => number
  readonly isAdmitted: (user: UserRow) => boolean
}

const wrong = 'The e-mail address or the password is wrong.'

export function openAccounts({ db, passwords, now, isAdmitted }: AccountsOptions): Accounts {
  async function add({ email, password }: Credentials, roles: readonly Role[]): Promise<UserRow> {
    const kept = await passwords.hash(password)
    const user = await insertUser(db, { email, password: kept, roles, isFirstLook: false }, now())
    if (user === undefined) throw new HttpError(409, `There is a user ${email} already.`)
    return user
  }

  async function check({ email, password }: Credentials): Promise<UserRow> {
    const user = await findUserByEmail(db, email)
    const isRight = await passwords.verify(password, user?.password ?? null)
    if (user === undefined || !isRight || !isAdmitted(user)) throw new HttpError(401, wrong)
    return user
  }

  /** Counts as a try unless it is found right, or cannot be looked at. */
  async function counted(credentials: Credentials, address: string): Promise<UserRow> {
    const client = clientOf(address)
    const own: Counted = {
      of: ['account from client', credentials.email, client],
      most: mostFailures.accountFromClient,
    }
    const others: readonly Counted[] = [
      { of: ['client', client], most: mostFailures.client },
      { of: ['account', credentials.email], most: mostFailures.account },
    ]
    await beginAttempt(db, [...others, own], now(), 'wrong passwords')
    try {
      const user = await check(credentials)
      await withdrawAttempt(db, others)
      await forgetAttempts(db, [own])
      return user
    } catch (error) {
      const isWrong = error instanceof HttpError && error.status === 401
      await (isWrong ? failAttempt : withdrawAttempt)(db, [...others, own])
      throw error
    }
  }

  return {
    add,

    async register(credentials, address) {
      const client: Counted = { of: ['registrations', clientOf(address)], most: mostRegistrations }
      await beginAttempt(db, [client], now(), 'registrations from here')
      await failAttempt(db, [client])
      return add(credentials, ['customer'])
    },

    async logIn(credentials, address) {
      const user = await counted(credentials, address)
      if (passwords.isOutdated(user.password))
        await keepPasswordAnew(db, user, await passwords.hash(credentials.password))
      return user
    },

    async changePassword(email, { from, to }, address) {
      const user = await counted({ email, password: from }, address)
      const kept = await passwords.hash(to)
      return db.transaction().execute(async (tx) => {
        const changed = await changePassword(tx, user, kept, now())
        if (changed === undefined) throw new HttpError(409, 'The password was changed by somebody else meanwhile.')
        await endSessionsOf(tx, user.user_id, now())
        return changed
      })
    },
  }
}
