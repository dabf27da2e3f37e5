import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { errorDetail } from '../http/error-shapes.ts'
import { createHttpServer, type HttpServer } from '../http/server.ts'
import { callerOf, vendors } from './access.ts'
import type { CallerOptions } from './caller.ts'
import type { Verdict } from './verifier.ts'

let server: HttpServer | undefined
afterEach(() => server?.close())

const verdicts: Readonly<Record<string, Verdict>> = {
  ada: { kind: 'user', user: { subject: 'u-1', email: 'ada@example.com', roles: ['vendor'] } },
  bob: { kind: 'user', user: { subject: 'u-2', email: 'bob@example.com', roles: ['customer'] } },
  'a vendor': { kind: 'somebody', role: 'vendor' },
  'a customer': { kind: 'somebody', role: 'customer' },
  away: { kind: 'unknown', why: 'the auth server does not answer' },
}
const access = (acceptUnnamed = false): CallerOptions => ({
  verify: async (token) => verdicts[token ?? ''] ?? { kind: 'refused', why: 'send a token' },
  acceptUnnamed,
})

async function serve(options: CallerOptions | undefined): Promise<HttpServer> {
  server = await createHttpServer({
    title: 'Test',
    version: '1.0.0',
    description: 'For tests',
    log: pino({ level: 'silent' }),
    ready: async () => ({}),
    errors: errorDetail,
    ...(options === undefined ? {} : { access: options }),
  })
  const response = { 200: z.string() }
  server.post(
    '/guarded',
    { config: { for: vendors }, schema: { response, body: z.object({ n: z.int() }) } },
    (request) => Promise.resolve(callerOf(request)?.email ?? 'nobody known'),
  )
  server.get('/open', { schema: { response } }, async () => 'open')
  server.get('/careless', { schema: { response } }, async (request) => callerOf(request)?.email ?? 'everybody')
  return server
}

async function asked(options: CallerOptions | undefined, authorization?: string, payload: unknown = { n: 1 }) {
  const headers = authorization === undefined ? {} : { authorization }
  const { statusCode, body } = await (
    await serve(options)
  ).inject({ method: 'POST', url: '/guarded', headers, payload: payload as object })
  await server?.close()
  return [statusCode, body]
}

test('who has the role is known to the route, and who has not is told which he lacks', async () => {
  expect(await asked(access(), 'ada')).toEqual([200, 'ada@example.com'])
  const lacks = JSON.stringify({
    detail:
      'this needs the role vendor or admin, and this token has customer: log in as somebody who has it, or ask an administrator for it',
  })
  expect(await asked(access(), 'bob')).toEqual([403, lacks])
  expect(await asked(access(true), 'a customer')).toEqual([403, lacks])
})

test('no token is 401, and one of which nothing is known now 503', async () => {
  expect(await asked(access())).toEqual([401, '{"detail":"send a token"}'])
  expect(await asked(access(), 'away')).toEqual([503, '{"detail":"the auth server does not answer"}'])
})

test('the yes of a foreign server counts, with its role, where a setting says that it is enough', async () => {
  expect(await asked(access(true), 'a vendor')).toEqual([200, 'nobody known'])
  expect((await asked(access(), 'a vendor'))[0]).toBe(403)
})

test('a token is looked at before what was sent', async () => {
  expect((await asked(access(), undefined, { n: 'x' }))[0]).toBe(401)
  expect((await asked(access(), 'ada', { n: 'x' }))[0]).toBe(400)
})

test('where there is nobody who knows users, no token is asked for', async () => {
  expect(await asked(undefined)).toEqual([200, 'nobody known'])
})

test.each([undefined, access()])(
  'a route that is for everybody asks for none, and may not look who asks',
  async (options) => {
    const inject = async (url: string) => (await server?.inject({ url }))?.statusCode
    await serve(options)
    expect([await inject('/open'), await inject('/careless')]).toEqual([200, 500])
  },
)

test('the API page says which routes want a token, where one is wanted', async () => {
  for (const [options, security] of [
    [undefined, undefined],
    [access(), [{ user: [] }]],
  ] as const) {
    await serve(options)
    const { paths } = (await server?.inject({ url: '/openapi.json' }))?.json<{
      readonly paths: Readonly<Record<string, Readonly<Record<string, { security?: unknown; responses: object }>>>>
    }>() ?? { paths: {} }
    const { post } = paths['/guarded'] ?? {}
    expect([post?.security, '401' in (post?.responses ?? {})]).toEqual([security, security !== undefined])
    expect(paths['/open']?.['get']?.security).toBeUndefined()
    await server?.close()
  }
})
