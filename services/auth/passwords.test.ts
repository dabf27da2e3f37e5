import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HttpError } from '../shared/http/http-error.ts'
import { sqlitePlace } from '../shared/testing/places.ts'
import { ada, handClock, startAuth } from './auth.testkit.ts'
import { passwordCost } from './domain.ts'
import { scryptPasswords, type Passwords } from './passwords.ts'

const cheap = { log2N: 4, r: 8, p: 1 } as const
const passwords = scryptPasswords(cheap)

test('a password is verified by what was kept of it, and no other is', async () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 })
  await fc.assert(
    fc.asyncProperty(text, text, async (password, other) => {
      const kept = await passwords.hash(password)
      expect(kept).toMatch(/^\$scrypt\$ln=4,r=8,p=1\$[^$]+\$[^$]+$/)
      expect(await passwords.verify(password, kept)).toBe(true)
      expect(await passwords.verify(other, kept)).toBe(other.normalize('NFKC') === password.normalize('NFKC'))
    }),
    { numRuns: 50 },
  )
})

test('the same password is kept differently each time, and verified however its letters are coded', async () => {
  const kept = await passwords.hash('caf\u00E9')
  expect(await passwords.hash('caf\u00E9')).not.toBe(kept)
  expect(await passwords.verify('cafe\u0301', kept)).toBe(true)
})

test('nobody has no password: not the empty one, and not by luck', async () => {
  for (const password of ['', 'x', ada.password]) expect(await passwords.verify(password, null)).toBe(false)
})

test('one that is kept in a way that is not known is an error, and no match', async () => {
  for (const kept of ['', 'plain', '$scrypt$ln=4,r=8,p=1$c2FsdA==$', '$argon2id$v=19$m=1$x$y'])
    await expect(passwords.verify('', kept)).rejects.toThrow('in a form that is not known here')
})

test('while they are worked out at a price the event loop goes on, and too many at once are told to come again', async () => {
  const dear = scryptPasswords({ ...passwordCost, p: 1 })
  let turns = 0
  let isOver = false
  const count = (): void => {
    turns += 1
    if (!isOver) setTimeout(count, 1)
  }
  count()
  const answers = await Promise.allSettled(Array.from({ length: 40 }, () => dear.verify('x', null)))
  isOver = true
  const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []))
  expect(refused.length).toBeGreaterThan(0)
  for (const error of refused)
    expect(error).toMatchObject({ status: 503, retryAfterSeconds: 5 } satisfies Partial<HttpError>)
  // One alone takes some 100 ms: in its way, there would be a turn or two for each.
  expect(turns).toBeGreaterThan(10 * (answers.length - refused.length))
  expect(await dear.verify('x', null)).toBe(false) // the places are free again
})

/** Counts what it is asked to work out. */
function counting(inner: Passwords): { readonly passwords: Passwords; readonly costs: string[] } {
  const costs: string[] = []
  return {
    costs,
    passwords: {
      ...inner,
      hash: (password) => (costs.push('hash'), inner.hash(password)),
      verify: (password, kept) => (costs.push(kept?.split('$')[2] ?? 'for nobody'), inner.verify(password, kept)),
    },
  }
}

test('a log-in costs the same work whether there is such a user or not; one that is limited costs none', async () => {
  const counted = counting(passwords)
  const auth = await startAuth(await sqlitePlace(), handClock(), { passwords: counted.passwords })
  await auth.post('/register', ada)
  counted.costs.splice(0)
  await auth.post('/login', { ...ada, password: 'not that one' })
  await auth.post('/login', { ...ada, email: 'nobody@example.com' })
  expect(counted.costs).toEqual(['ln=4,r=8,p=1', 'for nobody'])
  for (let nth = 0; nth < 10; nth++) await auth.post('/login', { ...ada, password: 'not that one' })
  expect(counted.costs.length).toBe(2 + 4)
  await auth.close()
})

test('a password that was kept at another cost is kept anew when its owner logs in', async () => {
  const place = await sqlitePlace()
  const before = await startAuth(place, handClock())
  await before.post('/register', ada)
  await before.close()
  const counted = counting(scryptPasswords({ ...cheap, log2N: 5 }))
  const after = await startAuth(place, handClock(), { passwords: counted.passwords })
  for (let time = 0; time < 2; time++) await after.logIn()
  expect(counted.costs).toEqual(['ln=4,r=8,p=1', 'hash', 'ln=5,r=8,p=1'])
  await after.close()
})

test('where too many passwords wait, that is told as such and not counted as wrong', async () => {
  const busy: Passwords = {
    ...passwords,
    verify: () => Promise.reject(new HttpError(503, 'too many', 5)),
  }
  const auth = await startAuth(await sqlitePlace(), handClock(), { passwords: busy })
  for (let nth = 0; nth < 10; nth++) {
    const answer = await auth.post('/login', ada)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
  }
  await auth.close()
})
