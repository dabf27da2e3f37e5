/** Places orders over HTTP and waits for their ends: one after the other as a client sees it, or many in flight. */
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Ends } from './counters.ts'

/** Connections stay open, as those of a gateway before the service do. */
const agent = new Agent({ keepAlive: true, maxSockets: 64 })

const order = JSON.stringify({
  customer_id: 'cust_123',
  order_details: { foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }], deliveryLocation: 'North Campus' },
})

/** How often the ends are looked for. */
const lookMs = 10

/** @throws Error with what was answered, where it is not the expected status */
export async function ask(
  method: string,
  url: string,
  status: number,
  body?: string,
  authorization?: string,
): Promise<string> {
  const headers = {
    ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
    ...(authorization === undefined ? {} : { authorization }),
  }
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, agent, headers }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      answer.on('end', () => {
        if (answer.statusCode === status) resolve(text)
        else reject(new Error(`${method} ${url} was answered ${answer.statusCode}: ${text}`))
      })
    })
    asked.on('error', reject).end(body)
  })
}

export async function place(url: string): Promise<string> {
  const { saga_id } = JSON.parse(await ask('POST', `${url}/api/orders`, 202, order)) as { saga_id: string }
  return saga_id
}

/**
 * One order after the other, each followed by its event stream as a client does.
 *
 * @returns milliseconds of each, from the request to the stream's end
 */
export async function oneByOne(url: string, orders: number): Promise<readonly number[]> {
  const times: number[] = []
  for (let count = 0; count < orders; count += 1) {
    const began = performance.now()
    const stream = await ask('GET', `${url}/api/sagas/${await place(url)}/updates`, 200)
    times.push(performance.now() - began)
    if (!stream.includes('COMPLETED')) throw new Error(`an order did not complete:\n${stream}`)
  }
  return times
}

export interface Load {
  readonly seconds: number
  /** Milliseconds of each order, from its request to its being seen at its end. */
  readonly times: readonly number[]
}

/**
 * So many orders with so many in flight.
 *
 * @param placeOne places an order, and gives its saga
 */
export async function together(
  placeOne: () => Promise<string>,
  ends: Ends,
  orders: number,
  inFlight: number,
): Promise<Load> {
  const open = new Map<string, number>()
  const times: number[] = []
  let placed = 0
  let placing = 0
  const began = performance.now()
  const fill = (): Promise<void>[] => {
    const room = Math.min(orders - placed, inFlight - open.size - placing)
    placed += room
    placing += room
    return Array.from({ length: room }, async () => {
      const from = performance.now()
      open.set(await placeOne(), from)
      placing -= 1
    })
  }
  const failed: unknown[] = []
  while (placed < orders || open.size + placing > 0) {
    for (const one of fill()) one.catch((error: unknown) => failed.push(error))
    await delay(lookMs)
    if (failed.length > 0) throw failed[0]
    for (const id of await ends.of([...open.keys()])) {
      times.push(performance.now() - (open.get(id) ?? 0))
      open.delete(id)
    }
  }
  return { seconds: (performance.now() - began) / 1000, times }
}
