/**
 * Access tokens: JWTs (RFC 9068) that the Auth Service signs and anybody with its public keys can read.
 *
 * Invariants:
 * - one algorithm, one type, one issuer, one audience: what a token says of itself chooses nothing;
 * - a token whose key is not known is told apart from a bad one: newer keys may know it.
 */
import { errors, jwtVerify, SignJWT, type CryptoKey, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'

/** What a user may be. The policies of the Auth Service are asked in this order. */
export const roles = ['customer', 'vendor', 'admin'] as const
export type Role = (typeof roles)[number]

export const tokenAlgorithm = 'ES256'
const type = 'at+jwt'
const issuer = 'ordersaga-auth'
const audience = 'ordersaga'

/** Clocks of two machines differ by that much at most, in seconds. */
export const clockToleranceSeconds = 30

/** Far above what we issue; whatever is longer is not even taken apart. */
export const longestToken = 8_192

/** Whose token it is. */
export interface User {
  /** The user's id. */
  readonly subject: string
  /** In lower case. */
  readonly email: string
  readonly roles: readonly Role[]
}

const Claims = z.object({
  sub: z.string().min(1),
  email: z.string().min(1),
  roles: z.array(z.string()),
  /** The session that the token belongs to. */
  sid: z.string().min(1),
})

export interface SigningKey {
  readonly kid: string
  readonly privateKey: CryptoKey
}

export interface Issued extends User {
  readonly sessionId: string
  /** Names the token. */
  readonly id: string
  /** Unix seconds. */
  readonly issuedAt: number
  readonly expiresAt: number
}

export function signAccessToken(issued: Issued, { kid, privateKey }: SigningKey): Promise<string> {
  return new SignJWT({ email: issued.email, roles: issued.roles, sid: issued.sessionId })
    .setProtectedHeader({ alg: tokenAlgorithm, typ: type, kid })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(issued.subject)
    .setJti(issued.id)
    .setIssuedAt(issued.issuedAt)
    .setExpirationTime(issued.expiresAt)
    .sign(privateKey)
}

export type TokenReading =
  | { readonly kind: 'valid'; readonly user: User; readonly sessionId: string }
  | { readonly kind: 'unknown key' }
  | { readonly kind: 'refused'; readonly why: string }

/**
 * @param keys finds the key that a token names; what it throws besides the errors of jose is thrown on
 * @param now Unix milliseconds
 */
export async function readAccessToken(token: string, keys: JWTVerifyGetKey, now: number): Promise<TokenReading> {
  if (token.length > longestToken)
    return { kind: 'refused', why: `the token is longer than ${longestToken} characters` }
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: [tokenAlgorithm],
      typ: type,
      issuer,
      audience,
      requiredClaims: ['exp', 'iat'],
      clockTolerance: clockToleranceSeconds,
      currentDate: new Date(now),
    })
    const claims = Claims.safeParse(payload)
    if (!claims.success) return { kind: 'refused', why: 'the token does not say whose it is' }
    const { sub, email, sid } = claims.data
    return {
      kind: 'valid',
      user: { subject: sub, email, roles: roles.filter((role) => claims.data.roles.includes(role)) },
      sessionId: sid,
    }
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return { kind: 'unknown key' }
    if (error instanceof errors.JWTExpired) return { kind: 'refused', why: 'the token has expired' }
    if (error instanceof errors.JOSEError) return { kind: 'refused', why: 'the token is not valid' }
    throw error
  }
}

/** What `Authorization` holds, which clients send with `Bearer ` or without; empty where there is none. */
export const bareToken = (value: string | undefined): string => (value ?? '').replace(/^\s*bearer(\s+|$)/i, '').trim()
