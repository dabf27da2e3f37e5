/** What goes through the front door, what does not, and what becomes of it when either side breaks off. */
import { request as rawRequest, type IncomingMessage, type RequestListener } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { call } from '../shared/testing/call.ts'
import { answering, follow, openDoor, upstreamAt, type Answering } from './gateway.testkit.ts'
import { InHand } from './in-hand.ts'
import type { GatewayOptions } from './service.ts'
import type { Place } from './upstream.ts'

const opened: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

async function doorTo(handler: RequestListener, options: Partial<GatewayOptions> = {}, ...places: readonly Place[]) {
  const upstream = await answering(handler)
  opened.push(() => upstream.close())
  const door = await openDoor([upstreamAt(upstream.url, 'shop', ...places)], options)
  let closing: Promise<void> | null = null
  const close = (): Promise<void> => (closing ??= door.close())
  opened.push(close)
  return { url: door.url, upstream, close }
}

/** All of a request, as an upstream sees it. */
async function seen(request: IncomingMessage) {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return { method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks) }
}

/** Answers with what it saw. */
const mirror: RequestListener = (request, response) =>
  void seen(request).then((all) => response.end(JSON.stringify({ ...all, body: all.body.toString() })))

interface Mirrored {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const mirrored = ({ body }: { readonly body: unknown }): Mirrored => body as Mirrored

/** Over a connection of its own, with headers that fetch would not send. */
function raw(url: string, headers: Readonly<Record<string, string>>, path = '/shop/x'): Promise<Mirrored> {
  return new Promise((resolve, reject) => {
    const asked = rawRequest(`${url}${path}`, { headers, agent: false }, (answer) => {
      void answer
        .toArray()
        .then((parts) => resolve(JSON.parse(Buffer.concat(parts as Buffer[]).toString()) as Mirrored))
    })
    asked.on('error', reject)
    asked.end()
  })
}

describe('a request', () => {
  test('goes on with its method, path, query, headers and body as they are, without the prefix', async () => {
    const { url } = await doorTo(mirror)
    const body = '{ "price": 12.990, "text": "ä" }\n'
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'idempotency-key': 'k-1',
      'last-event-id': '7',
      traceparent: '00-1-2-01',
    }
    const got = mirrored(await call('PUT', `${url}/shop/a%2Fb?x=1&y=%20&x=2`, { body, headers }))
    expect(got).toMatchObject({ method: 'PUT', url: '/a%2Fb?x=1&y=%20&x=2', body, headers })
    expect(got.headers['content-length']).toBe(String(Buffer.byteLength(body)))
  })

  test.each(['GET', 'DELETE', 'POST', 'PATCH', 'OPTIONS'])(
    '%s goes on without a body where it has none',
    async (method) => {
      const { url } = await doorTo(mirror)
      expect(mirrored(await call(method, `${url}/shop`))).toMatchObject({ method, url: '/', body: '' })
    },
  )

  test('goes on under the same path where the service has the prefix itself', async () => {
    const { url } = await doorTo(mirror, {}, { prefix: '/saga/shop', kept: true })
    const got = mirrored(await call('POST', `${url}/saga/shop/start?a=b`, { json: {} }))
    expect([got.url, got.headers['x-forwarded-prefix']]).toEqual(['/saga/shop/start?a=b', undefined])
  })

  test('tells the upstream who asked, where and for what, and not what the client says of that', async () => {
    const { url, upstream } = await doorTo(mirror)
    const { host } = new URL(url)
    const claims = {
      'x-forwarded-for': '10.0.0.1',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-forwarded-prefix': '/evil',
      'x-forwarded-port': '1',
      'x-real-ip': '10.0.0.1',
      forwarded: 'for=10.0.0.1',
    }
    const { headers } = await raw(url, claims)
    const told = Object.entries(headers).filter(([name]) => /forwarded|real-ip|^host$/.test(name))
    expect(Object.fromEntries(told)).toEqual({
      host: new URL(upstream.url).host,
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': host,
      'x-forwarded-proto': 'http',
      'x-forwarded-prefix': '/shop',
    })
  })

  test('goes on without what concerns its connection only', async () => {
    const { url } = await doorTo(mirror)
    const { headers } = await raw(url, {
      connection: 'keep-alive, X-Private, X-Forwarded-For',
      'keep-alive': 'timeout=5',
      'x-private': '1',
      te: 'trailers',
      'proxy-authorization': 'Basic x',
      upgrade: 'h2c',
      'x-public': '2',
    })
    expect(headers).toMatchObject({ 'x-public': '2', 'x-forwarded-for': '127.0.0.1' })
    for (const name of ['keep-alive', 'x-private', 'te', 'proxy-authorization', 'upgrade'])
      expect([name, headers[name]]).toEqual([name, undefined])
  })

  test.each([
    ['with its length', 'x'.repeat(1_048_576), {}],
    ['in chunks', 'x'.repeat(1_048_576), { 'transfer-encoding': 'chunked' }],
    ['after asking whether it may', 'x'.repeat(1_048_576), { expect: '100-continue' }],
  ] as const)('may have a body of 1 MiB, sent %s', async (_how, body, headers) => {
    const { url } = await doorTo(mirror)
    const got = await new Promise<Mirrored>((resolve, reject) => {
      const asked = rawRequest(`${url}/shop/x`, { method: 'POST', headers, agent: false }, (answer) => {
        void answer.toArray().then((all) => resolve(JSON.parse(Buffer.concat(all as Buffer[]).toString()) as Mirrored))
      })
      asked.on('error', reject)
      asked.end(body)
    })
    expect([got.body === body, got.headers['content-length']]).toEqual([true, '1048576'])
  })

  test('with a larger body is refused, and its upstream hears nothing of it', async () => {
    let heard = 0
    const { url } = await doorTo((_request, response) => response.end(String((heard += 1))))
    const answer = await call('POST', `${url}/shop/x`, { body: 'x'.repeat(1_048_577) })
    const sentence = 'the body is larger than 1048576 bytes, the most that is taken here: send less at once'
    expect([answer.status, answer.body, heard]).toEqual([
      413,
      { type: 'about:blank', title: 'Payload Too Large', status: 413, detail: sentence, error: sentence },
      0,
    ])
  })

  test('with headers that are too large is refused', async () => {
    const { url } = await doorTo(mirror)
    expect((await call('GET', `${url}/shop/x`, { headers: { 'x-much': 'x'.repeat(20_000) } })).status).toBe(431)
  })
})

describe('an answer', () => {
  test('comes back with its status, headers and body as they are', async () => {
    const { url } = await doorTo((_request, response) => {
      response.writeHead(418, 'whatever', {
        'content-type': 'text/x-tea',
        'set-cookie': ['a=1', 'b=2'],
        'retry-after': '7',
        'x-next': 'there',
        connection: 'X-Private',
        'x-private': '1',
      })
      response.end('short and stout')
    })
    const { status, headers, text } = await call('GET', `${url}/shop/x`)
    expect([status, text, headers.getSetCookie()]).toEqual([418, 'short and stout', ['a=1', 'b=2']])
    expect(['content-type', 'retry-after', 'x-next', 'x-private'].map((name) => headers.get(name))).toEqual([
      'text/x-tea',
      '7',
      'there',
      null,
    ])
  })

  test('may be large', async () => {
    const body = Buffer.alloc(20_000_000, 'ordersaga')
    const { url } = await doorTo((_request, response) => response.end(body))
    const answer = Buffer.from(await (await fetch(`${url}/shop/x`)).arrayBuffer())
    expect(answer.equals(body)).toBe(true)
  })

  test('that says "ask again later" is passed on, and not asked again here', async () => {
    let asked = 0
    const { url } = await doorTo((_request, response) => {
      asked += 1
      response.writeHead(503, { 'retry-after': '1' }).end()
    })
    const answer = await call('GET', `${url}/shop/x`)
    expect([answer.status, answer.headers.get('retry-after'), asked]).toEqual([503, '1', 1])
  })

  test.each([
    ['/docs/', '/shop/docs/'],
    ['//elsewhere.example/x', '//elsewhere.example/x'],
    ['https://elsewhere.example/x', 'https://elsewhere.example/x'],
    ['next', 'next'],
  ])('that leads to %s leads to %s', async (to, expected) => {
    const { url } = await doorTo((_request, response) => response.writeHead(302, { location: to }).end())
    const answer = await fetch(`${url}/shop/x`, { redirect: 'manual' })
    expect([answer.status, answer.headers.get('location')]).toEqual([302, expected])
  })
})

describe('an upstream that fails', () => {
  test('is named, with what that means for the request', async () => {
    const { url, upstream } = await doorTo((request) => request.socket.destroy())
    const detailOf = async (method: string) => {
      const { status, headers, body } = await call(method, `${url}/shop/x`)
      return [status, headers.get('retry-after'), (body as { readonly detail: string }).detail]
    }
    const broke = 'shop (The shop) broke off before it answered:'
    expect(await detailOf('POST')).toEqual([
      502,
      null,
      `${broke} whether it has done what was asked is not known, so look before you ask again`,
    ])
    expect(await detailOf('GET')).toEqual([502, null, `${broke} try again in a moment`])
    await upstream.close()
    expect(await detailOf('POST')).toEqual([
      503,
      '2',
      'shop (The shop) cannot be reached, so nothing was done: start it, or try again in a moment',
    ])
  })

  test('to answer in time is not waited for', async () => {
    const { url } = await doorTo(() => undefined, { answerMs: 50 })
    const { status, body } = await call('POST', `${url}/shop/x`, { json: {} })
    expect([status, (body as { readonly detail: string }).detail]).toEqual([
      504,
      'shop (The shop) has not answered in time: whether it has done what was asked is not known, so look before you ask again',
    ])
  })

  test.each(['application/json', 'text/event-stream'])(
    'in the middle of an answer of %s cuts it off: nobody takes the part for the whole',
    async (type) => {
      const { url, upstream } = await doorTo((_request, response) => {
        response.writeHead(200, { 'content-type': type }).write('data: 1\n\n')
      })
      const stream = await follow(`${url}/shop/x`)
      await expect.poll(stream.text).toBe('data: 1\n\n')
      await upstream.close()
      await expect.poll(stream.ended).toBe('cut')
    },
  )

  test('is back as soon as it listens again', async () => {
    const { url, upstream } = await doorTo(mirror)
    const { port } = new URL(upstream.url)
    expect((await call('GET', `${url}/shop/x`)).status).toBe(200)
    await upstream.close()
    expect((await call('GET', `${url}/shop/x`)).status).toBe(503)
    const again: Answering['server'] = upstream.server.listen(Number(port), '127.0.0.1')
    await expect.poll(() => again.listening).toBe(true)
    expect((await call('GET', `${url}/shop/x`)).status).toBe(200)
  })
})

describe('an event stream', () => {
  /** One that is open until a test ends it. */
  const silent = () => {
    const open = new Set<Parameters<RequestListener>[1]>()
    const handler: RequestListener = (_request, response) => {
      open.add(response)
      response.on('close', () => open.delete(response))
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).flushHeaders()
    }
    return { open, handler }
  }

  test('begins at once, comes as it goes, and ends as it ends', async () => {
    const { open, handler } = silent()
    const { url } = await doorTo(handler, { answerMs: 1_000 })
    const stream = await follow(`${url}/shop/x`)
    expect([stream.answer.statusCode, stream.answer.headers['cache-control'], stream.text()]).toEqual([
      200,
      'no-store',
      '',
    ])
    const [response] = open
    for (const part of ['id: 1\n', 'data: a\n\n', ':\n\n']) {
      const before = stream.text()
      response?.write(part)
      await expect.poll(stream.text).toBe(before + part)
    }
    response?.end()
    await expect.poll(stream.ended).toBe('whole')
  })

  test('is ended at its upstream when its client goes, and so is a request that is not answered yet', async () => {
    const { open, handler } = silent()
    let unanswered = 0
    const { url } = await doorTo((request, response) => {
      if (request.url !== '/slow') return handler(request, response)
      unanswered += 1
      response.on('close', () => (unanswered -= 1))
    })
    const streams = [await follow(`${url}/shop/x`), await follow(`${url}/shop/x`)]
    expect(open.size).toBe(2)
    streams[0]?.leave()
    await expect.poll(() => open.size).toBe(1)
    const leaving = new AbortController()
    const asked = fetch(`${url}/shop/slow`, { signal: leaving.signal }).catch((error: Error) => error.name)
    await expect.poll(() => unanswered).toBe(1)
    leaving.abort()
    expect(await asked).toBe('AbortError')
    await expect.poll(() => unanswered).toBe(0)
    expect(open.size).toBe(1)
  })

  test('that nobody reads stops its upstream, and little of it is kept here', async () => {
    let sent = 0
    const { url } = await doorTo((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const write = (): void => {
        while (!response.destroyed && response.write('x'.repeat(65_536))) sent += 1
        response.once('drain', write)
      }
      write()
    })
    const stream = await follow(`${url}/shop/x`)
    stream.answer.pause()
    let before = -1
    await expect
      .poll(
        () => {
          const stands = sent === before
          before = sent
          return stands
        },
        { interval: 500 },
      )
      .toBe(true)
    // What the kernel takes for four sockets, and a little for each of us.
    expect(sent).toBeLessThan(400)
    stream.leave()
  })

  test('ends with the front door, which waits for none', async () => {
    const { open, handler } = silent()
    const { url, close } = await doorTo(handler)
    const stream = await follow(`${url}/shop/x`)
    await close()
    await expect.poll(stream.ended).toBe('whole')
    await expect.poll(() => open.size).toBe(0)
  })

  test('takes the place of a request: one client has so many, and all have', async () => {
    const { handler } = silent()
    const { url } = await doorTo(handler, { inHand: new InHand({ most: 10, perClient: 2 }) })
    const streams = [await follow(`${url}/shop/x`), await follow(`${url}/shop/x`)]
    const refused = await call('GET', `${url}/shop/x`)
    expect([refused.status, refused.headers.get('retry-after'), refused.body]).toMatchObject([
      429,
      '1',
      { detail: '2 of your requests and streams are open here already: end some, or try again' },
    ])
    expect((await call('GET', `${url}/health/live`)).status).toBe(200)
    streams[0]?.leave()
    await expect
      .poll(async () => {
        const { answer, leave } = await follow(`${url}/shop/x`)
        leave()
        return answer.statusCode
      })
      .toBe(200)
  })
})

test('of all clients together no more than may are let in, and one that ends makes room', () => {
  const inHand = new InHand({ most: 3, perClient: 2 })
  const ends = ['a', 'a', 'b'].map((client) => inHand.begin(client))
  const refused = (client: string, status: number): void =>
    expect(() => inHand.begin(client)).toThrow(expect.objectContaining({ status }))
  refused('a', 429)
  for (const client of ['b', 'c']) refused(client, 503)
  ends[2]?.()
  refused('a', 429)
  inHand.begin('c')
})
