import { pino } from 'pino'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { errorAlone, failureWithError } from './error-shapes.ts'
import { HttpError } from './http-error.ts'
import { listen } from './listen.ts'
import { mountMessages } from './messages.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './server.ts'

const running: HttpServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.close()
})

interface Line {
  readonly msg: string
  readonly [field: string]: unknown
}

async function serverWith(options: Partial<HttpServerOptions> = {}, routes: (server: HttpServer) => void = () => {}) {
  const lines: Line[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) })
  const server = await createHttpServer({
    title: 'Test',
    version: '1.2.3',
    description: 'A server for tests',
    log,
    ready: async () => ({ database: true }),
    errors: failureWithError,
    ...options,
  })
  running.push(server)
  routes(server)
  return { server, lines }
}

const Order = z.object({
  customer_id: z.string().min(1),
  order_details: z.object({ fee: z.union([z.number(), z.string()]).optional() }).loose(),
  items: z.array(z.object({ quantity: z.int() })).optional(),
  kind: z.enum(['small', 'large']).optional(),
  even: z
    .number()
    .refine((value) => value % 2 === 0, 'send an even number')
    .optional(),
  count: z.int().min(1).max(10).optional(),
  names: z.array(z.string().min(1).max(5)).min(1).optional(),
  reply: z.object({ value: z.unknown().nonoptional() }).optional(),
})

const orders = (server: HttpServer): void => {
  server.post('/orders', { schema: { body: Order } }, async (request) => ({ got: request.body.customer_id }))
}

const postTo = (server: HttpServer, payload: unknown, headers: Record<string, string> = {}) =>
  server.inject({
    method: 'POST',
    url: '/orders',
    headers: { 'content-type': 'application/json', ...headers },
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  })

const errorOf = (answer: { json: () => unknown }): unknown => (answer.json() as { error: unknown }).error

describe('a request with a mistake is answered 400 with what to do', () => {
  const good = { customer_id: 'c', order_details: {} }
  test.each([
    ['a missing field', { order_details: {} }, 'customer_id is missing: send a text'],
    ['a wrong type', { ...good, customer_id: 5 }, 'customer_id must be a text, not a number'],
    ['an inner wrong type', { ...good, items: [{ quantity: 'x' }] }, 'items[0].quantity must be a number, not a text'],
    ['a fraction', { ...good, items: [{ quantity: 1.5 }] }, 'items[0].quantity must be a whole number'],
    ['no alternative', { ...good, order_details: { fee: [] } }, 'order_details.fee must be a number or a text'],
    ['no listed value', { ...good, kind: 'tiny' }, 'kind must be "small" or "large"'],
    ["the schema's own sentence", { ...good, even: 3 }, 'even: send an even number'],
    ['too small a number', { ...good, count: 0 }, 'count must be at least 1'],
    ['too large a number', { ...good, count: 11 }, 'count must be at most 10'],
    ['too short a list', { ...good, names: [] }, 'names must have at least 1 item'],
    ['too short a text', { ...good, names: [''] }, 'names[0] must have at least 1 character'],
    ['too long a text', { ...good, names: ['abcdef'] }, 'names[0] must have at most 5 characters'],
    ['a missing value of any kind', { ...good, reply: {} }, 'reply.value is missing: send a value'],
    ['a list as body', [], 'the body must be an object, not a list'],
    ['no body', '', 'the body is missing: send an object'],
    [
      'too much nesting',
      `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`,
      'the body is nested more than 100 levels deep: send a flatter one',
    ],
    [
      'a field named __proto__',
      '{"a":[{"__proto__":{"admin":true}}]}',
      'the body holds a field named __proto__, which is not taken: leave it out',
    ],
    [
      'a constructor with a prototype',
      '{"constructor":{"prototype":{"admin":true}}}',
      'the body holds a field named constructor, which is not taken: leave it out',
    ],
    ['a huge number', '{"a":1e999}', 'the body holds a number that is too large: send a smaller one'],
    [
      'a NUL',
      '{"a":"\\u0000"}',
      'the body holds a text with a character that cannot be stored (NUL or half a surrogate pair): leave it out',
    ],
    [
      'half a surrogate pair',
      '{"\\ud800":1}',
      'the body holds a text with a character that cannot be stored (NUL or half a surrogate pair): leave it out',
    ],
  ])('%s', async (_name, payload, sentence) => {
    const { server } = await serverWith({}, orders)
    const answer = await postTo(server, payload)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toEqual({ success: false, error: sentence })
  })

  test('several mistakes: the first three are named, the others counted', async () => {
    const { server } = await serverWith({}, orders)
    const answer = await postTo(server, { order_details: 1, items: 1, kind: 1, even: 'x' })
    expect(errorOf(answer)).toMatch(/^customer_id is missing: send a text; order_details must be .*; and 2 more$/)
  })

  test('what is not JSON', async () => {
    const { server } = await serverWith({}, orders)
    const answer = await postTo(server, '{"a":')
    expect(answer.statusCode).toBe(400)
    expect(errorOf(answer)).toMatch(/^the body is not JSON \(.+\): send one JSON object$/)
  })

  test('what is not UTF-8', async () => {
    const { server } = await serverWith({}, orders)
    const latin1 = Buffer.from('{"customer_id":"Zoë","order_details":{}}', 'latin1')
    const answer = await server.inject({
      method: 'POST',
      url: '/orders',
      headers: { 'content-type': 'application/json' },
      payload: latin1,
    })
    expect([answer.statusCode, errorOf(answer)]).toEqual([400, 'the body is not UTF-8: encode its text so'])
    expect((await postTo(server, '{"customer_id":"Zoë","order_details":{}}')).body).toBe('{"got":"Zoë"}')
  })

  test('a text in the query that is no number', async () => {
    const querystring = z.object({ limit: z.coerce.number().int().min(1) })
    const { server } = await serverWith({}, (own) => void own.get('/list', { schema: { querystring } }, async () => []))
    const sentence = async (value: string) => errorOf(await server.inject(`/list?limit=${value}`))
    expect(await sentence('abc')).toBe('limit must be a number')
    expect(await sentence('1.5')).toBe('limit must be a whole number')
    expect(await sentence('0')).toBe('limit must be at least 1')
  })

  test('a NUL in the address, or one that cannot be decoded', async () => {
    const { server } = await serverWith({}, (own) => void own.get('/orders/:id', async () => 'found'))
    for (const url of ['/orders/a%00', '/orders/a?x=%00', '/orders/%zz']) {
      const answer = await server.inject(url)
      expect(answer.statusCode, url).toBe(400)
      expect(answer.json()).toEqual({ success: false, error: expect.any(String) })
    }
  })
})

test('a body that is not declared as JSON is answered 415; an empty one needs no declaration', async () => {
  const { server } = await serverWith({}, (own) => {
    orders(own)
    own.post('/cancel', async () => ({ done: true }))
  })
  for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'garbage']) {
    const answer = await postTo(server, 'a=b', { 'content-type': type })
    expect(answer.statusCode, type).toBe(415)
    expect(errorOf(answer), type).toContain('Content-Type: application/json')
  }
  for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
    const cancelled = await server.inject({
      method: 'POST',
      url: '/cancel',
      headers: { 'content-type': type },
      payload: '',
    })
    expect(cancelled.statusCode).toBe(200)
  }
})

test('answers are compact JSON', async () => {
  const { server } = await serverWith({}, orders)
  expect((await postTo(server, { customer_id: 'c', order_details: {} })).body).toBe('{"got":"c"}')
})

test('an unknown route is answered 404 in the error shape', async () => {
  const { server } = await serverWith()
  const answer = await server.inject('/nowhere?secret=1')
  expect(answer.statusCode).toBe(404)
  expect(answer.json()).toEqual({
    success: false,
    error: 'there is no GET /nowhere here: /docs lists what there is',
  })
})

test('an unexpected error reaches the log whole and the client as a request id', async () => {
  const { server, lines } = await serverWith({}, (own) => {
    own.get('/broken', async () => {
      throw new Error('password of the database is hunter2')
    })
  })
  const answer = await server.inject('/broken')
  expect(answer.statusCode).toBe(500)
  const [line] = lines.filter(({ msg }) => msg === 'a request failed unexpectedly')
  expect(line?.['err']).toMatchObject({ message: 'password of the database is hunter2' })
  expect(errorOf(answer)).toContain(line?.['requestId'])
  expect(answer.headers['x-request-id']).toBe(line?.['requestId'])
  expect(answer.body).not.toMatch(/hunter2|server\.test/)
})

test('an error that claims a status below 500 but is not ours stays unexpected', async () => {
  const { server } = await serverWith({}, (own) => {
    own.get('/broken', async () => {
      throw Object.assign(new Error('inside'), { statusCode: 404 })
    })
  })
  const answer = await server.inject('/broken')
  expect(answer.statusCode).toBe(500)
  expect(answer.body).not.toContain('inside')
})

test.each([
  ['GET', 'the database does not answer: send it again in a moment'],
  ['POST', 'the database does not answer, and whether this took effect is not known: send it again in a moment'],
] as const)(
  'while the database is away a %s is answered 503 with when to come back, and one warning',
  async (method, told) => {
    const { server, lines } = await serverWith({}, (own) => {
      own.route({
        method,
        url: '/away',
        handler: async () => {
          throw Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ECONNREFUSED' })
        },
      })
    })
    const answer = await server.inject({ method, url: '/away' })
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '2'])
    expect(errorOf(answer)).toBe(told)
    expect(lines.filter((line) => Number(line['level']) > 30)).toEqual([
      expect.objectContaining({
        level: 40,
        msg: 'the database cannot be used; a request was turned away',
        err: expect.objectContaining({ code: 'ECONNREFUSED' }),
      }),
    ])
  },
)

test('a route answers by throwing, in a shape of its own where it has one', async () => {
  const { server } = await serverWith({}, (own) => {
    const busy = async (): Promise<never> => {
      throw new HttpError(503, 'busy: ask again', 2)
    }
    own.get('/usual', busy)
    own.get('/own', { config: { errors: errorAlone } }, busy)
  })
  const usual = await server.inject('/usual')
  expect([usual.statusCode, usual.headers['retry-after']]).toEqual([503, '2'])
  expect(usual.json()).toEqual({ success: false, error: 'busy: ask again' })
  expect((await server.inject('/own')).json()).toEqual({ error: 'busy: ask again' })
})

describe('health', () => {
  test('healthy while the parts answer', async () => {
    const { server } = await serverWith()
    expect((await server.inject('/health')).body).toBe('{"status":"healthy"}')
    expect((await server.inject('/health/ready')).json()).toEqual({ status: 'ready', parts: { database: true } })
  })

  test('a part that does not answer is named with 503, while the process is alive', async () => {
    const { server } = await serverWith({ ready: async () => ({ database: false, transport: true }) })
    const health = await server.inject('/health')
    expect([health.statusCode, health.json()]).toEqual([503, { status: 'unhealthy', failed: ['database'] }])
    const ready = await server.inject('/health/ready')
    expect([ready.statusCode, ready.json()]).toEqual([
      503,
      { status: 'not ready', failed: ['database'], parts: { database: false, transport: true } },
    ])
    expect((await server.inject('/health/live')).json()).toEqual({ status: 'alive' })
  })

  test('a check that fails or never ends is 503, not an error', async () => {
    const rejects = await serverWith({ ready: async () => Promise.reject(new Error('gone')) })
    expect((await rejects.server.inject('/health')).statusCode).toBe(503)
    const hangs = await serverWith({ ready: async () => new Promise(() => {}) })
    expect((await hangs.server.inject('/health/ready')).json()).toMatchObject({ failed: ['readiness check'] })
  })

  test('probes share one question to the parts, and a good answer for a while', async () => {
    let [asked, database] = [0, false]
    const { server } = await serverWith({
      ready: async () => {
        asked++
        await new Promise(setImmediate)
        return { database }
      },
    })
    await server.ready()
    await Promise.all([server.inject('/health'), server.inject('/health/ready')])
    expect(asked).toBe(1)
    database = true
    expect((await server.inject('/health')).statusCode).toBe(200)
    expect(asked).toBe(2)
    database = false
    await expect.poll(async () => (await server.inject('/health')).statusCode).toBe(503)
  })
})

test('metrics count requests by route pattern, in a registry per server, process figures once', async () => {
  const first = await serverWith({}, (own) => void own.get('/orders/:id', async () => 'found'))
  const second = await serverWith()
  await first.server.inject('/orders/1')
  await first.server.inject('/orders/2')
  await first.server.inject('/nowhere/3')
  const text = (await first.server.inject('/metrics')).body
  expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/orders/:id",status="200"} 2')
  expect(text).toContain('http_request_duration_seconds_count{method="GET",route="none",status="404"} 1')
  expect(text.match(/^# TYPE process_cpu_seconds_total /gm)).toHaveLength(1)
  const other = (await second.server.inject('/metrics')).body
  expect(other).toContain('process_cpu_seconds_total')
  expect(other).not.toContain('/orders/:id')
})

test('one log line per request, with its saga, without its query, headers or body', async () => {
  const { server, lines } = await serverWith({}, (own) => {
    own.get('/sagas/:saga_id', async () => 'found')
    own.post('/orders', async (request) => {
      request.sagaId = 'saga-2'
      return 'started'
    })
  })
  await server.inject({ url: '/sagas/saga-1?token=hunter2', headers: { authorization: 'Bearer hunter2' } })
  await postTo(server, { card: 'hunter2' })
  await server.inject('/health')
  expect(lines.map(({ msg, method, path, status, sagaId }) => ({ msg, method, path, status, sagaId }))).toEqual([
    { msg: 'request', method: 'GET', path: '/sagas/saga-1', status: 200, sagaId: 'saga-1' },
    { msg: 'request', method: 'POST', path: '/orders', status: 200, sagaId: 'saga-2' },
  ])
  expect(JSON.stringify(lines)).not.toContain('hunter2')
})

test('the OpenAPI page describes the routes', async () => {
  const { server } = await serverWith({}, orders)
  const page = (await server.inject('/openapi.json')).json()
  expect(page).toMatchObject({ openapi: '3.1.0', info: { title: 'Test', version: '1.2.3' } })
  expect(page.paths['/orders'].post.requestBody.content['application/json'].schema.required).toContain('customer_id')
  expect((await server.inject('/docs')).statusCode).toBeLessThan(400)
  expect((await server.inject('/docs/')).headers['content-type']).toContain('text/html')
})

test('pages of listed origins may call, others may not', async () => {
  const listed = 'http://localhost:5173'
  const { server } = await serverWith({ allowedOrigins: [listed] }, orders)
  const preflight = (origin: string) =>
    server.inject({ method: 'OPTIONS', url: '/orders', headers: { origin, 'access-control-request-method': 'POST' } })
  const allowed = await preflight(listed)
  expect([allowed.statusCode, allowed.headers['access-control-allow-origin']]).toEqual([204, listed])
  expect((await preflight('http://evil.example')).headers).not.toHaveProperty('access-control-allow-origin')
  const answer = await postTo(server, { customer_id: 'c', order_details: {} }, { origin: listed })
  expect([answer.statusCode, answer.headers['access-control-allow-origin']]).toEqual([200, listed])
})

test('a page of a listed origin may read the next page of a list and when to ask again, one of another nothing', async () => {
  const listed = 'http://localhost:5173'
  const { server } = await serverWith({ allowedOrigins: [listed] }, (own) => {
    own.get('/list', async (_request, reply) => reply.header('X-Next', '7').send([]))
    own.get('/busy', async () => {
      throw new HttpError(503, 'too many at once: ask again in a moment', 5)
    })
  })
  const exposed = async (url: string, origin: string) =>
    (await server.inject({ url, headers: { origin } })).headers['access-control-expose-headers']
  expect(await exposed('/list', listed)).toBe('X-Next, Retry-After')
  expect(await exposed('/busy', listed)).toBe('X-Next, Retry-After')
  expect(await exposed('/list', 'http://evil.example')).toBeUndefined()
})

describe('a message', () => {
  const envelope = { type: 'create_order', id: 's1:create:do', correlation_id: 's1', payload: { a: 1 } }

  async function receiving() {
    const got: unknown[] = []
    const { server } = await serverWith({}, (own) =>
      mountMessages(own, {
        admit(channel, { authorization }) {
          if (authorization !== 'Bearer order') throw new HttpError(401, `not yours: ${channel}`)
        },
        async receive({ channel, headers, body }) {
          got.push([channel, headers['idempotency-key'], body])
          return {
            status: 202,
            headers: { 'content-type': 'application/json', 'retry-after': '1' },
            body: '{"messages":[]}',
          }
        },
      }),
    )
    const post = (payload: unknown, headers: Record<string, string> = {}) =>
      server.inject({
        method: 'POST',
        url: '/messages/order_commands',
        headers: { authorization: 'Bearer order', 'content-type': 'application/json', ...headers },
        payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
      })
    return { got, post }
  }

  test('is handed to the transport, whose answer is passed on', async () => {
    const { got, post } = await receiving()
    const answer = await post(envelope, { 'idempotency-key': 'k' })
    expect(got).toEqual([['order_commands', 'k', envelope]])
    expect([answer.statusCode, answer.headers['retry-after'], answer.body]).toEqual([202, '1', '{"messages":[]}'])
  })

  test('of somebody who is not admitted is refused, before its body is looked at', async () => {
    const { got, post } = await receiving()
    const answer = await post('{"broken', { authorization: 'Bearer web page' })
    expect([answer.statusCode, answer.json()]).toEqual([401, { error: 'not yours: order_commands' }])
    expect(got).toEqual([])
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', ''])(
    'that is declared as %j is refused: any web page may send that unasked',
    async (type) => {
      const { got, post } = await receiving()
      const answer = await post(envelope, { 'content-type': type })
      expect([answer.statusCode, got]).toEqual([415, []])
    },
  )

  test.each([
    ['id', { ...envelope, id: 'a\u0000b' }, {}, 'the body holds a text with a character that cannot be stored'],
    ['id', { ...envelope, id: 'x'.repeat(20_000) }, {}, 'id must have 1 to 200 visible ASCII characters'],
    ['correlation_id', { ...envelope, correlation_id: 'two words' }, {}, 'correlation_id must have'],
    ['undoes', { ...envelope, undoes: 'ünd' }, {}, 'undoes must have'],
    ['type', { ...envelope, type: 'x'.repeat(201) }, {}, 'type must have'],
    ['header', envelope, { 'idempotency-key': 'x'.repeat(201) }, 'the header idempotency-key must have'],
  ])('whose %s no store can keep is refused with what is wrong', async (_what, body, headers, why) => {
    const { got, post } = await receiving()
    const answer = await post(body, headers)
    expect([answer.statusCode, answer.json()]).toEqual([400, { error: expect.stringContaining(why) as string }])
    expect(got).toEqual([])
  })
})

describe('over a real socket', () => {
  test('10 MB are answered 413 with the limit, and nothing reaches the route', async () => {
    const { server } = await serverWith({}, orders)
    const url = await listen(server, '127.0.0.1', 0)
    const answer = await fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ customer_id: 'x'.repeat(10_000_000), order_details: {} }),
    })
    expect(answer.status).toBe(413)
    expect(await answer.json()).toEqual({
      success: false,
      error: 'the body is larger than 1048576 bytes, the most that is taken here: send less at once',
    })
  })

  test.each([
    ['headers', 'POST /orders HTTP/1.1\r\n', 'note: x\r\n'],
    [
      'contents',
      'POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n',
      ' ',
    ],
  ])('a request whose %s come byte by byte is cut off in time with 408', async (_what, begin, more) => {
    const { server } = await serverWith({ arrivalMs: 500 }, orders)
    const url = new URL(await listen(server, '127.0.0.1', 0))
    let answer = ''
    await new Promise<void>((resolve) => {
      const socket = connect(Number(url.port), url.hostname)
      socket.write(begin)
      const trickle = setInterval(() => socket.write(more), 50)
      socket.on('data', (chunk) => (answer += chunk.toString())).on('error', () => undefined)
      socket.on('close', () => {
        clearInterval(trickle)
        resolve()
      })
    })
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
    expect(answer).toContain('{"success":false,"error":"the request took too long to arrive: send it again"}')
  })

  test('a client that hangs up in the middle of its body is no failure of ours', async () => {
    let begin = (): void => {}
    const begun = new Promise<void>((resolve) => (begin = resolve))
    const { server, lines } = await serverWith({}, (own) => {
      own.addHook('onRequest', async () => begin())
      orders(own)
    })
    const url = new URL(await listen(server, '127.0.0.1', 0))
    const head =
      'POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n'
    const socket = connect(Number(url.port), url.hostname, () => socket.write(`${head}{"customer_id"`))
    await begun
    socket.destroy()
    await expect
      .poll(() => new Promise((resolve) => server.server.getConnections((_, count) => resolve(count))))
      .toBe(0)
    expect((await fetch(`${url.origin}/openapi.json`)).status).toBe(200)
    expect(lines.filter((line) => Number(line['level']) > 30)).toEqual([])
  })

  test('what is not HTTP is answered in the error shape', async () => {
    const { server } = await serverWith()
    const url = new URL(await listen(server, '127.0.0.1', 0))
    const text = await new Promise<string>((resolve, reject) => {
      let read = ''
      const socket = connect(Number(url.port), url.hostname, () => socket.write('hello\r\n\r\n'))
      socket.on('data', (chunk) => (read += chunk.toString()))
      socket.on('end', () => resolve(read))
      socket.on('error', reject)
    })
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(text).toContain('{"success":false,"error":"this is not an HTTP request that can be read"}')
  })

  test('a port in use is one clear sentence that names the setting', async () => {
    const first = await serverWith()
    const { port } = new URL(await listen(first.server, '127.0.0.1', 0))
    const second = await serverWith()
    await expect(listen(second.server, '127.0.0.1', Number(port), 'CREATE_ORDER_PORT')).rejects.toMatchObject({
      code: 'port_in_use',
      message: `port ${port} is in use: stop the other program or set CREATE_ORDER_PORT to another port`,
    })
  })

  test.each([
    ['nothing', ''],
    ['half of its headers', 'GET /health HTTP/1.1\r\n'],
    ['a request that was answered', 'GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n'],
  ])('a connection that has sent %s does not hold up the end', async (_what, sent) => {
    const { server } = await serverWith()
    const url = new URL(await listen(server, '127.0.0.1', 0))
    const accepted = new Promise<void>((resolve) => server.server.once('connection', () => resolve()))
    const socket = connect(Number(url.port), url.hostname, () => socket.write(sent))
    const answered = new Promise<void>((resolve) =>
      sent.endsWith('\r\n\r\n') ? socket.once('data', () => resolve()) : resolve(),
    )
    const gone = new Promise<void>((resolve) => socket.on('close', () => resolve()).on('error', () => undefined))
    await accepted
    await answered
    const began = performance.now()
    await server.close()
    await gone
    expect(performance.now() - began).toBeLessThan(5_000) // the patience with requests in hand is 10 s
  })

  test('a request in hand is answered before the server has closed, and then nothing listens', async () => {
    let finish = (): void => {}
    let began = (): void => {}
    const started = new Promise<void>((resolve) => (began = resolve))
    const { server } = await serverWith({}, (own) => {
      own.get('/slow', async () => {
        began()
        await new Promise<void>((resolve) => (finish = resolve))
        return { done: true }
      })
    })
    const url = await listen(server, '127.0.0.1', 0)
    const slow = fetch(`${url}/slow`)
    await started
    const closed = server.close()
    await expect.poll(() => server.server.listening).toBe(false)
    await expect(fetch(`${url}/health/live`)).rejects.toThrow()
    finish()
    const answer = await slow
    expect(await answer.json()).toEqual({ done: true })
    expect(answer.headers.get('connection')).toBe('close')
    await closed
  })

  test('what was sent before the end is answered, read or not, and says not ready', async () => {
    const { server } = await serverWith({}, (own) => void own.get('/order', async () => ({ done: true })))
    const { hostname, port } = new URL(await listen(server, '127.0.0.1', 0))
    const clients = await Promise.all(
      Array.from({ length: 32 }, async () => {
        const socket = connect(Number(port), hostname)
        let text = ''
        const gone = new Promise<string>((resolve) =>
          socket.on('close', () => resolve(text)).on('error', () => undefined),
        )
        socket.on('data', (chunk) => (text += chunk.toString()))
        await new Promise<void>((resolve) => socket.on('connect', () => resolve()))
        return { socket, gone }
      }),
    )
    for (const [index, { socket }] of clients.entries())
      socket.write(`GET ${index === 0 ? '/health/ready' : '/order'} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    const closed = server.close()
    const [ready = '', ...answers] = await Promise.all(clients.map(({ gone }) => gone))
    await closed
    expect(ready).toMatch(/^HTTP\/1\.1 503 .*"failed":\["service is stopping"\]/s)
    expect(answers.filter((text) => /^HTTP\/1\.1 200 .*connection: close.*\{"done":true\}$/is.test(text))).toHaveLength(
      31,
    )
  })
})
