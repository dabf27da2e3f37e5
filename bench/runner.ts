/** Carries orders over HTTP and says that they were delivered: one after the other as a runner does it, or many in flight. */
import { request } from 'node:http'
import { ask, place } from './buyer.ts'

export interface Urls {
  readonly sagas: string
  readonly order: string
  readonly deliveries: string
}

const runner = 'runner_123'
const atOnce = 32

const post = async <T>(url: string, body: object): Promise<T> =>
  JSON.parse(await ask('POST', url, 200, JSON.stringify(body))) as T

/** @returns orders that are on their way with a runner */
export async function carried({ sagas, order }: Urls, count: number): Promise<readonly string[]> {
  const orders: string[] = []
  const one = async (): Promise<void> => {
    const saga = await place(sagas)
    await ask('GET', `${sagas}/api/sagas/${saga}/updates`, 200)
    const { order_id: orderId } = JSON.parse(await ask('GET', `${sagas}/api/sagas/${saga}`, 200)) as {
      order_id: string
    }
    await post(`${order}/verifyAndAcceptOrder`, { orderId, runner_id: runner })
    for (const status of ['PLACED', 'ON_THE_WAY']) await post(`${order}/updateOrderStatus`, { orderId, status })
    orders.push(orderId)
  }
  await eachOf(
    Array.from({ length: count }, (_, index) => index),
    atOnce,
    one,
  )
  return orders
}

async function eachOf<T>(items: readonly T[], many: number, work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const worker = async (): Promise<void> => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item)
  }
  await Promise.all(Array.from({ length: many }, worker))
}

export const begin = async ({ deliveries }: Urls, orderId: string): Promise<string> =>
  (await post<{ readonly sagaId: string }>(`${deliveries}/saga/complete/completeOrder`, { orderId })).sagaId

export const streamOf = ({ deliveries }: Urls, sagaId: string): string =>
  `${deliveries}/saga/complete/orderUpdateStream/${sagaId}`

async function deliver(urls: Urls, orderId: string): Promise<void> {
  const told = await ask('GET', streamOf(urls, await begin(urls, orderId)), 200)
  if (!told.includes('"COMPLETED"')) throw new Error(`a delivery did not complete:\n${told}`)
}

/** @returns milliseconds of each, from the request to the stream's end */
export async function deliverOneByOne(urls: Urls, orders: readonly string[]): Promise<readonly number[]> {
  const times: number[] = []
  for (const orderId of orders) {
    const began = performance.now()
    await deliver(urls, orderId)
    times.push(performance.now() - began)
  }
  return times
}

/** @returns seconds that all took with so many in flight, each followed by its stream */
export async function deliverTogether(urls: Urls, orders: readonly string[], inFlight: number): Promise<number> {
  const began = performance.now()
  await eachOf(orders, inFlight, (orderId) => deliver(urls, orderId))
  return (performance.now() - began) / 1000
}

/** A reader of a stream; `late` has, of each change after the first state, milliseconds from the move to its being read here. */
export interface Reader {
  readonly late: readonly number[]
  readonly ended: Promise<void>
}

/** Resolves once the first state was read. */
export function follow(url: string): Promise<Reader> {
  return new Promise((resolve, reject) => {
    const late: number[] = []
    const asked = request(url, { agent: false }, (answer) => {
      let first = true
      const ended = new Promise<void>((end) => answer.on('end', end))
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        const read = Date.now()
        for (const [, at = ''] of chunk.matchAll(/"updatedAt":"([^"]+)"/g)) {
          if (!first) late.push(read - Date.parse(`${at}Z`))
          first = false
        }
        resolve({ late, ended })
      })
    })
    asked.on('error', reject).end()
  })
}
