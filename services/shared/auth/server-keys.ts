/**
 * The public keys of an auth server, fetched and kept.
 *
 * Invariants:
 * - whoever asks while they are fetched waits for the same answer;
 * - they are fetched at most so often, whatever keys tokens name;
 * - a server that is away takes nothing from who has its keys already, for an hour; nobody waits for it then;
 * - a server that has none is known for one that has none, and asked again in a minute.
 */
import { createLocalJWKSet, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import { AuthServerAway, askAuthServer } from './server-call.ts'

const Keys = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) })

/** Our auth server shows a key for longer than that before it signs. */
const freshMs = 300_000
/** So long keys are good whose server is away. */
const goodMs = 3_600_000
const noneMs = 60_000
/** Between two fetches for a key that is not known. */
const pauseMs = 5_000
/** So long an answer that did not come is the answer of all who ask. */
const awayMs = 1_000

export interface ServerKeys {
  /**
   * Finds keys; null where the server has none, as foreign ones.
   *
   * @throws AuthServerAway where that cannot be found out now
   */
  current(): Promise<JWTVerifyGetKey | null>
  /**
   * The same, fetched anew for a key that is not known; at most every few seconds, and in between as they are.
   *
   * @throws AuthServerAway
   */
  newer(): Promise<JWTVerifyGetKey | null>
}

interface Found {
  readonly at: number
  readonly keys: JWTVerifyGetKey | null
}

/** How the last try ended. */
interface Tried {
  readonly at: number
  /** Null where the server answered. */
  readonly away: AuthServerAway | null
}

export function serverKeys(url: () => string, now: () => number): ServerKeys {
  let found: Found | null = null
  let tried: Tried | null = null
  let fetching: Promise<void> | null = null

  async function fetchOnce(): Promise<void> {
    try {
      const keys = await fetchKeys(url())
      tried = { at: now(), away: null }
      // What had keys and has none any more is half started, or another one: its keys are good for as long as said.
      if (keys !== null || !isKept()) found = { at: now(), keys }
    } catch (error) {
      if (!(error instanceof AuthServerAway)) throw error
      tried = { at: now(), away: error }
    }
  }

  const isKept = (): boolean => found !== null && found.keys !== null && isWithin(now() - found.at, goodMs)
  const triedWithin = (ms: number): boolean => tried !== null && isWithin(now() - tried.at, ms)

  /** Who asks while they are fetched waits for the same answer. */
  async function fetchUnless(recentMs: number): Promise<void> {
    if (fetching === null && triedWithin(recentMs)) return
    fetching ??= fetchOnce().finally(() => (fetching = null))
    await fetching
  }

  return {
    async current() {
      if (found !== null && isWithin(now() - found.at, found.keys === null ? noneMs : freshMs)) return found.keys
      const fetched = fetchUnless(isKept() ? pauseMs : awayMs)
      if (found !== null && isKept()) {
        fetched.catch(() => undefined) // for those who come later
        return found.keys
      }
      await fetched
      return answer()
    },
    async newer() {
      await fetchUnless(pauseMs)
      return answer()
    },
  }

  function answer(): JWTVerifyGetKey | null {
    if (tried !== null && tried.away !== null) throw tried.away
    return found?.keys ?? null
  }
}

/** Also where the clock was set back: nothing is kept for longer than that. */
const isWithin = (ageMs: number, mostMs: number): boolean => ageMs >= 0 && ageMs <= mostMs

async function fetchKeys(url: string): Promise<JWTVerifyGetKey | null> {
  const { status, json } = await askAuthServer(url, '/.well-known/jwks.json')
  const keys = Keys.safeParse(json)
  return status < 300 && keys.success ? createLocalJWKSet(keys.data) : null
}
