/** Several processes of the Order Service on one PostgreSQL: started as people start them, found by their ports. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { startChild, type Child } from '../../tests/kit/child.ts'
import { until } from '../../tests/kit/until.ts'
import { freshDatabase, postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { order_details } from './order.testkit.ts'

interface Event {
  readonly id: string
  readonly type: string
  readonly payload: { readonly orderId: string; readonly runnerId: string | null }
}

const main = fileURLToPath(import.meta.resolve('../app/main.ts'))
const startMs = 60_000

/** Takes what the services tell the sagas. */
async function listener(heard: Event[]): Promise<Server> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      heard.push(JSON.parse(body) as Event)
      response.setHeader('content-type', 'application/json').end('{"messages":[]}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

async function startReplica(variables: Readonly<Record<string, string>>): Promise<{ child: Child; url: string }> {
  let url: string | null = null
  const child = startChild(main, ['order'], { ...variables, ORDER_PORT: '0' }, (line) => {
    url ??= /Server listening at (http:[^"\s]+)/.exec(line)?.[1] ?? null
  })
  await until('a replica listens', startMs, () => url !== null || child.ended() !== null, child.tail)
  if (url === null) throw new Error(`a replica ended without listening:\n${child.tail()}`)
  return { child, url }
}

const post = async (url: string, path: string, body: unknown) => {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, body: (await response.json()) as { order_id: string } }
}

suiteOn('PostgreSQL', await postgresUrl(), 'replicas of the Order Service', () => {
  test('of runners who accept at two processes at once exactly one gets each order, and only he is told of', async () => {
    const heard: Event[] = []
    const database = await freshDatabase()
    const sagas = await listener(heard)
    const { port } = sagas.address() as AddressInfo
    const variables = { DATABASE_URL: database.url, CREATE_ORDER_SAGA_URL: `http://127.0.0.1:${port}` }
    const replicas = await Promise.all([startReplica(variables), startReplica(variables)])
    const urls = replicas.map(({ url }) => url)
    const [one = '', other = ''] = urls
    const winners = new Map<string, string>()
    try {
      for (let round = 0; round < 20; round++) {
        const { body } = await post(one, '/createOrder', { customer_id: 'cust_123', order_details })
        const orderId = body.order_id
        await post(other, '/updateOrderStatus', { orderId, status: 'CREATED' })
        const runners = Array.from({ length: 10 }, (_, index) => `runner-${index}`)
        const answers = await Promise.all(
          runners.map((runner_id, index) =>
            post(urls[index % 2] ?? '', '/verifyAndAcceptOrder', { orderId, runner_id }),
          ),
        )
        const won = runners.filter((_runner, index) => answers[index]?.status === 200)
        expect(won).toHaveLength(1)
        expect(answers.filter(({ status }) => status === 400)).toHaveLength(9)
        winners.set(orderId, String(won[0]))
      }
      await until('everything was told of', startMs, () => new Set(heard.map(({ id }) => id)).size >= 60)
    } finally {
      expect(await Promise.all(replicas.map(({ child }) => child.stop()))).toEqual([0, 0])
      sagas.close()
      await database.drop()
    }
    const told = new Map(heard.map((event) => [event.id, event]))
    const accepted = [...told.values()].filter(({ type }) => type === 'ORDER_ACCEPTED')
    expect(told.size).toBe(60)
    expect(new Map(accepted.map(({ payload }) => [payload.orderId, payload.runnerId]))).toEqual(winners)
    expect(accepted).toHaveLength(20)
  })
})
