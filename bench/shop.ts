/**
 * Orders from stock, end to end: the Order Orchestration and its participants as processes of their own, over RabbitMQ, sagas in
 * Redis. A client orders with a token, and follows each order by its stream to its end.
 */
import { firstLookUsers } from '../services/auth/first-look.ts'
import { openHost } from '../tests/kit/hosts.ts'
import { startSystem, type System } from '../tests/kit/system.ts'
import { head, print, row, whole } from './table.ts'

const windows = [1, 64, 256] as const

/** Five commands and their answers. */
const messagesPerOrder = 10

interface Customer {
  readonly email: string
  readonly token: string
  readonly product: string
}

export async function benchShop(quick: boolean): Promise<void> {
  const orders = quick ? 1_000 : 10_000
  const host = await openHost('Redis and RabbitMQ')
  const system = await startSystem({
    ...host,
    variables: (service) => ({
      ...host.variables(service),
      ...(service === 'auth' ? { AUTH_FIRST_LOOK: 'true' } : {}),
    }),
  })
  try {
    const customer = await prepare(system)
    await measure(system, customer, orders, 64) // warms up: compilers are at work for the first thousands
    head(['orders from stock, in flight', 'orders/s', 'messages/s', 'median ms', 'p99 ms'])
    for (const inFlight of windows) {
      const { perSecond, times } = await measure(system, customer, inFlight === 1 ? orders / 10 : orders, inFlight)
      const at = (share: number): string => (times[Math.floor((times.length - 1) * share)] ?? 0).toFixed(1)
      row([inFlight, whole(perSecond), whole(perSecond * messagesPerOrder), at(0.5), at(0.99)])
    }
    print('')
    await audit(system)
  } catch (error) {
    throw new Error(system.tails(), { cause: error })
  } finally {
    await system.destroy()
    await host.remove()
  }
}

async function asked<T>(url: string, body?: object, token?: string): Promise<T> {
  const headers = { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: token }) }
  const answer = await fetch(
    url,
    body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) },
  )
  if (!answer.ok) throw new Error(`${url} was answered ${answer.status}: ${await answer.text()}`)
  return (await answer.json()) as T
}

async function prepare(system: System): Promise<Customer> {
  const admin = await logIn(system, 'admin')
  const lamp = { name: 'Lamp', price: 12.99, stock: 1_000_000, vendor_id: 'v@example.com', description: 'A lamp' }
  const url = `${system.url('stock')}/product`
  const { data } = await asked<{ readonly data: { readonly Id: string } }>(url, lamp, admin.token)
  return { ...(await logIn(system, 'customer')), product: data.Id }
}

async function logIn(
  system: System,
  role: (typeof firstLookUsers)[number]['role'],
): Promise<{ readonly email: string; readonly token: string }> {
  const { email = '', password = '' } = firstLookUsers.find((user) => user.role === role) ?? {}
  const url = `${system.url('auth')}/login`
  const { access_token: token } = await asked<{ readonly access_token: string }>(url, { email, password })
  return { email, token }
}

/** Milliseconds of each order, sorted. */
async function measure(
  system: System,
  customer: Customer,
  orders: number,
  inFlight: number,
): Promise<{ readonly perSecond: number; readonly times: readonly number[] }> {
  const times: number[] = []
  let placed = 0
  const orderOn = async (): Promise<void> => {
    while (placed < orders) {
      placed += 1
      times.push(await order(system.url('order-orchestration'), customer))
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: inFlight }, orderOn))
  const perSecond = orders / ((performance.now() - began) / 1_000)
  return { perSecond, times: times.toSorted((a, b) => a - b) }
}

/** @throws Error where it does not complete: a wrong run has no figures */
async function order(shop: string, { email, token, product }: Customer): Promise<number> {
  const began = performance.now()
  const wanted = {
    user_email: email,
    vendor_email: 'v@example.com',
    delivery_address: '12 Orchard Road',
    items: [{ product_id: product, quantity: 1, unit_price: 12.99 }],
    payment_method: 'Credit Card',
  }
  const { saga_id: id } = await asked<{ readonly saga_id: string }>(`${shop}/orders/create_order`, wanted, token)
  const stream = await (await fetch(`${shop}/orders/${id}/updates`, { headers: { authorization: token } })).text()
  if (!stream.includes('COMPLETED')) throw new Error(`an order did not complete:\n${stream}`)
  return performance.now() - began
}

async function audit(system: System): Promise<void> {
  const { token } = await logIn(system, 'admin') // anew: the orders may have taken longer than a token is good
  for (const url of [`${system.url('stock')}/stock/audit`, `${system.url('shop-payment')}/payments/audit`]) {
    const { ok, problems } = await asked<{ readonly ok: boolean; readonly problems: unknown }>(url, undefined, token)
    if (!ok) throw new Error(`the books are wrong: ${JSON.stringify(problems)}`)
  }
}
