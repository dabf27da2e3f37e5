/** What the Auth Service promises, on either kind of database. */
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase } from '../shared/database/database.ts'
import { call } from '../shared/testing/call.ts'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import { ada, handClock, startAuth, type HandClock, type RunningAuth, type TokenPair } from './auth.testkit.ts'
import { mostFailures, mostRegistrations, windowMs } from './domain.ts'
import { firstLookUsers } from './first-look.ts'
import { authMigrations, type AuthTables, type SigningKeyRow } from './schema.ts'
import type { AuthServiceOptions } from './service.ts'

const wrong = { success: false, message: 'The e-mail address or the password is wrong.' }
const admin = { email: 'root@example.com', password: 'another long phrase' }

export function authServiceContract(kind: string, newPlace: NewPlace): void {
  describe(`the Auth Service on ${kind}`, () => {
    let place: Place
    let clock: HandClock
    let auth: RunningAuth
    /** Further ones on the same database. */
    let others: RunningAuth[]

    beforeEach(async () => {
      place = await newPlace()
      clock = handClock()
      others = []
      auth = await startAuth(place, clock, { admin })
      expect(await auth.post('/register', ada)).toMatchObject({ status: 201 })
    })
    afterEach(async () => {
      for (const one of [auth, ...others]) await one.close()
      await place.remove?.()
    })

    async function another(options: Partial<AuthServiceOptions> = {}, itsClock = clock): Promise<RunningAuth> {
      const one = await startAuth(place, itsClock, options)
      others.push(one)
      return one
    }

    /** All that the tables hold, as text. */
    async function tables(): Promise<string> {
      const database = await openDatabase<AuthTables>(place.target, authMigrations)
      const names = ['users', 'sessions', 'refresh_tokens', 'signing_keys', 'attempts'] as const
      const rows = await Promise.all(names.map((name) => database.db.selectFrom(name).selectAll().execute()))
      await database.close()
      return JSON.stringify(rows)
    }

    const refresh = (token: string, at = auth) => at.post('/refresh', { refresh_token: token })
    const me = (token: string) => auth.get('/me', token)
    const policy = (role: string, token: string) => auth.post(`/Authentication/${role}-policy`, { token })

    test('a customer registers and logs in, however the e-mail address is written, and is shown with the token', async () => {
      const answer = await auth.post('/login', { ...ada, email: 'Ada@Example.COM' })
      expect(answer).toMatchObject({
        status: 200,
        body: {
          token_type: 'Bearer',
          expires_in: 600,
          refresh_expires_in: 14 * 86_400,
          user: { email: ada.email, roles: ['customer'] },
        },
      })
      expect(answer.headers.get('cache-control')).toBe('no-store')
      const { access_token: token, user } = answer.body as TokenPair & { readonly user: { readonly sub: string } }
      expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
      expect(decodeJwt(token)).toEqual({
        iss: 'ordersaga-auth',
        aud: 'ordersaga',
        sub: user.sub,
        email: ada.email,
        roles: ['customer'],
        sid: expect.any(String),
        jti: expect.any(String),
        iat: Math.floor(clock.now / 1000),
        exp: Math.floor(clock.now / 1000) + 600,
      })
      for (const sent of [token, `Bearer ${token}`, `bearer  ${token}`])
        expect(await me(sent)).toMatchObject({ status: 200, body: { success: true, user } })
      expect(await auth.get('/me')).toMatchObject({ status: 401, body: { success: false } })
    })

    test('an e-mail address is registered once, whatever letters it is written in', async () => {
      expect(await auth.post('/register', { ...ada, email: 'ADA@example.com' })).toMatchObject({
        status: 409,
        body: { success: false, message: 'There is a user ada@example.com already.' },
      })
      const many = await Promise.all(
        Array.from({ length: 5 }, () => auth.post('/register', { ...ada, email: 'bob@example.com' })),
      )
      expect(many.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409])
    })

    test.each([
      ['no e-mail address', { email: 'ada', password: ada.password }, 'e-mail address'],
      ['an address that could not order', { email: 'ada@localhost', password: ada.password }, 'with a host name'],
      ['a short password', { email: 'x@example.com', password: 'short' }, 'password must have at least 12 characters'],
      ['no password', { email: 'x@example.com' }, 'password is missing'],
      ['a role of his choice', null, ''],
    ])('%s is refused at registering', async (_what, body, why) => {
      if (body === null) {
        const answer = await auth.post('/register', { ...ada, email: 'x@example.com', roles: ['admin'] })
        expect(answer.body).toMatchObject({ user: { roles: ['customer'] } })
        return
      }
      const answer = await auth.post('/register', body)
      expect(answer).toMatchObject({ status: 400, body: { success: false, message: expect.stringContaining(why) } })
    })

    test('where registering is closed, administrators add users, and nobody else does', async () => {
      const closed = await another({ registration: false })
      const vendor = { email: 'vic@example.com', password: 'vic sells many things', roles: ['vendor'] }
      expect(await closed.post('/register', vendor)).toMatchObject({ status: 403, body: { success: false } })
      const { access_token: customer } = await auth.logIn()
      expect(await auth.post('/users', vendor)).toMatchObject({ status: 401 })
      expect(await auth.post('/users', vendor, customer)).toMatchObject({ status: 403, body: { success: false } })
      const { access_token: root } = await auth.logIn(admin)
      expect(await auth.post('/users', vendor, root)).toMatchObject({
        status: 201,
        body: { success: true, user: { email: vendor.email, roles: ['vendor'] } },
      })
      expect(await auth.post('/users', vendor, root)).toMatchObject({ status: 409 })
      const { access_token: token } = await auth.logIn(vendor)
      expect([(await policy('vendor', token)).status, (await policy('customer', token)).status]).toEqual([200, 401])
    })

    test('roles that are taken away are gone at once for policies, and from the next access token', async () => {
      const { access_token: root } = await auth.logIn(admin)
      const { access_token: token, refresh_token: next } = await auth.logIn()
      expect((await policy('customer', token)).status).toBe(200)
      const change = { email: ada.email, roles: ['vendor', 'admin'] }
      expect(await auth.put('/users/roles', change, token)).toMatchObject({ status: 403 })
      expect(await auth.put('/users/roles', change, root)).toMatchObject({ status: 200 })
      expect(await auth.put('/users/roles', { ...change, email: 'no@example.com' }, root)).toMatchObject({
        status: 404,
      })
      expect((await policy('customer', token)).status).toBe(401)
      expect((await policy('admin', token)).status).toBe(200)
      const { body } = await refresh(next)
      expect(decodeJwt((body as TokenPair).access_token)['roles']).toEqual(['vendor', 'admin'])
    })

    test('the policies answer as the contract has it, with `Bearer ` or without', async () => {
      const { access_token: token } = await auth.logIn()
      for (const sent of [token, `Bearer ${token}`])
        expect(await policy('customer', sent)).toMatchObject({
          status: 200,
          body: { success: true, message: 'Customer verified' },
        })
      for (const role of ['vendor', 'admin'])
        expect(await policy(role, token)).toMatchObject({
          status: 401,
          body: { success: false, message: `The user of the token is no ${role}.` },
        })
      expect(await policy('customer', 'nonsense')).toMatchObject({ status: 401, body: { success: false } })
      for (const body of [{}, { token: null }, { token: '' }, { token: 'Bearer ' }, { token: 7 }, []])
        expect(await auth.post('/Authentication/customer-policy', body)).toMatchObject({
          status: 400,
          body: { success: false, message: expect.stringMatching(/token|body/) },
        })
    })

    test('a wrong password and an unknown e-mail address are told in the same words', async () => {
      expect(await auth.post('/login', { ...ada, password: 'not that one' })).toMatchObject({
        status: 401,
        body: wrong,
      })
      expect(await auth.post('/login', { ...ada, email: 'no@example.com' })).toMatchObject({ status: 401, body: wrong })
    })

    describe('a refresh token', () => {
      test('is good once, and gives tokens of the same session', async () => {
        const first = await auth.logIn()
        clock.now += 60_000
        const { status, body } = await refresh(first.refresh_token)
        expect(status).toBe(200)
        const second = body as TokenPair
        expect(second.refresh_token).not.toBe(first.refresh_token)
        expect(decodeJwt(second.access_token)).toMatchObject({
          sid: decodeJwt(first.access_token)['sid'],
          iat: Math.floor(clock.now / 1000),
        })
        expect((await refresh(second.refresh_token)).status).toBe(200)
      })

      test('that comes again ends its session, the tokens that followed it included, and no other', async () => {
        const stolen = await auth.logIn()
        const elsewhere = await auth.logIn()
        const next = (await refresh(stolen.refresh_token)).body as TokenPair
        expect(await refresh(stolen.refresh_token)).toMatchObject({
          status: 401,
          body: { success: false, message: expect.stringContaining('used before') },
        })
        expect((await refresh(next.refresh_token)).status).toBe(401)
        expect((await me(next.access_token)).status).toBe(401)
        expect((await policy('customer', next.access_token)).status).toBe(401)
        expect((await me(elsewhere.access_token)).status).toBe(200)
        expect((await refresh(elsewhere.refresh_token)).status).toBe(200)
        expect(auth.lines.filter((line) => line.includes('came again')).length).toBe(1)
      })

      test('that comes several times at once gives one answer at most, and ends its session', async () => {
        const second = await another()
        for (let round = 0; round < 5; round++) {
          const { refresh_token: token } = await auth.logIn()
          const answers = await Promise.all(
            [0, 1, 2, 3].map((index) => refresh(token, index % 2 === 0 ? auth : second)),
          )
          const good = answers.filter(({ status }) => status === 200)
          expect(answers.filter(({ status }) => status === 401).length).toBe(3)
          for (const { body } of good) expect((await refresh((body as TokenPair).refresh_token)).status).toBe(401)
        }
      })

      test('is not good any more when its time is over, or that of its session', async () => {
        const lifetimes = { accessMs: 600_000, refreshMs: 10_000, sessionMs: 25_000, keyMs: 86_400_000 }
        const short = await another({ lifetimes })
        const { refresh_token: unused } = await short.logIn()
        clock.now += 10_001
        expect((await refresh(unused, short)).status).toBe(401)
        let { refresh_token: token } = await short.logIn()
        for (let turn = 0; turn < 2; turn++) {
          clock.now += 9_000
          const answer = await refresh(token, short)
          expect(answer.status).toBe(200)
          token = (answer.body as TokenPair).refresh_token
        }
        clock.now += 9_000
        expect((await refresh(token, short)).status).toBe(401)
      })
    })

    test('whoever logs out is out: his refresh token is good no more, his access token is refused here', async () => {
      const { access_token: access, refresh_token: token } = await auth.logIn()
      for (let time = 0; time < 2; time++)
        expect(await auth.post('/logout', { refresh_token: token })).toMatchObject({
          status: 200,
          body: { success: true, message: 'Logged out' },
        })
      expect((await refresh(token)).status).toBe(401)
      expect((await me(access)).status).toBe(401)
      expect(await auth.post('/logout', { refresh_token: 'nobody knows it' })).toMatchObject({ status: 200 })
    })

    test('an access token is good for its ten minutes, and some seconds for clocks that differ', async () => {
      const { access_token: token } = await auth.logIn()
      clock.now += 600_000 + 25_000
      expect((await me(token)).status).toBe(200)
      clock.now += 10_000
      expect(await me(token)).toMatchObject({ status: 401, body: { message: expect.stringContaining('expired') } })
    })

    test('another password needs the one that was, and ends every session', async () => {
      const before = await auth.logIn()
      const change = { current_password: ada.password, new_password: 'quite another phrase' }
      const wrongly = { ...change, current_password: 'not that one' }
      expect(await auth.post('/password', wrongly, before.access_token)).toMatchObject({ status: 401, body: wrong })
      const answer = await auth.post('/password', change, before.access_token)
      expect(answer.status).toBe(200)
      expect((await refresh(before.refresh_token)).status).toBe(401)
      expect((await me((answer.body as TokenPair).access_token)).status).toBe(200)
      expect((await auth.post('/login', ada)).status).toBe(401)
      await auth.logIn({ ...ada, password: change.new_password })
    })

    describe('of tries', () => {
      const guess = (email: string = ada.email, at = auth) => at.post('/login', { email, password: 'not that one' })

      test('five wrong ones for an account are all, the right password included, until the time that is told', async () => {
        for (let nth = 0; nth < mostFailures.accountFromClient; nth++) expect((await guess()).status).toBe(401)
        clock.now += 60_000
        const refused = await auth.post('/login', ada)
        expect(refused).toMatchObject({
          status: 429,
          body: { success: false, message: expect.stringContaining('14 minutes') },
        })
        expect(refused.headers.get('retry-after')).toBe(String(windowMs / 1000 - 60))
        // Those that are refused do not put that off.
        for (let nth = 0; nth < 5; nth++) expect((await guess()).status).toBe(429)
        clock.now += windowMs - 60_000 - 1_000
        expect((await auth.post('/login', ada)).headers.get('retry-after')).toBe('1')
        clock.now += 1_000
        await auth.logIn()
      })

      test('those of an account that nobody has are refused alike', async () => {
        const answers = []
        for (let nth = 0; nth <= mostFailures.accountFromClient; nth++) answers.push(await guess('nobody@example.com'))
        expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 429])
      })

      test('a right one makes earlier wrong ones forgotten', async () => {
        for (let round = 0; round < 3; round++) {
          for (let nth = 1; nth < mostFailures.accountFromClient; nth++) await guess()
          await auth.logIn()
        }
      })

      test('right ones are never too many: those that come while others are looked at come again', async () => {
        const second = await another()
        let left = 3 * mostFailures.client
        const statuses = new Set<number>()
        const one = async (at: RunningAuth): Promise<void> => {
          for (; left > 0; left--)
            for (let answer; answer?.status !== 200;) {
              answer = await at.post('/login', ada)
              statuses.add(answer.status)
              if (answer.status === 429) expect(answer.headers.get('retry-after')).toBe('2')
            }
        }
        await Promise.all(Array.from({ length: 10 }, (_none, index) => one(index % 2 === 0 ? auth : second)))
        expect([...statuses].filter((status) => status !== 429)).toEqual([200])
        expect((await guess()).status).toBe(401)
      })

      test('many at once are no more than one after the other, at whichever replica', async () => {
        const second = await another()
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_none, index) => guess(ada.email, index % 2 === 0 ? auth : second)),
        )
        expect(answers.filter(({ status }) => status === 401).length).toBe(mostFailures.accountFromClient)
        expect(answers.filter(({ status }) => status === 429).length).toBe(20 - mostFailures.accountFromClient)
      })

      test('one address has so many for all accounts, and whoever logs in rightly uses none up', async () => {
        for (let nth = 0; nth < mostFailures.client; nth++) {
          await auth.logIn()
          expect((await guess(`user${nth}@example.com`)).status).toBe(401)
        }
        expect((await guess('one.more@example.com')).status).toBe(429)
        clock.now += windowMs
        expect((await guess('one.more@example.com')).status).toBe(401)
      })

      test('addresses are told apart behind a proxy that is trusted, and by nobody else', async () => {
        const trusting = await another({ trustedProxies: ['127.0.0.1'] })
        const from = (address: string, at: RunningAuth) =>
          call('POST', `${at.url}/login`, {
            json: { ...ada, password: 'not that one' },
            headers: { 'x-forwarded-for': address },
          })
        const many = Array.from({ length: mostFailures.accountFromClient + 1 }, (_none, nth) => `198.51.100.${nth}`)
        for (const address of many) expect((await from(address, trusting)).status).toBe(401)
        const statuses = []
        for (const address of many) statuses.push((await from(address, auth)).status)
        expect(statuses).toEqual([401, 401, 401, 401, 401, 429])
      })

      test('one address registers so many and no more', async () => {
        const answers = []
        for (let nth = 1; nth <= mostRegistrations; nth++)
          answers.push(await auth.post('/register', { ...ada, email: `user${nth}@example.com` }))
        expect(answers.map(({ status }) => status)).toEqual([...Array<number>(mostRegistrations - 1).fill(201), 429])
      })
    })

    describe('of keys', () => {
      interface Keys {
        readonly keys: readonly { readonly kid: string }[]
      }
      const kids = async (at = auth): Promise<readonly string[]> =>
        ((await at.get('/.well-known/jwks.json')).body as Keys).keys.map(({ kid }) => kid)
      const kidOf = (token: string) => decodeProtectedHeader(token).kid
      const minute = 60_000

      test('only public ones are shown, and they may be kept for a while', async () => {
        const answer = await auth.get('/.well-known/jwks.json')
        const { keys } = answer.body as { readonly keys: readonly object[] }
        expect(keys.map((key) => Object.keys(key).sort())).toEqual([['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']])
        expect(answer.headers.get('cache-control')).toBe('public, max-age=300')
      })

      test('replicas that start at once on an empty database have the same one', async () => {
        const empty = await newPlace()
        const started = await Promise.all([0, 1, 2].map(() => startAuth(empty, clock)))
        others.push(...started)
        const seen = await Promise.all(started.map((one) => kids(one)))
        expect(new Set(seen.flat()).size).toBe(1)
      })

      test('the next one is shown before it signs; the last one verifies until its tokens have expired', async () => {
        const [first = ''] = await kids()
        const day = 24 * 60 * minute
        clock.now += 7 * day - 10 * minute
        const replicas = [await another(), await another()] as const
        const shown = await kids(replicas[0])
        expect(shown.length).toBe(2)
        const second = shown[1] ?? ''
        // The old one signs on, at all of them, and each verifies what the others signed.
        for (const one of [auth, ...replicas]) {
          expect(await kids(one)).toEqual(shown)
          expect(kidOf((await one.logIn()).access_token)).toBe(first)
        }
        clock.now += 10 * minute - 1_000
        const { access_token: last } = await auth.logIn()
        expect(kidOf(last)).toBe(first)
        clock.now += 1_000
        for (const one of [auth, ...replicas]) {
          const { access_token: token } = await one.logIn()
          expect(kidOf(token)).toBe(second)
          for (const other of [auth, ...replicas]) expect((await other.get('/me', token)).status).toBe(200)
        }
        clock.now += 10 * minute - 2_000
        await another() // looks after the keys as it starts
        expect((await me(last)).status).toBe(200)
        expect(await kids(others.at(-1))).toEqual([first, second])
        clock.now += 3 * minute
        expect(await kids(await another())).toEqual([second])
        expect((await me(last)).status).toBe(401)
      })

      test('a private one is gone from the table once it signs no more', async () => {
        const sealed = async () => {
          const keys = (JSON.parse(await tables()) as SigningKeyRow[][])[3] ?? []
          return keys.sort((a, b) => a.generation - b.generation).map((row) => row.sealed_private_key)
        }
        expect(await sealed()).toEqual([expect.any(String)])
        clock.now += 7 * 24 * 60 * minute
        await another()
        clock.now += 10 * minute
        await another()
        expect(await sealed()).toEqual([expect.any(String), expect.any(String)])
        clock.now += 2 * minute
        await another()
        expect(await sealed()).toEqual([null, expect.any(String)])
      })

      test('a replica with another secret does not start, and says what to do', async () => {
        await expect(startAuth(place, clock, { secret: 'o'.repeat(32) })).rejects.toThrow(
          'sealed with another secret: start with that one (AUTH_KEY_SECRET',
        )
      })
    })

    test('neither tables nor the log hold a password, a token or a private key', async () => {
      const first = await auth.logIn()
      const { body } = await refresh(first.refresh_token)
      await refresh(first.refresh_token)
      await auth.post('/login', { ...ada, password: 'a wrong pass phrase' })
      await me(first.access_token)
      await policy('customer', `Bearer ${first.access_token}`)
      await auth.post('/logout', { refresh_token: (body as TokenPair).refresh_token })
      const written = (await tables()) + auth.lines.join('')
      expect(written).toContain(ada.email)
      expect(auth.lines.length).toBeGreaterThan(7)
      const all = [first, body as TokenPair].flatMap((pair) => [pair.access_token, pair.refresh_token])
      for (const told of [...all, ada.password, 'a wrong pass phrase', admin.password, '"d":'])
        expect(written.includes(told), told).toBe(false)
    })

    test('the users of a first look log in where that is meant, and nowhere else, even when they are there', async () => {
      const look = await another({ firstLook: true })
      for (const { role, email, password } of firstLookUsers) {
        const { access_token: token, refresh_token: next } = await look.logIn({ email, password })
        expect((await look.post(`/Authentication/${role}-policy`, { token })).status).toBe(200)
        expect(await auth.post('/login', { email, password })).toMatchObject({ status: 401, body: wrong })
        expect((await me(token)).status).toBe(401)
        expect((await refresh(next)).status).toBe(401)
      }
    })

    test('users are kept over a restart, an administrator with the password that he has by then', async () => {
      const { access_token: token } = await auth.logIn(admin)
      const change = { current_password: admin.password, new_password: 'quite another phrase' }
      await auth.post('/password', change, token)
      const { refresh_token: next } = await auth.logIn()
      await auth.close()
      auth = await startAuth(place, clock, { admin })
      expect((await refresh(next)).status).toBe(200)
      expect((await auth.post('/login', admin)).status).toBe(401)
      await auth.logIn({ ...admin, password: change.new_password })
    })

    test('sessions and counts that are over are removed', async () => {
      await auth.logIn()
      await auth.post('/login', { ...ada, password: 'not that one' })
      clock.now += 91 * 86_400_000
      await another()
      await expect
        .poll(async () => {
          const [, sessions, tokens, , attempts] = JSON.parse(await tables()) as object[][]
          return [sessions?.length, tokens?.length, attempts?.length]
        })
        .toEqual([0, 0, 0])
    })
  })
}
