/** Orders from stock, each service a process of its own over RabbitMQ and Redis, and each of them killed again and again. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { firstLookUsers } from '../../services/auth/first-look.ts'
import { call } from '../../services/shared/testing/call.ts'
import { openHost, type Host } from '../kit/hosts.ts'
import { suiteOn } from '../kit/parts.ts'
import { installedPart } from '../kit/private-part.ts'
import { startSystem, type System } from '../kit/system.ts'

const parts = await Promise.all(['rabbitmq', 'redis'].map((part) => installedPart(part as 'redis')))
const installed = parts.every((part) => part !== null)

const stock = 60
const orders = 150
const struck = ['order-orchestration', 'stock', 'shop-payment', 'shop-order'] as const
const rounds = 2

suiteOn('RabbitMQ and Redis', installed ? parts : null, 'orders from stock whose services are killed', () => {
  let host: Host
  let system: System
  let token: string
  let admin: string
  let product: string

  const urlOf = (service: Parameters<System['url']>[0], path: string): string => system.url(service) + path
  async function logIn(role: (typeof firstLookUsers)[number]['role']): Promise<string> {
    const { email, password } = firstLookUsers.find((user) => user.role === role) ?? expect.fail(`there is no ${role}`)
    const { body } = await call('POST', urlOf('auth', '/login'), { json: { email, password } })
    return (body as { readonly access_token: string }).access_token
  }
  const asAdmin = (method: string, url: string, json?: object) =>
    call(method, url, { headers: { authorization: admin }, ...(json === undefined ? {} : { json }) })
  beforeAll(async () => {
    host = await openHost('Redis and RabbitMQ')
    system = await startSystem({
      ...host,
      variables: (name) => ({ ...host.variables(name), ...(name === 'auth' ? { AUTH_FIRST_LOOK: 'true' } : {}) }),
    })
    token = await logIn('customer')
    admin = await logIn('admin')
    const lamp = { name: 'Lamp', price: 12.99, stock, vendor_id: 'v@example.com', description: 'A lamp' }
    const added = await asAdmin('POST', urlOf('stock', '/product'), lamp)
    product = (added.body as { readonly data: { readonly Id: string } }).data.Id
  }, 240_000)
  afterAll(async () => {
    await system.destroy()
    await host.remove()
  }, 120_000)

  /** Asked again under its key until it is taken: who asks may be gone, and so may who tells the price. */
  async function place(n: number): Promise<string> {
    const json = {
      user_email: 'customer@example.com',
      vendor_email: 'v@example.com',
      delivery_address: '12 Orchard Road',
      items: [{ product_id: product, quantity: 1, unit_price: 12.99 }],
      payment_method: 'Credit Card',
    }
    const headers = { authorization: token, 'idempotency-key': `order-${n}` }
    return vi.waitFor(
      async () => {
        const { status, body } = await call('POST', urlOf('order-orchestration', '/orders/create_order'), {
          json,
          headers,
        })
        expect(status).toBe(200)
        return (body as { readonly saga_id: string }).saga_id
      },
      { timeout: 120_000, interval: 200 },
    )
  }

  test('sold and left is what there was, and every payment has its order', { timeout: 400_000 }, async () => {
    const placing = (async () => {
      const ids: string[] = []
      for (let n = 0; n < orders; n += 10)
        ids.push(...(await Promise.all(Array.from({ length: 10 }, (_none, i) => place(n + i)))))
      return ids
    })()
    for (let round = 0; round < rounds; round++)
      for (const name of struck) {
        await system.kill(name)
        await system.start(name)
      }
    const ids = await placing
    expect(new Set(ids).size).toBe(orders)
    const counts = async () =>
      (
        (await call('GET', urlOf('order-orchestration', '/ops/counts?definition=order-orchestration'))).body as {
          readonly counts: Readonly<Record<string, number>>
        }
      ).counts
    await expect
      .poll(counts, { timeout: 240_000, interval: 500 })
      .toMatchObject({ STARTED: 0, COMPENSATING: 0, CANCELLING: 0, PARKED: 0 })
    const { COMPLETED: completed = 0, FAILED: failed = 0, COMPENSATED: compensated = 0 } = await counts()
    expect(completed + failed + compensated).toBe(orders)
    expect(completed).toBeGreaterThan(0)
    const { body } = await call('GET', urlOf('stock', `/product/stock/${product}`))
    expect((body as { readonly data: number }).data + completed).toBe(stock)
    expect((await asAdmin('GET', urlOf('stock', '/stock/audit'))).body).toMatchObject({ ok: true, problems: [] })
    expect((await asAdmin('GET', urlOf('shop-payment', '/payments/audit'))).body).toMatchObject({
      ok: true,
      problems: [],
      withoutOrder: [],
      totals: { charged: completed * 1299 },
    })
  })
})
