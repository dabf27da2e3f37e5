/** Refresh tokens against a model of them: what is good is exactly the last one of a session that goes on. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openDatabase } from '../shared/database/database.ts'
import { newFile } from '../shared/testing/ask.ts'
import { lifetimes as usual } from './domain.ts'
import { openKeyRing } from './keys.ts'
import { insertUser, removeOldSessions } from './rows.ts'
import { authMigrations, type AuthTables } from './schema.ts'
import { openSessions } from './sessions.ts'

const lifetimes = { ...usual, refreshMs: 10_000, sessionMs: 40_000 }

interface Modelled {
  isOn: boolean
  readonly endsAt: number
  readonly tokens: { readonly text: string; readonly expiresAt: number }[]
}

const step = fc.record({
  afterMs: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(3_000), fc.nat(12_000)),
  does: fc.constantFrom('begin', 'refresh', 'refresh', 'refresh', 'end', 'remove'),
  session: fc.nat(4),
  /** Counted from the newest, which is mostly meant. */
  back: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.nat(3)),
})

test('a refresh token is good once, in its time; one that comes again ends its session and no other', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const { db, close } = await openDatabase<AuthTables>(
        { kind: 'sqlite', file: newFile('sessions') },
        authMigrations,
      )
      let now = 1_800_000_000_000
      let reused = 0
      let expected = 0
      const keys = await openKeyRing({ db, secret: 's'.repeat(32), lifetimes, now: () => now })
      const sessions = openSessions({
        db,
        keys,
        lifetimes,
        now: () => now,
        isAdmitted: () => true,
        onReuse: () => (reused += 1),
      })
      const row = { email: 'a@example.com', password: 'x', roles: ['customer'] as const, isFirstLook: false }
      const user = (await insertUser(db, row, now)) ?? expect.fail('the user was not added')
      const model: Modelled[] = []
      const expiry = ({ endsAt }: Pick<Modelled, 'endsAt'>): number => Math.min(now + lifetimes.refreshMs, endsAt)

      for (const { afterMs, does, session, back } of steps) {
        now += afterMs
        if (does === 'begin') {
          const { refreshToken } = await sessions.begin(user)
          const endsAt = now + lifetimes.sessionMs
          model.push({ isOn: true, endsAt, tokens: [{ text: refreshToken, expiresAt: expiry({ endsAt }) }] })
        }
        if (does === 'remove') await removeOldSessions(db, now, 500)
        const one = model[session % Math.max(model.length, 1)]
        const index = one === undefined ? -1 : Math.max(0, one.tokens.length - 1 - back)
        const token = one?.tokens[index]
        if (one === undefined || token === undefined) continue
        const isInTime = token.expiresAt > now
        if (does === 'end') {
          await sessions.end(token.text)
          if (isInTime) one.isOn = false
        }
        if (does !== 'refresh') continue
        const isLast = index === one.tokens.length - 1
        const answer = await sessions.refresh(token.text).catch(() => null)
        expect(answer !== null).toBe(one.isOn && isLast && isInTime)
        if (answer !== null) one.tokens.push({ text: answer.refreshToken, expiresAt: expiry(one) })
        else if (isInTime && !isLast && one.isOn) {
          one.isOn = false
          expected += 1
        }
      }
      expect(reused).toBe(expected)
      await close()
    }),
    { numRuns: 40 },
  )
})
