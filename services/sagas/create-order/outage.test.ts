/** What a client is told while the store does not answer. */
import { pino } from 'pino'
import type { Engine } from 'ordersaga/engine'
import { StoreError } from 'ordersaga/store'
import { afterEach, expect, test } from 'vitest'
import { failureWithError } from '../../shared/http/error-shapes.ts'
import { createHttpServer, type HttpServer } from '../../shared/http/server.ts'
import { askingFor } from '../orchestrator/asking.ts'
import { Streams } from '../orchestrator/streams.ts'
import { createOrderRoutes } from './routes.ts'
import { createOrderSaga } from './saga.ts'
import { burger } from './shop.testkit.ts'

const running: HttpServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.close()
})

async function serverOn(engine: Partial<Engine>): Promise<HttpServer> {
  const server = await createHttpServer({
    title: 'Sagas',
    version: '1',
    description: 'Over a store that is away',
    log: pino({ level: 'silent' }),
    ready: async () => ({}),
    errors: failureWithError,
  })
  running.push(server)
  const shell = {
    server,
    engine: engine as Engine,
    ask: askingFor(20, 'look at /sagas first'),
    streams: new Streams(server),
  }
  createOrderRoutes(shell, createOrderSaga({ timerMs: 1 }))
  return server
}

const requests = [
  ['POST', '/api/orders', { customer_id: 'cust_123', order_details: burger }],
  ['POST', '/sagas/any/cancel', {}],
  ['POST', '/api/sagas/any/actions', { action: { kind: 'retry' }, by: 'ops', reason: 'r' }],
  ['POST', '/timer-callback', { saga_id: 'any' }],
] as const

test.each(requests)(
  '%s %s is answered 503 when the store stays silent: not known, and what to do',
  async (method, url, payload) => {
    const silence = () => new Promise<never>(() => undefined)
    const server = await serverOn({ start: silence, cancel: silence, act: silence })
    const answer = await server.inject({ method, url, payload })
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '5'])
    expect(answer.json()).toMatchObject({
      error: 'the store does not answer in time, and whether this takes effect is not known yet: look at /sagas first',
    })
  },
)

test.each([
  ...requests,
  ['GET', '/api/sagas', undefined],
  ['GET', '/sagas/any', undefined],
  ['GET', '/sagas/any/history', undefined],
] as const)('%s %s is answered 503 when the store is away', async (method, url, payload) => {
  const away = () => Promise.reject(new StoreError('unavailable', 'PostgreSQL does not answer'))
  const server = await serverOn({ start: away, cancel: away, act: away, get: away, list: away })
  const answer = await server.inject({ method, url, ...(payload === undefined ? {} : { payload }) })
  expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '2'])
  expect(answer.json()).toMatchObject({ error: expect.stringMatching(/^the database does not answer/) })
})
