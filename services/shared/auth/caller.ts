/** Who calls a route, or the refusal that its client gets: 401, 403, 503, each with a sentence. */
import { HttpError } from '../http/http-error.ts'
import type { User } from './access-token.ts'
import type { Verdict, Verify } from './verifier.ts'

export interface CallerOptions {
  readonly verify: Verify
  /** Whether the yes of a foreign auth server is enough, which does not say whose token it is. */
  readonly acceptUnnamed: boolean
}

const askAgainSeconds = 2

/** Whose token was accepted. */
export type Accepted = Extract<Verdict, { readonly kind: 'user' | 'somebody' }>

/**
 * @param authorization the header's value as it came
 * @throws HttpError
 */
export async function acceptedBy(
  { verify, acceptUnnamed }: CallerOptions,
  authorization: string | undefined,
): Promise<Accepted> {
  const verdict = await verify(authorization)
  switch (verdict.kind) {
    case 'user':
      return verdict
    case 'somebody':
      if (acceptUnnamed) return verdict
      throw new HttpError(
        403,
        'the auth server accepts this token but does not say whose it is, and that is not enough here: use a token of our Auth Service, or set AUTH_ACCEPT_UNNAMED=true',
      )
    case 'refused':
      throw new HttpError(401, verdict.why)
    case 'unknown':
      throw new HttpError(503, verdict.why, askAgainSeconds)
  }
}

/**
 * @returns null for somebody whose name nobody knows here, where that is enough
 * @throws HttpError
 */
export async function callerBy(options: CallerOptions, authorization: string | undefined): Promise<User | null> {
  const accepted = await acceptedBy(options, authorization)
  return accepted.kind === 'user' ? accepted.user : null
}

/** The addresses that people have: what is before the `@` is anybody's, what follows is a name of a host. */
export const addressPattern = /^[^\s@"(),:;<>[\\\]]{1,64}@([a-z\d]([a-z\d-]{0,61}[a-z\d])?\.)+[a-z]{2,63}$/i

/** Whether two addresses are one user's: a token has them in lower case. */
export const isSameAddress = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase()
