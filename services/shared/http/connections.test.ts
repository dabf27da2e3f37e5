/** Clients that take sockets and give nothing: they starve nobody. */
import { pino } from 'pino'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { errorAlone } from './error-shapes.ts'
import { Connections, limitsFor, type ConnectionLimits } from './connections.ts'
import { listen } from './listen.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './server.ts'

const servers: HttpServer[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) await server.close()
})

async function serverWith(options: Partial<HttpServerOptions>, routes: (server: HttpServer) => void = () => undefined) {
  const lines: { readonly level: number; readonly msg: string }[] = []
  const server = await createHttpServer({
    title: 'Test',
    version: '1.0.0',
    description: 'A server for tests',
    log: pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) }),
    ready: async () => ({ database: true }),
    errors: errorAlone,
    ...options,
  })
  servers.push(server)
  routes(server)
  const url = await listen(server, '127.0.0.1', 0)
  const open = (): Promise<number> =>
    new Promise((resolve) => server.server.getConnections((_error, count) => resolve(count)))
  return { server, url, lines, open }
}

/** One that never ends its side, whatever it is told. */
async function stubborn(url: string, sent: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  sockets.push(socket)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(sent)
  return socket
}

const halfSent = {
  nothing: '',
  'half of its headers': 'POST /orders HTTP/1.1\r\nhost: localhost\r\n',
  'half of its body':
    'POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
}

const orders = (server: HttpServer): void => void server.post('/orders', async () => ({ done: true }))

test.each(Object.entries(halfSent))(
  'a connection over which comes %s ends in time, though its client never ends it',
  async (_what, sent) => {
    const { url, open } = await serverWith({ arrivalMs: 200 }, orders)
    const socket = await stubborn(url, sent)
    socket.pause() // reads nothing either
    await expect.poll(open, { timeout: 10_000 }).toBe(0)
  },
)

test.each(Object.entries(halfSent))(
  '100 connections over which comes %s leave room for one that asks',
  async (_what, sent) => {
    const { url, open } = await serverWith({ connections: new Connections({ most: 20, perClient: 20 }) }, orders)
    for (let count = 0; count < 100; count++) await stubborn(url, sent)
    const answer = await fetch(`${url}/health/live`)
    expect(answer.status).toBe(200)
    await expect.poll(open).toBeLessThanOrEqual(20)
  },
)

test('of two servers of a process the idle connections of one make room at the other', async () => {
  const connections = new Connections({ most: 10, perClient: 10 })
  const first = await serverWith({ connections })
  const second = await serverWith({ connections })
  for (let count = 0; count < 30; count++) await stubborn(first.url, '')
  expect((await fetch(`${second.url}/health/live`)).status).toBe(200)
  await expect.poll(async () => (await first.open()) + (await second.open())).toBeLessThanOrEqual(10)
})

/** A server whose `/slow` answers only once it is told to. */
async function slowServer(limits: ConnectionLimits) {
  let finish = (): void => undefined
  const finished = new Promise<void>((resolve) => (finish = resolve))
  let inHand = 0
  const running = await serverWith({ connections: new Connections(limits) }, (server) => {
    server.get('/slow', async () => {
      inHand += 1
      await finished
      return { done: true }
    })
  })
  const slow = [1, 2, 3].map(() => fetch(`${running.url}/slow`))
  await expect.poll(() => inHand).toBe(3)
  return { ...running, slow, finish }
}

test.each([
  [429, '3 connections are open from 127.0.0.1, the most for one client', { most: 10, perClient: 3 }],
  [503, '3 connections are open, the most for this process', { most: 3, perClient: 10 }],
])('where each connection has a request in hand, a further one is answered %d: %s', async (status, why, limits) => {
  const { url, lines, slow, finish, open } = await slowServer(limits)
  for (let count = 0; count < 2; count++) {
    const refused = await fetch(`${url}/slow`)
    expect([refused.status, refused.headers.get('retry-after'), await refused.json()]).toEqual([
      status,
      '1',
      { error: why },
    ])
    expect(refused.headers.get('connection')).toBe('close')
  }
  await expect.poll(open).toBe(3)
  finish()
  expect((await Promise.all(slow)).map((answer) => answer.status)).toEqual([200, 200, 200])
  expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
    [40, `${why}, each with a request in hand: further ones are turned away`],
  ])
})

test('whoever asks at once, all beside one another, is answered or hears why not', async () => {
  const { url, slow, finish } = await slowServer({ most: 10, perClient: 4 })
  const { hostname, port } = new URL(url)
  const answers = Array.from({ length: 100 }, async () => {
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    socket.write('GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    const [text] = (await once(socket, 'data')) as [Buffer]
    return text.toString().slice(9, 12)
  })
  expect(new Set(await Promise.all(answers))).toEqual(new Set(['200', '429']))
  finish()
  await Promise.all(slow)
})

test('of those that are turned away few are heard, and none stays', async () => {
  const { url, slow, finish, open } = await slowServer({ most: 10, perClient: 3 })
  for (let count = 0; count < 100; count++) await stubborn(url, '')
  await expect.poll(open).toBeLessThanOrEqual(3 + 16)
  await expect.poll(open, { timeout: 10_000 }).toBe(3)
  finish()
  await Promise.all(slow)
})

test('a client that does not read its answer loses its connection', async () => {
  const { url, open } = await serverWith({ unreadMs: 200 }, (server) => {
    server.get('/much', async () => 'x'.repeat(50_000_000))
  })
  const socket = await stubborn(url, 'GET /much HTTP/1.1\r\nhost: localhost\r\n\r\n')
  socket.pause()
  expect(await open()).toBe(1)
  await expect.poll(open, { timeout: 10_000 }).toBe(0)
})

test('a stream with nothing to say is left open', async () => {
  const { url, open } = await serverWith({ unreadMs: 50 }, (server) => {
    server.get('/stream', (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200).flushHeaders()
      setTimeout(() => reply.raw.end('late'), 300)
    })
  })
  const answer = await fetch(`${url}/stream`)
  expect(await open()).toBe(1)
  expect(await answer.text()).toBe('late')
})

test('descriptors are left for databases, however few a process may have', () => {
  expect(limitsFor(256)).toEqual({ most: 153, perClient: 76 })
  expect(limitsFor(1_048_576)).toEqual({ most: 8_192, perClient: 4_096 })
})
