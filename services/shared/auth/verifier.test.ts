/** The verifier before our own Auth Service, and before foreign servers as they are described. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  importJWK,
  SignJWT,
  type JWK,
  type JWTPayload,
} from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ada, handClock, startAuth, type HandClock, type RunningAuth } from '../../auth/auth.testkit.ts'
import { sqlitePlace } from '../testing/places.ts'
import { authVerifier, type Verdict, type Verify } from './verifier.ts'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

interface Asked {
  readonly path: string
  readonly body: string
}

interface Foreign {
  readonly url: string
  readonly asked: Asked[]
  close(): Promise<void>
}

type Answering = (path: string, response: ServerResponse) => void

async function serve(answering: Answering): Promise<Foreign> {
  const asked: Asked[] = []
  const server = createServer((request: IncomingMessage, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      asked.push({ path: request.url ?? '', body })
      answering(request.url ?? '', response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  ends.push(close)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, close }
}

const say = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const refusedFor = (why: string): Verdict => ({ kind: 'refused', why: expect.stringContaining(why) as string })

/** A foreign server: no keys, and a status for each policy. */
const policies = (statuses: Readonly<Record<string, number>>) =>
  serve((path, response) => {
    const role = /^\/Authentication\/(\w+)-policy$/.exec(path)?.[1]
    say(response, role === undefined ? 404 : (statuses[role] ?? 401), { success: false, message: 'x' })
  })

describe('before our own Auth Service', () => {
  let clock: HandClock
  let auth: RunningAuth
  let verify: Verify
  let token: string

  beforeEach(async () => {
    clock = handClock()
    auth = await startAuth(await sqlitePlace(), clock)
    ends.push(() => auth.close())
    await auth.post('/register', ada)
    token = (await auth.logIn()).access_token
    verify = authVerifier({ url: () => auth.url, now: () => clock.now })
  })

  const requests = (path: string): number => auth.lines.filter((line) => line.includes(`"path":"${path}"`)).length

  test('a token says whose it is, with `Bearer ` or without, and the server is asked for its keys once', async () => {
    const user = { subject: decodeJwt(token).sub, email: ada.email, roles: ['customer'] }
    for (const header of [token, `Bearer ${token}`, `bearer ${token}`, `  ${token} `])
      expect(await verify(header)).toEqual({ kind: 'user', user })
    await Promise.all(Array.from({ length: 20 }, () => verify(token)))
    expect(requests('/.well-known/jwks.json')).toBe(1)
    expect(requests('/Authentication/customer-policy')).toBe(0)
  })

  test('who come at once before there are keys share one request for them', async () => {
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => verify(token)))
    expect(new Set(verdicts.map(({ kind }) => kind))).toEqual(new Set(['user']))
    expect(requests('/.well-known/jwks.json')).toBe(1)
  })

  test.each([undefined, '', ' ', 'Bearer', 'Bearer '])('the header %j is refused', async (header) => {
    expect(await verify(header)).toEqual(refusedFor('missing or empty'))
  })

  test.each([
    ['no token at all', 'nonsense'],
    ['two tokens', 'a b'],
    ['something endless', 'x'.repeat(100_000)],
    ['a token without its signature', 'eyJhbGciOiJub25lIn0.e30.'],
    ['other letters', 'é'],
  ])('%s is refused, and makes nobody look for keys again', async (_what, header) => {
    await verify(token)
    clock.now += 60_000
    expect(await verify(header)).toEqual(refusedFor(''))
    expect(requests('/.well-known/jwks.json')).toBe(1)
  })

  test('an expired token is refused as one, some seconds after its time', async () => {
    clock.now += 600_000 + 25_000
    expect(await verify(token)).toMatchObject({ kind: 'user' })
    clock.now += 10_000
    expect(await verify(token)).toEqual(refusedFor('expired'))
  })

  describe('a forgery', () => {
    const claims = (): JWTPayload => decodeJwt(token)
    const header = () => decodeProtectedHeader(token)
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const publicKey = async (): Promise<JWK> => {
      const { keys } = (await auth.get('/.well-known/jwks.json')).body as { readonly keys: readonly JWK[] }
      return keys[0] ?? {}
    }
    const signed = async (changes: {
      readonly claims?: object
      readonly header?: object
      readonly alg?: string
    }): Promise<string> => {
      const { privateKey } = await generateKeyPair(changes.alg ?? 'ES256')
      return new SignJWT({ ...claims(), ...changes.claims })
        .setProtectedHeader({ ...header(), alg: changes.alg ?? 'ES256', ...changes.header })
        .sign(privateKey)
    }
    const refusedBoth = async (forged: string): Promise<void> => {
      expect(await verify(forged)).toMatchObject({ kind: 'refused' })
      expect(await auth.get('/me', forged)).toMatchObject({ status: 401 })
    }

    test.each(['none', 'None', ''])('that says `alg` %j is refused', async (alg) => {
      await refusedBoth(`${encoded({ ...header(), alg })}.${encoded(claims())}.`)
    })

    test('by the public key as if it were a secret is refused', async () => {
      const jwk = await publicKey()
      for (const secret of [JSON.stringify(jwk), jwk.x ?? '', jwk.kid ?? ''])
        for (const alg of ['HS256', 'HS512']) {
          const forged = await new SignJWT(claims())
            .setProtectedHeader({ ...header(), alg })
            .sign(new TextEncoder().encode(secret.padEnd(64, 'x')))
          await refusedBoth(forged)
        }
    })

    test('by another key under the name of ours, or one that it brings along, is refused', async () => {
      await refusedBoth(await signed({}))
      const { publicKey: own } = await generateKeyPair('ES256', { extractable: true })
      await refusedBoth(await signed({ header: { jwk: await exportJWK(own) } }))
      await refusedBoth(await signed({ header: { jku: 'http://127.0.0.1:1/keys' } }))
      await refusedBoth(await signed({ alg: 'EdDSA' }))
    })

    test('that keeps the signature and changes what it says is refused', async () => {
      const [head = '', , signature = ''] = token.split('.')
      await refusedBoth(`${head}.${encoded({ ...claims(), roles: ['admin'] })}.${signature}`)
      await refusedBoth(`${head}.${encoded({ ...claims(), exp: 4_000_000_000 })}.${signature}`)
    })

    test('by a key that nobody knows makes the keys be fetched again, and so seldom that nobody is harmed', async () => {
      await verify(token)
      const stranger = await signed({ header: { kid: 'stranger' } })
      for (let nth = 0; nth < 20; nth++) expect(await verify(stranger)).toEqual(refusedFor('not known'))
      expect(requests('/.well-known/jwks.json')).toBe(1)
      clock.now += 5_001
      await Promise.all(Array.from({ length: 20 }, () => verify(stranger)))
      expect(requests('/.well-known/jwks.json')).toBe(2)
    })
  })

  test('a key that is new is found when a token names it', async () => {
    await verify(token)
    const other = await startAuth(await sqlitePlace(), clock)
    ends.push(() => other.close())
    await other.post('/register', ada)
    const { access_token: theirs } = await other.logIn()
    let url = auth.url
    const moving = authVerifier({ url: () => url, now: () => clock.now })
    expect(await moving(token)).toMatchObject({ kind: 'user' })
    url = other.url
    expect(await moving(theirs)).toMatchObject({ kind: 'refused' }) // asked a moment ago
    clock.now += 5_001
    expect(await moving(theirs)).toMatchObject({ kind: 'user' })
    expect(await moving(token)).toMatchObject({ kind: 'refused' })
  })

  test('when it is away, tokens are verified on by the keys that are known, for an hour; then nothing is known', async () => {
    await verify(token)
    await auth.close()
    clock.now += 300_001
    expect(await verify(token)).toMatchObject({ kind: 'user' })
    expect(await verify('nonsense')).toMatchObject({ kind: 'refused' })
    clock.now += 3_300_000
    expect(await verify(token)).toEqual({ kind: 'unknown', why: expect.stringContaining('does not answer') })
  })

  test('when it is away, a token of a key that is not known may be good: it is not refused', async () => {
    await verify(token)
    const key = await importJWK(
      { ...(await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)) },
      'ES256',
    )
    const newer = await new SignJWT(decodeJwt(token))
      .setProtectedHeader({ ...decodeProtectedHeader(token), alg: 'ES256', kid: 'newer' })
      .sign(key)
    await auth.close()
    clock.now += 5_001
    for (let nth = 0; nth < 2; nth++) expect(await verify(newer)).toMatchObject({ kind: 'unknown' })
    expect(await verify(token)).toMatchObject({ kind: 'user' })
  })
})

describe('of tokens that are signed with the right key', () => {
  /** A server whose private key the test has, so that it can say anything. */
  async function own() {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    const keys = [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }]
    const server = await serve((path, response) => say(response, path.endsWith('jwks.json') ? 200 : 500, { keys }))
    const verify = authVerifier({ url: () => server.url })
    const seconds = Math.floor(Date.now() / 1000)
    const good = {
      iss: 'ordersaga-auth',
      aud: 'ordersaga',
      sub: 'u',
      email: 'a@example.com',
      roles: ['vendor', 'runner'],
      sid: 's',
      iat: seconds,
      exp: seconds + 600,
    }
    const ask = (changes: object, typ = 'at+jwt') =>
      new SignJWT({ ...good, ...changes })
        .setProtectedHeader({ alg: 'ES256', typ, kid: 'k' })
        .sign(privateKey)
        .then(verify)
    return { ask, seconds }
  }

  test('one that says what ours say is read, with the roles that are known', async () => {
    const { ask } = await own()
    expect(await ask({})).toEqual({ kind: 'user', user: { subject: 'u', email: 'a@example.com', roles: ['vendor'] } })
  })

  test.each([
    ['another issuer', { iss: 'https://elsewhere.example' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'another' }],
    ['no audience', { aud: undefined }],
    ['no end', { exp: undefined }],
    ['no beginning', { iat: undefined }],
    ['a beginning that is to come', { nbf: 4_000_000_000 }],
    ['no subject', { sub: undefined }],
    ['no e-mail address', { email: undefined }],
    ['roles that are no list', { roles: 'admin' }],
  ])('one with %s is refused', async (_what, changes) => {
    const { ask } = await own()
    expect(await ask(changes)).toMatchObject({ kind: 'refused' })
  })

  test('one of another type, such as an id token, is refused', async () => {
    const { ask } = await own()
    expect(await ask({}, 'JWT')).toMatchObject({ kind: 'refused' })
  })
})

describe('before a foreign auth server', () => {
  const token = 'eyJhbGciOiJSUzI1NiJ9.eyJyb2xlc3MiOlsiQ3VzdG9tZXIiXX0.c2ln'

  test.each([
    ['customer', { customer: 200 }],
    ['vendor', { vendor: 200, admin: 200 }],
    ['admin', { admin: 204 }],
    ['customer', { customer: 200, vendor: 500 }],
    ['admin', { customer: 500, vendor: 400, admin: 200 }],
  ] as const)('the first policy that says yes gives the role %s, of nobody known', async (role, statuses) => {
    const server = await policies(statuses)
    expect(await authVerifier({ url: () => server.url })(`Bearer ${token}`)).toEqual({ kind: 'somebody', role })
    const roles = ['customer', 'vendor', 'admin']
    expect(server.asked.slice(1)).toEqual(
      roles.slice(0, roles.indexOf(role) + 1).map((one) => ({
        path: `/Authentication/${one}-policy`,
        body: JSON.stringify({ token }), // without `Bearer `, which it could not read
      })),
    )
  })

  test('three that say no refuse the token', async () => {
    const server = await policies({ vendor: 400 })
    expect(await authVerifier({ url: () => server.url })(token)).toEqual(refusedFor('for no role'))
  })

  test('a policy that cannot answer may have said yes: nobody is refused for that', async () => {
    for (const statuses of [{ customer: 500 }, { admin: 503 }, { vendor: 429 }]) {
      const server = await policies(statuses)
      expect(await authVerifier({ url: () => server.url })(token)).toMatchObject({ kind: 'unknown' })
    }
  })

  test('one that has no policies there, as one that is no auth server, has refused nobody', async () => {
    for (const status of [404, 405]) {
      const server = await policies({ customer: status, vendor: status, admin: status })
      expect(await authVerifier({ url: () => server.url })(token)).toEqual({
        kind: 'unknown',
        why: expect.stringContaining(`answers ${status}`) as string,
      })
    }
  })

  test('that it has no keys is asked once a minute', async () => {
    const clock = handClock()
    const server = await policies({ customer: 200 })
    const verify = authVerifier({ url: () => server.url, now: () => clock.now })
    const looks = (): number => server.asked.filter(({ path }) => path.endsWith('jwks.json')).length
    for (let nth = 0; nth < 5; nth++) await verify(token)
    expect(looks()).toBe(1)
    clock.now += 60_001
    await verify(token)
    expect(looks()).toBe(2)
  })

  test('a page instead of keys is none, and a token goes to no other server that it points to', async () => {
    const other = await policies({ customer: 200 })
    const server = await serve((path, response) => {
      if (path.endsWith('jwks.json')) response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')
      else response.writeHead(307, { location: other.url + path }).end()
    })
    expect(await authVerifier({ url: () => server.url })(token)).toMatchObject({ kind: 'unknown' })
    expect(other.asked).toEqual([])
  })

  test('one that sends whoever asks for its keys to a page has none', async () => {
    const server = await serve((path, response) => {
      if (path.endsWith('jwks.json')) response.writeHead(302, { location: '/login' }).end()
      else say(response, 200, { success: true })
    })
    expect(await authVerifier({ url: () => server.url })(token)).toEqual({ kind: 'somebody', role: 'customer' })
    expect(server.asked.map(({ path }) => path)).toEqual(['/.well-known/jwks.json', '/Authentication/customer-policy'])
  })

  test('one that is down, cuts off or only fails leaves it unknown', async () => {
    const gone = await policies({})
    await gone.close()
    const cutting = await serve((_path, response) => void response.destroy())
    const failing = await serve((_path, response) => say(response, 500, {}))
    for (const { url } of [gone, cutting, failing])
      expect(await authVerifier({ url: () => url })(token)).toEqual({
        kind: 'unknown',
        why: expect.stringMatching(/^the auth server (does not answer|answers 500), so nobody can be verified/),
      })
  })

  test('what is said of a token never repeats it', async () => {
    const server = await policies({})
    for (const url of [server.url, 'http://127.0.0.1:1'])
      expect(JSON.stringify(await authVerifier({ url: () => url })(token))).not.toContain(token.slice(0, 12))
  })
})
