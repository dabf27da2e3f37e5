/**
 * Users for a first look, whose passwords the README tells everybody.
 *
 * They are kept at no cost, since there is nothing to protect; the first log-in keeps a password anew.
 */
import type { Kysely } from 'kysely'
import type { Role } from '../shared/auth/access-token.ts'
import { scryptPasswords } from './passwords.ts'
import { insertUser } from './rows.ts'
import type { AuthTables } from './schema.ts'

export const firstLookUsers: readonly { readonly role: Role; readonly email: string; readonly password: string }[] = [
  { role: 'customer', email: 'customer@example.com', password: 'first-look-customer' },
  { role: 'vendor', email: 'vendor@example.com', password: 'first-look-vendor' },
  { role: 'admin', email: 'admin@example.com', password: 'first-look-admin' },
]

const noCost = { log2N: 4, r: 8, p: 1 }

/** Adds those that are not there. */
export async function addFirstLookUsers(db: Kysely<AuthTables>, now: number): Promise<void> {
  const passwords = scryptPasswords(noCost)
  for (const { role, email, password } of firstLookUsers)
    await insertUser(db, { email, password: await passwords.hash(password), roles: [role], isFirstLook: true }, now)
}
