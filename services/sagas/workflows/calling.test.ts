/** Calls of services as activities make them: what is refused for good, what is asked again, and what nobody knows. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ApplicationFailure } from '@temporalio/activity'
import { expect, onTestFinished, test } from 'vitest'
import { at, call, type Attempt, type Request } from './calling.ts'

type Serve = (request: IncomingMessage, response: ServerResponse) => void

interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A service that answers with each of these in turn, and with the last for ever. */
async function service(...answers: readonly (Serve | readonly [status: number, body?: unknown])[]) {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => (body += part.toString()))
    request.on('end', () => {
      asked.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
      const answer = answers[Math.min(asked.length, answers.length) - 1] ?? [500]
      if (typeof answer === 'function') return answer(request, response)
      const [status, said] = answer
      response.writeHead(status).end(typeof said === 'string' ? said : JSON.stringify(said ?? null))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const lasting = (ms: number): Attempt => ({
  headers: { 'idempotency-key': 'saga-1:pay:do', 'ordersaga-undoes': 'saga-1:hold:do' },
  signal: AbortSignal.timeout(ms),
  until: Date.now() + ms,
})

const pay = (url: string, more: Partial<Request> = {}): Request => ({
  method: 'POST',
  url: `${url}/pay?now=1`,
  body: { cents: 7 },
  ...more,
})

const patientMs = 20_000
const called = (request: Request, ms = patientMs) => call('the bank', request, lasting(ms))

/** It has failed finally, with this sentence. */
const refused = (message: string) => ({ type: 'Refused', nonRetryable: true, message })

const cut: Serve = (_request, response) => response.destroy()
const silent: Serve = () => undefined

test('a call carries the ids of its command, its own headers and a body of JSON', async () => {
  const { asked, url } = await service([200, { paid: true }])
  expect(await called(pay(url, { headers: { prefer: 'wait=3' } }))).toEqual({ status: 200, body: { paid: true } })
  expect(asked).toMatchObject([
    {
      method: 'POST',
      url: '/pay?now=1',
      body: '{"cents":7}',
      headers: {
        'idempotency-key': 'saga-1:pay:do',
        'ordersaga-undoes': 'saga-1:hold:do',
        prefer: 'wait=3',
        'content-type': 'application/json',
      },
    },
  ])
})

test('a read has no body, and what it answers need not be JSON', async () => {
  const { asked, url } = await service([202, '<html>'])
  expect(await called({ method: 'GET', url })).toEqual({ status: 202, body: null })
  expect(asked).toMatchObject([{ method: 'GET', body: '' }])
  expect(asked[0]?.headers).not.toHaveProperty('content-type')
})

test.each([
  [400, { error: 'the order is PLACED' }, 'the bank refuses (400): the order is PLACED'],
  [
    404,
    { error: 'NOT_FOUND', message: 'There is no payment 7.' },
    'the bank refuses (404): NOT_FOUND: There is no payment 7.',
  ],
  [422, { error: { deep: true } }, 'the bank refuses (422)'],
  [409, null, 'the bank refuses (409)'],
  [410, '<html>gone</html>', 'the bank refuses (410)'],
  [304, null, 'the bank refuses (304)'],
])('an answer of %i is final, with what the service says', async (status, body, message) => {
  const { asked, url } = await service([status, status === 304 ? '' : body])
  const failing = called(pay(url))
  await expect(failing).rejects.toMatchObject(refused(message))
  await expect(failing).rejects.toBeInstanceOf(ApplicationFailure)
  expect(asked).toHaveLength(1)
})

test('a long sentence of a service is cut', async () => {
  const { url } = await service([400, { error: 'x'.repeat(100_000) }])
  await expect(called(pay(url))).rejects.toMatchObject(refused(`the bank refuses (400): ${'x'.repeat(500)}`))
})

test.each([401, 403, 407, 408, 421, 425, 429, 500, 502, 503, 504, 599])(
  'an answer of %i may heal: it is asked again under the same id',
  async (status) => {
    const { asked, url } = await service([status, { error: 'not now' }], [200, { paid: true }])
    expect(await called(pay(url))).toEqual({ status: 200, body: { paid: true } })
    const keys = asked.map(({ headers }) => headers['idempotency-key'])
    expect(keys.length).toBeGreaterThan(1) // Node repeats a 421 by itself, once more
    expect(new Set(keys)).toEqual(new Set(['saga-1:pay:do']))
  },
)

test('a connection that is cut is asked again', async () => {
  const { asked, url } = await service(cut, [200])
  expect((await called(pay(url))).status).toBe(200)
  expect(asked).toHaveLength(2)
})

test('a status that the caller reads by itself is an answer', async () => {
  const { url } = await service([404, { error: 'none' }])
  expect(await called(pay(url, { reads: [404] }))).toEqual({ status: 404, body: { error: 'none' } })
})

test('no redirect is followed: another place would see what was meant for this one', async () => {
  const other = await service([200])
  const { asked, url } = await service((_request, response) => response.writeHead(307, { location: other.url }).end())
  await expect(called(pay(url), 300)).rejects.toThrow('the bank does not answer POST /pay:')
  expect(asked.length).toBeGreaterThan(0)
  expect(other.asked).toEqual([])
})

const unknown = async (failing: Promise<unknown>, message: RegExp) => {
  const error = await failing.catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(Error)
  expect(error).not.toBeInstanceOf(ApplicationFailure)
  expect((error as Error).message).toMatch(message)
}

test('where it cannot answer for as long as the attempt lasts, the outcome is unknown and not a refusal', async () => {
  const { asked, url } = await service([503])
  await unknown(called(pay(url), 1_000), /^the bank does not answer POST \/pay: it answered 503$/)
  expect(asked.length).toBeGreaterThan(1)
})

test('where it says nothing, the call ends with its attempt', async () => {
  const { asked, url } = await service(silent)
  await unknown(called(pay(url), 300), /^the bank does not answer POST \/pay: /)
  expect(asked).toHaveLength(1)
})

test('where nobody listens, the outcome is unknown, and the reason says so', async () => {
  await unknown(called(pay('http://127.0.0.1:1'), 100), /^the bank does not answer POST \/pay: /)
})

test('an attempt that is cancelled while it pauses makes no further call', async () => {
  const cancelled = new AbortController()
  const { asked, url } = await service((_request, response) => {
    response.writeHead(503).end()
    setImmediate(() => cancelled.abort())
  })
  const attempt = { ...lasting(patientMs), signal: cancelled.signal }
  await unknown(call('the bank', pay(url), attempt), /^the bank does not answer POST \/pay: /)
  expect(asked).toHaveLength(1)
})

test('an address may end with slashes', () => {
  expect([at('http://a:1/', '/b'), at('http://a:1//', '/b'), at('http://a:1/c', '/b')]).toEqual([
    'http://a:1/b',
    'http://a:1/b',
    'http://a:1/c/b',
  ])
})
