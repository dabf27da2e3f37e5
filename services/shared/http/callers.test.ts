/** What a browser sends for pages that are not ours is refused. */
import { pino } from 'pino'
import { get } from 'node:http'
import { afterAll, expect, test } from 'vitest'
import { errorAlone } from './error-shapes.ts'
import { listen } from './listen.ts'
import { createHttpServer } from './server.ts'

const server = await createHttpServer({
  title: 'Test',
  version: '1.0.0',
  description: 'A server for tests',
  log: pino({ level: 'silent' }),
  ready: async () => ({ database: true }),
  errors: errorAlone,
  callers: { hosts: ['shop.example'], origins: ['https://pages.example'] },
})
afterAll(() => server.close())
let cancelled = 0
server.post('/cancel', async () => ({ cancelled: ++cancelled }))

const cancel = (headers: Record<string, string>) => server.inject({ method: 'POST', url: '/cancel', headers })

test.each(['localhost:3101', '127.0.0.1:3101', '[::1]:3101', '192.168.1.7', 'shop.example', 'SHOP.example:443'])(
  'the name %s is ours',
  async (host) => {
    expect((await cancel({ host })).statusCode).toBe(200)
  },
)

test.each([
  'evil.example:3101',
  'localhost.evil.example',
  '127.0.0.1.evil.example',
  'router',
  'a b',
  'x@localhost:1:2',
])('the name %s is not ours, and is answered 421 by every route', async (host) => {
  const before = cancelled
  const [posted, read] = [await cancel({ host }), await server.inject({ url: '/health/ready', headers: { host } })]
  expect([posted.statusCode, read.statusCode, cancelled]).toEqual([421, 421, before])
  expect(posted.json()).toEqual({ error: expect.stringContaining('ALLOWED_HOSTS') as string })
})

test.each(['http://evil.example', 'http://localhost:8000', 'null', 'https://pages.example.evil.example'])(
  'a page of %s can neither post nor read',
  async (origin) => {
    const before = cancelled
    const read = await server.inject({ url: '/health', headers: { host: 'localhost:3101', origin } })
    const posted = await cancel({ host: 'localhost:3101', origin })
    expect([posted.statusCode, read.statusCode, cancelled]).toEqual([403, 403, before])
    expect(posted.json()).toEqual({ error: expect.stringContaining('ALLOWED_ORIGINS') as string })
  },
)

test.each(['http://localhost:3101', 'http://localhost:5173', 'https://pages.example'])(
  'a page of %s may call',
  async (origin) => {
    expect((await cancel({ host: 'localhost:3101', origin })).statusCode).toBe(200)
  },
)

test('a page of a listed origin may read what it is answered', async () => {
  const answer = await cancel({ host: 'localhost:3101', origin: 'https://pages.example' })
  expect(answer.headers['access-control-allow-origin']).toBe('https://pages.example')
})

test.each([
  ['127.0.0.1', 421],
  ['::ffff:127.0.0.1', 421],
  ['172.17.0.2', 200],
])('a name without a dot, as containers have, over a connection to %s is answered %i', async (localAddress, status) => {
  if (!server.server.listening) await listen(server, '127.0.0.1', 0)
  const { port } = server.server.address() as { readonly port: number }
  server.server.once('connection', (socket) => Object.defineProperty(socket, 'localAddress', { value: localAddress }))
  const code = await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, agent: false as const, headers: { host: 'order:3002' } }
    get({ ...options, path: '/health/live' }, (answer) => resolve(answer.resume().statusCode)).on('error', reject)
  })
  expect(code).toBe(status)
})
