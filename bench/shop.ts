/**
 * Orders from stock, end to end: the Order Orchestration and its participants as processes of their own, over RabbitMQ, sagas in
 * Redis. A client orders with a token. One alone is followed by its stream; of many the ends are looked for in Redis, as
 * `systems.ts` does for Create Order, which is measured here beside it, on the same servers: each by the share that its
 * messages are of those that RabbitMQ's bare client has there and back.
 */
import { firstLookUsers } from '../services/auth/first-look.ts'
import { openHost } from '../tests/kit/hosts.ts'
import { startSystem, type System } from '../tests/kit/system.ts'
import { ask, place, together, type Load } from './buyer.ts'
import { openEnds, type Ends } from './counters.ts'
import { cpuSince, cpuTable, cpuTimes, type CpuTimes } from './cpu.ts'
import { bareRabbitmq } from './limits.ts'
import { head, print, row, whole } from './table.ts'

const windows = [64, 256] as const
const most = 256

/** Five commands and their answers, in this system as in Create Order. */
const messagesPerOrder = 10

interface Customer {
  readonly email: string
  readonly token: string
  readonly product: string
}

interface Measured extends Load {
  readonly orders: number
  /** Of an order. */
  readonly cpu: CpuTimes
}

export async function benchShop(quick: boolean): Promise<void> {
  const orders = quick ? 1_000 : 10_000
  const bare = await bareRabbitmq(quick)
  const host = await openHost('Redis and RabbitMQ')
  const system = await startSystem({
    ...host,
    variables: (service) => ({
      ...host.variables(service),
      ...(service === 'auth' ? { AUTH_FIRST_LOOK: 'true' } : {}),
    }),
  })
  const redis = host.parts.redis?.url
  const [shopEnds, createEnds] = await Promise.all([
    openEnds({ redis, prefix: 'ordersaga-order-orchestration' }),
    openEnds({ redis }),
  ])
  try {
    const customer = await prepare(system)
    const url = system.url('order-orchestration')
    const shop = (ends: Ends, count: number, inFlight: number) =>
      measured(() => placeOrder(url, customer), ends, count, inFlight)
    const create = (count: number) => measured(() => place(system.url('create-order')), createEnds, count, most)

    await shop(shopEnds, orders * 0.4, 64) // warms up: compilers are at work for the first thousands
    const alone = await oneByOne(url, customer, orders / 10)
    const found = new Map<number, Measured>()
    for (const inFlight of windows) found.set(inFlight, await shop(shopEnds, orders, inFlight))
    await create(orders * 0.4) // warms up
    const created = await create(orders)
    await audit(system)

    head(['orders from stock, in flight', 'orders/s', 'messages/s', 'median ms', 'p99 ms'])
    for (const [inFlight, load] of [[1, alone] as const, ...found]) {
      const perSecond = load.times.length / load.seconds
      row([inFlight, whole(perSecond), whole(perSecond * messagesPerOrder), at(load, 0.5), at(load, 0.99)])
    }
    print('')
    const shared = [
      ['Order Orchestration', found.get(most) ?? created],
      ['Create Order', created],
    ] as const
    head([`Redis and RabbitMQ, ${most} in flight`, 'orders/s', 'messages/s', "of the bare client's messages"])
    row(["RabbitMQ's bare client, batches of 10", '', whole(bare), ''])
    for (const [name, { orders: count, seconds }] of shared) {
      const messages = (count / seconds) * messagesPerOrder
      row([name, whole(count / seconds), whole(messages), `${((messages / bare) * 100).toFixed(0)} %`])
    }
    print('')
    cpuTable(shared.map(([name, { cpu }]) => [name, cpu]))
    print('')
  } catch (error) {
    throw new Error(system.tails(), { cause: error })
  } finally {
    await Promise.all([shopEnds.close(), createEnds.close()])
    await system.destroy()
    await host.remove()
  }
}

const at = ({ times }: Load, share: number): string =>
  (times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * share)] ?? 0).toFixed(1)

async function measured(
  placeOne: () => Promise<string>,
  ends: Ends,
  orders: number,
  inFlight: number,
): Promise<Measured> {
  const before = cpuTimes()
  const load = await together(placeOne, ends, orders, inFlight)
  const cpu = new Map([...cpuSince(before)].map(([name, ms]) => [name, ms / orders]))
  return { ...load, orders, cpu }
}

const read = async <T>(url: string, token?: string): Promise<T> =>
  JSON.parse(await ask('GET', url, 200, undefined, token)) as T
const post = async <T>(url: string, status: number, body: object, token?: string): Promise<T> =>
  JSON.parse(await ask('POST', url, status, JSON.stringify(body), token)) as T

async function prepare(system: System): Promise<Customer> {
  const admin = await logIn(system, 'admin')
  const lamp = { name: 'Lamp', price: 12.99, stock: 1_000_000, vendor_id: 'v@example.com', description: 'A lamp' }
  const url = `${system.url('stock')}/product`
  const { data } = await post<{ readonly data: { readonly Id: string } }>(url, 201, lamp, admin.token)
  return { ...(await logIn(system, 'customer')), product: data.Id }
}

async function logIn(
  system: System,
  role: (typeof firstLookUsers)[number]['role'],
): Promise<{ readonly email: string; readonly token: string }> {
  const { email = '', password = '' } = firstLookUsers.find((user) => user.role === role) ?? {}
  const url = `${system.url('auth')}/login`
  const { access_token: token } = await post<{ readonly access_token: string }>(url, 200, { email, password })
  return { email, token }
}

/** @returns its saga */
async function placeOrder(shop: string, { email, token, product }: Customer): Promise<string> {
  const wanted = JSON.stringify({
    user_email: email,
    vendor_email: 'v@example.com',
    delivery_address: '12 Orchard Road',
    items: [{ product_id: product, quantity: 1, unit_price: 12.99 }],
    payment_method: 'Credit Card',
  })
  const answer = await ask('POST', `${shop}/orders/create_order`, 200, wanted, token)
  return (JSON.parse(answer) as { readonly saga_id: string }).saga_id
}

/** One order after the other, each followed by its event stream as a client does. */
async function oneByOne(shop: string, customer: Customer, orders: number): Promise<Load> {
  const times: number[] = []
  const began = performance.now()
  for (let count = 0; count < orders; count += 1) {
    const from = performance.now()
    const id = await placeOrder(shop, customer)
    const stream = await ask('GET', `${shop}/orders/${id}/updates`, 200, undefined, customer.token)
    if (!stream.includes('COMPLETED')) throw new Error(`an order did not complete:\n${stream}`)
    times.push(performance.now() - from)
  }
  return { seconds: (performance.now() - began) / 1000, times }
}

/** @throws Error where an order was not carried out, or not once: a wrong run has no figures */
async function audit(system: System): Promise<void> {
  const { token } = await logIn(system, 'admin') // anew: the orders may have taken longer than a token is good
  for (const url of [`${system.url('stock')}/stock/audit`, `${system.url('shop-payment')}/payments/audit`]) {
    const { ok, problems } = await read<{ readonly ok: boolean; readonly problems: unknown }>(url, token)
    if (!ok) throw new Error(`the books are wrong: ${JSON.stringify(problems)}`)
  }
  for (const name of ['order-orchestration', 'create-order'] as const) {
    const { counts, total } = await read<{ readonly counts: Record<string, number>; readonly total: number }>(
      `${system.url(name)}/ops/counts`,
    )
    if (counts['COMPLETED'] !== total) throw new Error(`not all orders completed: ${JSON.stringify(counts)}`)
  }
}
