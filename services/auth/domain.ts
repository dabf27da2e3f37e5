/** What the Auth Service keeps to: how long what it gives out is good, and how often a password may be wrong. */
import type { PasswordCost } from './passwords.ts'

const minuteMs = 60_000
const dayMs = 86_400_000

export interface Lifetimes {
  /** Of an access token: for so long one is good that was given out before its user logged out. */
  readonly accessMs: number
  /** Of a refresh token: who does not come back for so long logs in again. */
  readonly refreshMs: number
  /** Of a session, however often it is refreshed. */
  readonly sessionMs: number
  /** How long one key signs. */
  readonly keyMs: number
}

export const lifetimes: Lifetimes = {
  accessMs: 10 * minuteMs,
  refreshMs: 14 * dayMs,
  sessionMs: 90 * dayMs,
  keyMs: 7 * dayMs,
}

/** The window in which tries are counted. It begins with the first one and is not made longer by those that are refused. */
export const windowMs = 15 * minuteMs

/** Wrong passwords in a window. */
export const mostFailures = {
  /** For one account from one address: a person who mistypes. Others who try that account do not keep its owner out. */
  accountFromClient: 5,
  /** From one address, for whichever accounts. */
  client: 20,
  /** For one account, from wherever. */
  account: 100,
} as const

/** From one address, in a window. */
export const mostRegistrations = 10

/** As OWASP asks for scrypt with 32 MB; some 0.4 s. A password that was kept at less is kept anew at its next log-in. */
export const passwordCost: PasswordCost = { log2N: 15, r: 8, p: 3 }

/** One who stands behind several accounts, or one in several writings, is one: `Ada@Example.com` is `ada@example.com`. */
export const emailPattern = /^[\x21-\x3f\x41-\x7e]{1,64}@[\x21-\x3f\x41-\x7e]{1,190}$/

export const shortestPassword = 12
export const longestPassword = 200
