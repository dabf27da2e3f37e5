/**
 * The Auth Service: users, log-ins, and tokens that anybody can check by its public keys.
 *
 * It obeys no commands and tells nobody anything unasked: what it knows is asked by HTTP.
 */
import type { Kysely } from 'kysely'
import { openDatabase, type DatabaseTarget } from '../shared/database/database.ts'
import { failureWithMessage } from '../shared/http/error-shapes.ts'
import { listen } from '../shared/http/listen.ts'
import { createHttpServer } from '../shared/http/server.ts'
import type { OpenService, ServerOptions } from '../shared/service.ts'
import { openWorker } from '../shared/worker.ts'
import { openAccounts, type Credentials } from './accounts.ts'
import { removeOldAttempts } from './attempts.ts'
import { clientAddress, trustedProxies } from './client-address.ts'
import { lifetimes as usualLifetimes, passwordCost, type Lifetimes } from './domain.ts'
import { addFirstLookUsers } from './first-look.ts'
import { openKeyRing } from './keys.ts'
import { scryptPasswords, type Passwords } from './passwords.ts'
import { authRoutes, type AuthParts } from './routes.ts'
import { findUserByEmail, insertUser, removeOldSessions, userOf } from './rows.ts'
import { authMigrations, type AuthTables, type UserRow } from './schema.ts'
import { openSessions } from './sessions.ts'

export interface AuthServiceOptions extends ServerOptions {
  readonly database: DatabaseTarget
  /** Seals the private keys in the database; the same for all replicas, and kept elsewhere than the database. */
  readonly secret: string
  /** Unix milliseconds; tests drive it. */
  readonly now: () => number
  /** Whether the users of a first look are there and may log in: everybody knows their passwords. */
  readonly firstLook: boolean
  /** Whether anybody may register as a customer; true where nothing is said. */
  readonly registration?: boolean | undefined
  /** Added at the start where there is no such user. */
  readonly admin?: Credentials | undefined
  /** Addresses and networks whose word for where a request comes from is taken (`X-Forwarded-For`). */
  readonly trustedProxies: readonly string[]
  readonly lifetimes?: Lifetimes
  readonly passwords?: Passwords
}

/** One who is there already keeps his password: it may have been changed since. */
async function addAdmin(
  db: Kysely<AuthTables>,
  { email, password }: Credentials,
  passwords: Passwords,
  now: number,
  warn: (text: string) => void,
): Promise<void> {
  const known = await findUserByEmail(db, email)
  if (known !== undefined && (known.first_look === 1 || !userOf(known).roles.includes('admin')))
    warn(
      'AUTH_ADMIN names a user who was there before and is no administrator: name another, or have one give him the role',
    )
  if (known !== undefined) return
  await insertUser(db, { email, password: await passwords.hash(password), roles: ['admin'], isFirstLook: false }, now)
}

const upkeepMs = 30_000
const removedAtOnce = 500
const pauseMs = 50

export async function openAuthService(options: AuthServiceOptions): Promise<OpenService> {
  const { log, now, secret, firstLook } = options
  const { lifetimes = usualLifetimes, passwords = scryptPasswords(passwordCost), registration = true } = options
  const opened: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).reverse()) await one()
  }
  try {
    const database = await openDatabase<AuthTables>(options.database, authMigrations)
    opened.push(() => database.close())
    const { db } = database
    // They may have been added by an earlier start that was meant for a first look.
    const isAdmitted = ({ first_look }: UserRow): boolean => first_look === 0 || firstLook
    const keys = await openKeyRing({ db, secret, lifetimes, now })
    const accounts = openAccounts({ db, passwords, now, isAdmitted })
    const sessions = openSessions({
      db,
      keys,
      lifetimes,
      now,
      isAdmitted,
      onReuse: (session) => log.warn({ session }, 'a used refresh token came again; its session is ended'),
    })
    if (firstLook) await addFirstLookUsers(db, now())
    if (options.admin !== undefined) await addAdmin(db, options.admin, passwords, now(), (text) => log.warn(text))

    const upkeep = openWorker({
      async look() {
        await keys.tend()
        await removeOldAttempts(db, now())
        return (await removeOldSessions(db, now(), removedAtOnce)) ? pauseMs : upkeepMs
      },
      longestPauseMs: upkeepMs,
      onProblem: (err) => log.warn({ err }, 'keys and old sessions could not be looked after; tried again soon'),
    })
    opened.push(() => upkeep.stop())

    const server = await createHttpServer({
      title: 'Auth Service',
      description: 'Users, log-ins, tokens and the keys that they are checked with.',
      version: '1.0.0',
      log,
      errors: failureWithMessage,
      ...(options.callers === undefined ? {} : { callers: options.callers }),
      ready: async () => ({ database: await database.ready() }),
    })
    opened.push(() => server.close())
    const isTrusted = trustedProxies(options.trustedProxies)
    const addressOf: AuthParts['addressOf'] = (request) => clientAddress(request, isTrusted)
    authRoutes(server, { db, keys, sessions, accounts, now, registration, addressOf })
    const url = await listen(server, options.host, options.port, 'AUTH_PORT')
    log.info({ url }, 'ready: requests are taken')
    return { name: 'auth-service', url, begin: () => upkeep.begin(), close }
  } catch (error) {
    await close()
    throw error
  }
}
