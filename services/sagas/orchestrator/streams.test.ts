/** Event streams: their first and last bytes, and clients that do not read. */
import { connect, type Socket } from 'node:net'
import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import { errorAlone } from '../../shared/http/error-shapes.ts'
import { listen } from '../../shared/http/listen.ts'
import { createHttpServer, type HttpServer } from '../../shared/http/server.ts'
import { Streams, type EventStream, type StreamOptions } from './streams.ts'

const opened: (() => unknown)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

async function serve(options: StreamOptions, work: (stream: EventStream) => Promise<void>) {
  const server: HttpServer = await createHttpServer({
    title: 'Streams',
    version: '1',
    description: 'One stream',
    log: pino({ level: 'silent' }),
    ready: async () => ({}),
    errors: errorAlone,
  })
  const streams = new Streams(server, options)
  server.get('/', (_request, reply) => streams.run(reply, work))
  const url = new URL(await listen(server, '127.0.0.1', 0))
  opened.push(() => server.close())
  return { server, url, streams }
}

/** Resolves when the stream is over. */
const over = ({ signal }: EventStream): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve())
  })

test('the headers go out at once, and comments follow while nothing happens', async () => {
  const { url } = await serve({ heartbeatMs: 10 }, over)
  const answer = await fetch(url)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  const reader = answer.body?.getReader()
  const first = await reader?.read()
  expect(new TextDecoder().decode(first?.value)).toMatch(/^(:\n\n)+$/)
  await reader?.cancel()
})

test('an event has its id where it has one, and its data in one line', async () => {
  const { url } = await serve({}, async ({ send }) => {
    await send(7, { text: 'two\nlines' })
    await send(null, { last: true })
  })
  expect(await (await fetch(url)).text()).toBe('id: 7\ndata: {"text":"two\\nlines"}\n\ndata: {"last":true}\n\n')
})

test('who does not read is dropped, and little is kept for them meanwhile', async () => {
  const block = 'x'.repeat(64 * 1024)
  let sent = 0
  const { url, streams } = await serve({ slowMs: 50 }, async ({ send, signal }) => {
    while (!signal.aborted) {
      await send((sent += 1), { block })
    }
  })
  const deaf: Socket = connect(Number(url.port), url.hostname)
  opened.push(() => deaf.destroy())
  deaf.pause()
  deaf.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await expect.poll(() => sent, { timeout: 10_000 }).toBeGreaterThan(0)
  await expect.poll(() => streams.open, { timeout: 10_000 }).toBe(0)
  // What the kernel takes for it, and one block more.
  expect(sent).toBeLessThan(400)
})

test('where many do not read, those who have not for longest are dropped at once, and who reads goes on', async () => {
  const block = 'x'.repeat(256 * 1024)
  let [begun, sent] = [0, 0]
  const { url, streams } = await serve({ slowMs: 600_000, unreadBytes: 2 * 1024 * 1024 }, async ({ send, signal }) => {
    begun += 1
    for (let id = 1; !signal.aborted; id++) {
      await send(id, { block })
      sent += 1
    }
  })
  for (let count = 0; count < 30; count++) {
    const deaf = connect(Number(url.port), url.hostname)
    opened.push(() => deaf.destroy())
    deaf.on('error', () => undefined).pause()
    deaf.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  }
  await expect.poll(() => begun).toBe(30)
  let before = -1
  const stands = (): boolean => {
    const same = sent === before
    before = sent
    return same
  }
  await expect.poll(stands, { interval: 500 }).toBe(true)
  await expect.poll(() => streams.open).toBeLessThanOrEqual(8)
  const reader = (await fetch(url)).body?.getReader()
  for (let read = 0; read < 20 * block.length;) {
    const { done, value } = (await reader?.read()) ?? { done: true }
    expect(done).toBe(false)
    read += value?.length ?? 0
  }
  await reader?.cancel()
})

test('a stream that fails ends, so that its client comes again', async () => {
  const { url, streams } = await serve({}, async ({ send }) => {
    await send(1, {})
    throw new Error('the store is away')
  })
  expect(await (await fetch(url)).text()).toBe('id: 1\ndata: {}\n\n')
  expect(streams.open).toBe(0)
})

test('streams end with their server', async () => {
  const { url } = await serve({}, over)
  const answer = await fetch(url)
  for (const close of opened.splice(0)) await close()
  expect(await answer.text()).toBe('')
})

test('a client that has as many as it may is refused one more, and no other client is', async () => {
  let begun = 0
  const { server, url, streams } = await serve({ perClient: 2 }, async (stream) => {
    begun += 1
    if (begun <= 2) await over(stream)
  })
  const [first] = [await fetch(url), await fetch(url)]
  const refused = await fetch(url)
  expect([refused.status, refused.headers.get('retry-after'), await refused.json()]).toEqual([
    429,
    '5',
    {
      error: '2 streams are open from 127.0.0.1, the most for one client: close some, or set STREAMS_PER_CLIENT higher',
    },
  ])
  expect((await server.inject({ url: '/', remoteAddress: '10.0.0.7' })).statusCode).toBe(200)
  await first.body?.cancel()
  await expect.poll(() => streams.open).toBe(1)
  expect((await fetch(url)).status).toBe(200)
})
