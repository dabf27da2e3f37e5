/**
 * What the Auth Service takes for a log-in and for the check of a token, beside what scrypt and a signature take by
 * themselves in the same run. The service is a process of its own; the client has the other core.
 */
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { passwordCost } from '../services/auth/domain.ts'
import { firstLookUsers } from '../services/auth/first-look.ts'
import { scryptPasswords } from '../services/auth/passwords.ts'
import { authVerifier } from '../services/shared/auth/verifier.ts'
import { builtMain } from '../tests/kit/built.ts'
import { startChild } from '../tests/kit/child.ts'
import { startPrivatePart } from '../tests/kit/private-part.ts'
import { freePorts } from '../tests/kit/system.ts'
import { until } from '../tests/kit/until.ts'
import { ask } from './buyer.ts'
import { head, print, row, whole } from './table.ts'

/** Of one account no more are looked at. */
const logInsAtOnce = 4
const checksAtOnce = 64
const [user = { email: '', password: '' }] = firstLookUsers
const credentials = JSON.stringify({ email: user.email, password: user.password })

/** How often a second that comes to its end, so many at once. */
async function rate(turns: number, atOnce: number, turn: () => Promise<unknown>): Promise<number> {
  let left = turns
  const lane = async (): Promise<void> => {
    while (left-- > 0) await turn()
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: atOnce }, lane))
  return turns / ((performance.now() - began) / 1000)
}

const share = (of: number, raw: number): string => `${Math.round((of / raw) * 100)} %`

async function measure(name: string, url: string, quick: boolean): Promise<void> {
  const logIn = async (): Promise<string> =>
    (JSON.parse(await ask('POST', `${url}/login`, 200, credentials)) as { readonly access_token: string }).access_token
  const token = await logIn() // keeps the password of a first look at its full cost
  const body = JSON.stringify({ token })
  const policy = (): Promise<string> => ask('POST', `${url}/Authentication/customer-policy`, 200, body)
  const [logIns, checks] = quick ? [40, 2_000] : [200, 20_000]

  const passwords = scryptPasswords(passwordCost)
  const kept = await passwords.hash(user.password)
  const scrypt = await rate(logIns / 4, logInsAtOnce, () => passwords.verify(user.password, kept))
  const loggedIn = await rate(logIns, logInsAtOnce, logIn)

  const keys = createLocalJWKSet(JSON.parse(await ask('GET', `${url}/.well-known/jwks.json`, 200)) as JSONWebKeySet)
  const verify = authVerifier({ url: () => url })
  const local = async (): Promise<void> => {
    const { kind } = await verify(`Bearer ${token}`)
    if (kind !== 'user') throw new Error(`a good token is ${kind}`)
  }
  for (const each of [() => jwtVerify(token, keys), local, policy]) await rate(checks / 10, checksAtOnce, each) // warm
  const signature = await rate(checks, checksAtOnce, () => jwtVerify(token, keys))
  const verified = await rate(checks, checksAtOnce, local)
  const nothing = await rate(checks / 4, checksAtOnce, () => ask('GET', `${url}/health/live`, 200))
  const asked = await rate(checks / 4, checksAtOnce, policy)

  row([`${name}, log-ins`, loggedIn.toFixed(1), `${scrypt.toFixed(1)} (scrypt)`, share(loggedIn, scrypt)])
  row([
    `${name}, tokens checked by the keys`,
    whole(verified),
    `${whole(signature)} (jose)`,
    share(verified, signature),
  ])
  row([
    `${name}, tokens checked by a policy`,
    whole(asked),
    `${whole(nothing)} (\`/health/live\`)`,
    share(asked, nothing),
  ])
}

async function measureOn(name: string, database: Readonly<Record<string, string>>, quick: boolean): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-bench-'))
  const [port = 0] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const variables = { ORDERSAGA_DIR: folder, AUTH_PORT: String(port), AUTH_FIRST_LOOK: 'true', LOG_LEVEL: 'warn' }
  const child = startChild(builtMain, ['auth'], { ...variables, ...database }, () => undefined)
  try {
    await until('the Auth Service is ready', 60_000, () =>
      ask('GET', `${url}/health/ready`, 200).then(
        () => true,
        () => false,
      ),
    )
    await measure(name, url, quick)
  } finally {
    await child.kill()
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function benchAuth(quick: boolean): Promise<void> {
  head(['on', 'a second', 'by itself', 'share'])
  await measureOn('SQLite', {}, quick)
  const server = await startPrivatePart('postgresql')
  try {
    await measureOn('PostgreSQL', { DATABASE_URL: new URL('/auth_db', server.url).href }, quick)
  } finally {
    await server.remove()
  }
  print('')
}
