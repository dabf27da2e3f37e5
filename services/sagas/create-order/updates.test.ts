/** The event stream of a saga: past moves, live moves, its end, its resumption, and clients that go away. */
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { pino } from 'pino'
import type { Engine } from 'ordersaga/engine'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorAlone } from '../../shared/http/error-shapes.ts'
import { call } from '../../shared/testing/call.ts'
import { listen } from '../../shared/http/listen.ts'
import { createHttpServer } from '../../shared/http/server.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { shopOf, type Shop } from './shop.testkit.ts'
import { Streams } from '../orchestrator/streams.ts'
import { addUpdates } from '../orchestrator/updates.ts'
import { createOrderPresenter as presenter } from './presenter.ts'

let system: Embedded
let shop: Shop

beforeAll(async () => {
  system = await startEmbedded()
  shop = shopOf(system)
})
afterAll(() => system.close())

const pathOf = (id: string, prefix = '/api'): string => `${system.urls.sagas}${prefix}/sagas/${id}/updates`

interface Told {
  readonly id: number
  readonly data: {
    readonly seq: number
    readonly at: string
    readonly status: string
    readonly events: readonly { readonly type: string; readonly step?: string }[]
  }
}

function toldIn(text: string): readonly Told[] {
  return text
    .split('\n\n')
    .filter((block) => block !== '')
    .map((block) => {
      const [, id, data] = /^id: (\d+)\ndata: (.+)$/.exec(block) ?? []
      return { id: Number(id), data: JSON.parse(data ?? '') as Told['data'] }
    })
}

interface Stream {
  readonly request: ClientRequest
  readonly answer: IncomingMessage
  text(): string
}

/** Opens a stream on a connection of its own, and reads what comes. */
function follow(id: string): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const asked = request(pathOf(id), { agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      answer.on('error', () => undefined) // hung up by us
      resolve({ request: asked, answer, text: () => text })
    })
    asked.on('error', reject)
    asked.end()
  })
}

describe.each(['/api', ''])('under "%s"', (prefix) => {
  test('all moves come in order, each with its number, until the saga has ended', async () => {
    const id = await shop.start('cust_declined')
    const answer = await call('GET', pathOf(id, prefix))
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
      200,
      'text/event-stream',
      'no-store',
    ])
    const told = toldIn(answer.text)
    expect(told.map((one) => one.id)).toEqual(told.map((_, index) => index + 1))
    expect(told.map(({ data }) => data.seq)).toEqual(told.map((one) => one.id))
    expect(told[0]?.data).toMatchObject({
      status: 'STARTED',
      events: [{ type: 'SagaStarted' }, { step: 'CREATE_ORDER' }],
    })
    expect(told.at(-1)?.data.status).toBe('COMPENSATED')
    expect(answer.text).not.toMatch(/pm_sandbox|cus_sandbox/)
    // The same again from the past alone.
    expect((await call('GET', pathOf(id, prefix))).text).toBe(answer.text)
  })
})

test('moves come as they happen, without being asked for', async () => {
  system.gate.hold('get_payment_info')
  const id = await shop.start('cust_123')
  const stream = await follow(id)
  await expect.poll(stream.text).toContain('"step":"GET_USER_DATA"')
  expect(stream.text()).not.toContain('AUTHORIZE_PAYMENT')
  system.gate.release('get_payment_info')
  await expect.poll(stream.text).toContain('"status":"COMPLETED"')
  await expect.poll(() => stream.answer.complete).toBe(true)
})

test('a client that was cut off resumes after the move that it saw last', async () => {
  const id = await shop.start('cust_123')
  const all = toldIn((await call('GET', pathOf(id))).text)
  const resume = (seen: number) => call('GET', pathOf(id), { headers: { 'last-event-id': String(seen) } })
  expect(toldIn((await resume(3)).text)).toEqual(all.slice(3))
  const nothingMore = await resume(all.length)
  expect([nothingMore.status, nothingMore.text]).toEqual([204, ''])
})

test('a saga that goes on after its end is followed on, to its last end', async () => {
  const id = await shop.start('cust_123')
  const completed = toldIn((await call('GET', pathOf(id))).text)
  await call('POST', `${system.urls.sagas}/sagas/${id}/cancel`)
  await shop.sagaIn('CANCELLED', id)
  const told = toldIn((await call('GET', pathOf(id))).text)
  expect(told.slice(0, completed.length)).toEqual(completed)
  expect(told.at(-1)?.data.status).toBe('CANCELLED')
})

test('who asks for the headers alone follows nothing', async () => {
  const id = await shop.start('cust_123')
  expect((await fetch(pathOf(id), { method: 'HEAD' })).status).toBe(404)
})

test('a number that is none is answered 400 with what it must be', async () => {
  for (const [value, sentence] of [
    ['abc', 'last-event-id must be a number'],
    ['-1', 'last-event-id must be at least 0'],
    ['1.5', 'last-event-id must be a whole number'],
  ] as const) {
    const answer = await call('GET', pathOf('any'), { headers: { 'last-event-id': value } })
    expect([answer.status, answer.body]).toEqual([400, { success: false, error: sentence }])
  }
})

test('of 1,000 streams that one client may have open, none keeps its place once its client has gone', async () => {
  system.gate.hold('create_order')
  const id = await shop.start('cust_123')
  const streams: Stream[] = []
  for (let count = 0; count < 1000; count += 1) streams.push(await follow(id))
  expect(streams.map(({ answer }) => answer.statusCode)).toEqual(streams.map(() => 200))
  const tooMany = await call('GET', pathOf(id))
  expect([tooMany.status, tooMany.headers.get('retry-after'), tooMany.body]).toEqual([
    429,
    '5',
    {
      success: false,
      error:
        '1000 streams are open from 127.0.0.1, the most for one client: close some, or set STREAMS_PER_CLIENT higher',
    },
  ])
  for (const stream of streams) stream.request.destroy()
  const again: Stream[] = []
  await expect
    .poll(async () => again.push(await follow(id)) && again.at(-1)?.answer.statusCode, { timeout: 30_000 })
    .toBe(200)
  for (let count = 0; count < 100; count += 1) again.push(await follow(id))
  expect(again.at(-1)?.answer.statusCode).toBe(200)
  system.gate.release('create_order')
  await expect.poll(() => again.at(-1)?.text(), { timeout: 30_000 }).toContain('"status":"COMPLETED"')
})

function deferred<T>() {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((settle) => (resolve = settle))
  return { promise, resolve }
}

test('a client that goes while its saga is looked up is not followed', async () => {
  const lookedUp = deferred<void>()
  const begun = deferred<void>()
  const aborted = deferred<boolean | undefined>()
  const slowEngine = {
    async get() {
      begun.resolve()
      await lookedUp.promise
      return { seq: 1, state: { status: 'STARTED' } }
    },
    updates(_id: string, _after: number, signal?: AbortSignal): readonly never[] {
      aborted.resolve(signal?.aborted)
      return []
    },
  }
  const server = await createHttpServer({
    title: 'Slow',
    version: '1',
    description: 'A slow store',
    log: pino({ level: 'silent' }),
    ready: async () => ({}),
    errors: errorAlone,
  })
  const shell = {
    server,
    engine: slowEngine as unknown as Engine,
    ask: <T>(work: () => Promise<T>) => work(),
    streams: new Streams(server),
  }
  addUpdates(shell, { path: '/sagas/:saga_id/updates', operationId: 'follow', tells: 'moves', presenter })
  const asked = request(`${await listen(server, '127.0.0.1', 0)}/sagas/any/updates`).on('error', () => undefined)
  asked.end()
  await begun.promise
  asked.destroy()
  await expect
    .poll(() => new Promise((resolve) => server.server.getConnections((_error, count) => resolve(count))))
    .toBe(0)
  lookedUp.resolve()
  expect(await aborted.promise).toBe(true)
  await server.close()
})
