/** Keys over time: whoever signs, whoever looks after them and whenever, a token is good everywhere until its end. */
import fc from 'fast-check'
import { createLocalJWKSet, type JWTVerifyGetKey } from 'jose'
import { expect, test } from 'vitest'
import { clockToleranceSeconds, readAccessToken, signAccessToken } from '../shared/auth/access-token.ts'
import { openDatabase } from '../shared/database/database.ts'
import { newFile } from '../shared/testing/ask.ts'
import { lifetimes } from './domain.ts'
import { openKeyRing } from './keys.ts'
import { authMigrations, type AuthTables } from './schema.ts'

const minuteMs = 60_000
const replicas = 3

const step = fc.record({
  afterMs: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 0, max: 2 * minuteMs }),
    fc.integer({ min: 0, max: 15 * minuteMs }),
    fc.integer({ min: lifetimes.keyMs - 15 * minuteMs, max: lifetimes.keyMs + 15 * minuteMs }),
  ),
  replica: fc.nat(replicas - 1),
  does: fc.constantFrom('tend', 'sign', 'sign', 'look', 'everybody tends'),
})

/** How long others may keep what `/.well-known/jwks.json` shows. */
const keptMs = 5 * minuteMs

test('a token is good at every replica, and by keys that were fetched minutes before it was signed, until it has expired', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      const { db, close } = await openDatabase<AuthTables>({ kind: 'sqlite', file: newFile('keys') }, authMigrations)
      let now = 1_800_000_000_000
      const options = { db, secret: 's'.repeat(32), lifetimes, now: () => now }
      const rings = await Promise.all(Array.from({ length: replicas }, () => openKeyRing(options)))
      const tokens: { readonly text: string; readonly signedAt: number; readonly expiresAt: number }[] = []
      const fetched: { readonly at: number; readonly keys: JWTVerifyGetKey }[] = []
      const isGood = async (text: string, keys: JWTVerifyGetKey): Promise<boolean> =>
        (await readAccessToken(text, keys, now)).kind === 'valid'

      for (const { afterMs, replica, does } of steps) {
        now += afterMs
        const ring = rings[replica] ?? expect.fail('there is no such replica')
        if (does === 'tend') await ring.tend()
        if (does === 'everybody tends') await Promise.all(rings.map((one) => one.tend()))
        if (does === 'look') fetched.push({ at: now, keys: createLocalJWKSet({ keys: [...(await ring.published())] }) })
        if (does === 'sign') {
          const expiresAt = now + lifetimes.accessMs
          const issued = { subject: 'u', email: 'u@example.com', roles: [], sessionId: 's', id: String(tokens.length) }
          const seconds = { issuedAt: Math.floor(now / 1000), expiresAt: Math.floor(expiresAt / 1000) }
          const text = await signAccessToken({ ...issued, ...seconds }, await ring.signing())
          tokens.push({ text, signedAt: now, expiresAt })
        }
        for (const { text, signedAt, expiresAt } of tokens) {
          if (now < expiresAt) for (const one of rings) expect(await isGood(text, one.verifying)).toBe(true)
          if (now > expiresAt + clockToleranceSeconds * 1000) expect(await isGood(text, ring.verifying)).toBe(false)
          for (const { at, keys } of fetched)
            if (at <= signedAt && signedAt <= at + keptMs && now < expiresAt)
              expect(await isGood(text, keys)).toBe(true)
        }
      }
      const kept = await db.selectFrom('signing_keys').select('generation').execute()
      const generations = kept.map(({ generation }) => generation).sort((a, b) => a - b)
      expect(generations).toEqual(generations.map((_one, index) => (generations[0] ?? 0) + index)) // none was made twice
      await close()
    }),
    { numRuns: 30 },
  )
})
