/** For tests: an Auth Service with a clock that is moved by hand, cheap passwords and a log that is kept. */
import { pino } from 'pino'
import { call, type Answered } from '../shared/testing/call.ts'
import type { Place } from '../shared/testing/running.ts'
import { scryptPasswords } from './passwords.ts'
import { openAuthService, type AuthServiceOptions } from './service.ts'

const cheap = { log2N: 4, r: 8, p: 1 } as const
const secret = 's'.repeat(32)
export const ada = { email: 'ada@example.com', password: 'a long pass phrase' } as const

export interface HandClock {
  now: number
}

/** Far from any edge of a second. */
export const handClock = (): HandClock => ({ now: 1_800_000_000_500 })

export interface TokenPair {
  readonly access_token: string
  readonly refresh_token: string
}

export interface RunningAuth {
  readonly url: string
  /** All lines of the log so far. */
  readonly lines: readonly string[]
  get(path: string, token?: string): Promise<Answered>
  post(path: string, json?: unknown, token?: string): Promise<Answered>
  put(path: string, json?: unknown, token?: string): Promise<Answered>
  /** @throws Error where that is not answered with tokens */
  logIn(credentials?: { readonly email: string; readonly password: string }): Promise<TokenPair>
  close(): Promise<void>
}

export async function startAuth(
  place: Place,
  clock: HandClock,
  options: Partial<AuthServiceOptions> = {},
): Promise<RunningAuth> {
  const lines: string[] = []
  const service = await openAuthService({
    database: place.target,
    host: '127.0.0.1',
    port: 0,
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
    now: () => clock.now,
    secret,
    passwords: scryptPasswords(cheap),
    firstLook: false,
    trustedProxies: [],
    ...options,
  })
  service.begin()
  const asked = (method: string, path: string, json: unknown, token: string | undefined): Promise<Answered> =>
    call(method, service.url + path, {
      ...(json === undefined ? {} : { json }),
      ...(token === undefined ? {} : { headers: { authorization: token } }),
    })
  return {
    url: service.url,
    lines,
    get: (path, token) => asked('GET', path, undefined, token),
    post: (path, json, token) => asked('POST', path, json, token),
    put: (path, json, token) => asked('PUT', path, json, token),
    async logIn(credentials = ada) {
      const { status, body, text } = await asked('POST', '/login', credentials, undefined)
      if (status !== 200) throw new Error(`the log-in is answered ${status} ${text}`)
      return body as TokenPair
    },
    close: () => service.close(),
  }
}
