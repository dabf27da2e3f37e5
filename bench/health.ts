/**
 * How soon the embedded default answers a question for its health while it has all that it can do: every service in one
 * process, so that whatever holds its event loop holds them all.
 */
import { Agent, request, type IncomingMessage } from 'node:http'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import { startChild } from '../tests/kit/child.ts'
import { openHost } from '../tests/kit/hosts.ts'
import { startSystem } from '../tests/kit/system.ts'
import { head, print, row, whole } from './table.ts'

const clients = 256
const readers = 1_500
const readSagas = 1_000
const payments = 13_000

const prober = fileURLToPath(import.meta.resolve('./prober.ts'))
const burger = JSON.stringify({
  customer_id: 'cust_123',
  order_details: { foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }], deliveryLocation: 'North Campus' },
})

interface Answer {
  readonly status: number
  readonly text: string
  readonly retryAfterMs: number
}

class Client {
  readonly #agent: Agent

  constructor(connections: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections })
  }

  ask(method: string, url: string, body?: string): Promise<Answer> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }
    return new Promise((resolve, reject) => {
      const asked = request(url, { method, agent: this.#agent, headers }, (answer: IncomingMessage) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        const retryAfterMs = Number(answer.headers['retry-after'] ?? 0) * 1000
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, retryAfterMs }))
      })
      asked.on('error', reject).end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** So many at once do the same again and again until the time is up; one that is told to come later does. */
async function atOnce(
  count: number,
  ms: number,
  turn: (index: number) => Promise<Answer>,
): Promise<Map<number, number>> {
  const until = performance.now() + ms
  const statuses = new Map<number, number>()
  let index = 0
  await Promise.all(
    Array.from({ length: count }, async () => {
      while (performance.now() < until) {
        const { status, retryAfterMs } = await turn(index++).catch(() => ({ status: 0, retryAfterMs: 1000 }))
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (status >= 500 || status === 0) await delay(retryAfterMs)
      }
    }),
  )
  return statuses
}

async function measured(
  what: string,
  url: string,
  load: () => Promise<Map<number, number>>,
  warm: number,
): Promise<void> {
  const times: number[] = []
  const failures: string[] = []
  const child = startChild(prober, [url], {}, (line) => {
    if (Number.isNaN(Number(line))) failures.push(line)
    else times.push(Number(line))
  })
  while (times.length < warm) await delay(20)
  times.length = 0
  const began = performance.now()
  const statuses = await load()
  const seconds = (performance.now() - began) / 1000
  await delay(100)
  await child.kill()
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(0)
  const done = [...statuses]
    .map(([status, count]) => `${status === 0 ? 'cut off' : status}: ${whole(count / seconds)}`)
    .join(', ')
  row([what, sorted.length, at(0.5), at(0.99), at(1), failures.length, done])
}

export async function benchHealth(quick: boolean): Promise<void> {
  const ms = quick ? 5_000 : 20_000
  const host = await openHost('embedded')
  const system = await startSystem(host)
  const saga = system.url('create-order')
  try {
    head([
      'health, asked while',
      'answers',
      'median ms',
      'p99 ms',
      'slowest ms',
      'without an answer',
      'answers a second',
    ])
    const live = `${saga}/health/live`
    await measured('nothing else is asked', live, () => delay(ms).then(() => new Map()), 20)
    for (const path of ['live', 'ready']) {
      const buyers = new Client(clients)
      await measured(
        `${clients} clients order (${path})`,
        `${saga}/health/${path}`,
        () => atOnce(clients, ms, () => buyers.ask('POST', `${saga}/api/orders`, burger)),
        20,
      )
      buyers.close()
    }
    await atRest(saga, quick ? 2_000 : payments)
    const ids = await sagaIds(saga)
    const eyes = new Client(readers)
    await measured(
      `${whole(readers)} read the streams of ${whole(ids.length)} sagas`,
      live,
      () => atOnce(readers, ms, (index) => eyes.ask('GET', `${saga}/sagas/${ids[index % ids.length] ?? ''}/updates`)),
      20,
    )
    eyes.close()
    const auditor = new Client(8)
    const payment = system.url('payment')
    for (const count of [1, 8])
      await measured(
        `${count === 1 ? 'one audits' : `${count} audit`} ${whole(quick ? 2_000 : payments)} payments and more`,
        `${payment}/health/live`,
        () => atOnce(count, ms, () => auditor.ask('GET', `${payment}/ledger/audit`)),
        20,
      )
    auditor.close()
    print('')
  } catch (error) {
    throw new Error(system.tails(), { cause: error })
  } finally {
    await system.destroy()
    await host.remove()
  }
}

const underWay = ['STARTED', 'COMPENSATING', 'CANCELLING']

/** Orders until so many were taken, and waits until all have ended. */
async function atRest(saga: string, least: number): Promise<void> {
  const client = new Client(64)
  for (;;) {
    const { text } = await client.ask('GET', `${saga}/ops/counts`)
    const { counts, total } = JSON.parse(text) as { counts: Readonly<Record<string, number>>; total: number }
    if (total < least) await atOnce(64, 1_000, () => client.ask('POST', `${saga}/api/orders`, burger))
    else if (underWay.every((status) => (counts[status] ?? 0) === 0)) break
    else await delay(200)
  }
  client.close()
}

async function sagaIds(saga: string): Promise<readonly string[]> {
  const client = new Client(1)
  const { text } = await client.ask('GET', `${saga}/api/sagas?limit=${readSagas}`)
  client.close()
  return (JSON.parse(text) as readonly { id: string }[]).map(({ id }) => id)
}
