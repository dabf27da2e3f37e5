/**
 * Finds out who asks, by what the header `Authorization` holds: for services that stand behind an auth server, ours or a
 * foreign one (docs/wire-contract.md 5.3).
 *
 * - A server with public keys is ours: tokens are verified here by them, and it says whose a token is.
 * - One without is foreign, and says only whether a token is that of a customer, a vendor or an admin, not whose.
 *
 * Invariants:
 * - a server that cannot answer refuses nobody: that is told apart from a token that is not good;
 * - a header goes to the server whose answer is asked for and nowhere else, not into a message or a log either.
 */
import { bareToken, longestToken, readAccessToken, roles, type Role, type User } from './access-token.ts'
import { answersWith, AuthServerAway, askAuthServer } from './server-call.ts'
import { serverKeys } from './server-keys.ts'

export type Verdict =
  | { readonly kind: 'user'; readonly user: User }
  /** A foreign server knows the token as that of one with this role; whose it is nobody knows here. */
  | { readonly kind: 'somebody'; readonly role: Role }
  /** For 401; the text is a sentence for clients. */
  | { readonly kind: 'refused'; readonly why: string }
  /** For 503, as above: whether the token is good is not known. */
  | { readonly kind: 'unknown'; readonly why: string }

/** @param authorization the header's value as it came */
export type Verify = (authorization: string | undefined) => Promise<Verdict>

export interface VerifierOptions {
  /** The auth server, as `http://host:port`; asked for whenever it is needed. */
  readonly url: () => string
  /** Unix milliseconds; the system's where none is given. */
  readonly now?: () => number
  /** The policies of a foreign server in the order in which they are asked: the first yes counts. As clients ask them where none is given. */
  readonly policies?: readonly Role[]
}

/** For whom a customer who also is a vendor is a vendor. */
export const strongestFirst: readonly Role[] = ['admin', 'vendor', 'customer']

/**
 * @example
 * const verify = authVerifier({ url: () => 'http://127.0.0.1:8086' })
 * const verdict = await verify(request.headers.authorization)
 */
export function authVerifier({ url, now = Date.now, policies = roles }: VerifierOptions): Verify {
  const keys = serverKeys(url, now)

  async function verified(token: string): Promise<Verdict> {
    const known = await keys.current()
    if (known === null) return askPolicies(url(), policies, token)
    const reading = await readAccessToken(token, known, now())
    if (reading.kind !== 'unknown key') return verdictOf(reading)
    const newer = await keys.newer()
    return newer === null ? askPolicies(url(), policies, token) : verdictOf(await readAccessToken(token, newer, now()))
  }

  return async (authorization) => {
    const token = bareToken(authorization)
    if (token === '') return refused('the header Authorization is missing or empty: send an access token in it')
    if (token.length > longestToken || !/^[\x21-\x7e]+$/.test(token)) return refused('the token is not one of ours')
    try {
      return await verified(token)
    } catch (error) {
      if (error instanceof AuthServerAway) return { kind: 'unknown', why: error.message }
      throw error
    }
  }
}

const refused = (why: string): Verdict => ({ kind: 'refused', why })

function verdictOf(reading: Awaited<ReturnType<typeof readAccessToken>>): Verdict {
  switch (reading.kind) {
    case 'valid':
      // As the policies say of him: none of them is his.
      return reading.user.roles.length === 0
        ? refused('this user has no role here: ask an administrator for one')
        : { kind: 'user', user: reading.user }
    case 'unknown key':
      return refused('the token was signed with a key that is not known, or not any more: log in again')
    case 'refused':
      return refused(`${reading.why}: log in again`)
  }
}

/** With these a policy says no. */
const refusals: ReadonlySet<number> = new Set([400, 401, 403])

/**
 * As clients of foreign auth servers ask: one policy after the other, and the first yes counts. A foreign server cannot
 * read a token with `Bearer ` before it, so it goes without.
 */
async function askPolicies(url: string, policies: readonly Role[], token: string): Promise<Verdict> {
  let away: AuthServerAway | null = null
  for (const role of policies)
    try {
      const { status } = await askAuthServer(url, `/Authentication/${role}-policy`, { token })
      if (status < 300) return { kind: 'somebody', role }
      // It sends us elsewhere, or has no such policy: it has not said no.
      if (!refusals.has(status)) throw answersWith(status)
    } catch (error) {
      if (!(error instanceof AuthServerAway)) throw error
      away = error
    }
  // Where one of them could not be asked, its yes may be missing.
  return away === null
    ? refused('the auth server accepts this token for no role')
    : { kind: 'unknown', why: away.message }
}
