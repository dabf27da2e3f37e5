/** The Order Orchestration with its own stock, payments, orders and auth, each on a database of its own. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { call } from '../../shared/testing/call.ts'
import { startShop, type WholeShop } from '../../shared/testing/shop.ts'
import type { OrderBody } from './house.testkit.ts'

let shop: WholeShop
let admin: string
let customer: string
beforeAll(async () => {
  shop = await startShop()
  admin = await shop.token('admin')
  customer = await shop.token('customer')
})
afterAll(() => shop.close())

const asAdmin = (method: string, url: string, json?: object) =>
  call(method, url, { headers: { authorization: admin }, ...(json === undefined ? {} : { json }) })

async function addProduct(stock: number): Promise<string> {
  const product = { name: `Lamp ${stock}`, price: 12.99, stock, vendor_id: 'v@example.com', description: 'A lamp' }
  const { body } = await asAdmin('POST', `${shop.urls.stock}/product`, product)
  return (body as { readonly data: { readonly Id: string } }).data.Id
}
const left = async (id: string): Promise<unknown> =>
  ((await call('GET', `${shop.urls.stock}/product/stock/${id}`)).body as { readonly data: unknown }).data

async function register(email: string): Promise<string> {
  const json = { email, password: 'a long pass phrase' }
  expect((await call('POST', `${shop.urls.auth}/register`, { json })).status).toBe(201)
  return ((await call('POST', `${shop.urls.auth}/login`, { json })).body as { readonly access_token: string })
    .access_token
}

async function place(product_id: string, more: object = {}, authorization = customer): Promise<string> {
  const json = {
    user_email: 'customer@example.com',
    vendor_email: 'v@example.com',
    delivery_address: '12 Orchard Road',
    items: [{ product_id, quantity: 1, unit_price: 12.99 }],
    payment_method: 'Credit Card',
    ...more,
  }
  const { status, body, text } = await call('POST', `${shop.urls.shop}/orders/create_order`, {
    json,
    headers: { authorization },
  })
  expect([status, text]).toEqual([200, expect.stringContaining('saga_id')])
  return (body as { readonly saga_id: string }).saga_id
}
const read = async (id: string): Promise<OrderBody> =>
  (await asAdmin('GET', `${shop.urls.shop}/orders/${id}`)).body as OrderBody
async function ended(id: string): Promise<OrderBody> {
  const done = /^(COMPLETED|COMPENSATED|CANCELLED|FAILED)$/
  await expect.poll(async () => (await read(id)).status, { timeout: 60_000 }).toMatch(done)
  return read(id)
}
const orderOf = async (id: string | null) =>
  (await asAdmin('GET', `${shop.urls.order}/orders/${id}`)).body as {
    readonly status: string
    readonly payment_id: string
  }
const paymentOf = async (id: string | null) =>
  (await asAdmin('GET', `${shop.urls.payment}/payments/${id}`)).body as {
    readonly payment_status: string
    readonly order_id: string
  }
async function expectBooks(): Promise<void> {
  expect((await asAdmin('GET', `${shop.urls.stock}/stock/audit`)).body).toMatchObject({ ok: true, problems: [] })
  expect((await asAdmin('GET', `${shop.urls.payment}/payments/audit`)).body).toMatchObject({
    ok: true,
    problems: [],
    withoutOrder: [],
  })
}

test('an order is taken, paid and made, and order and payment know each other', async () => {
  const product = await addProduct(3)
  const { status, order_id: order, payment_id: payment } = await ended(await place(product))
  expect([status, await left(product)]).toEqual(['COMPLETED', 2])
  expect(await orderOf(order)).toMatchObject({ status: 'Pending', payment_id: payment })
  expect(await paymentOf(payment)).toMatchObject({ payment_status: 'Success', order_id: order })
  await expectBooks()
})

test('a card that is declined gives the products back', async () => {
  const product = await addProduct(3)
  const token = await register('declined@example.com')
  const { status, error } = await ended(await place(product, { user_email: 'declined@example.com' }, token))
  expect([status, error]).toEqual(['COMPENSATED', expect.stringContaining('declined')])
  expect(await left(product)).toBe(3)
  await expectBooks()
})

test('a cancel of a complete order gives products and money back, and one that was shipped stays', async () => {
  const product = await addProduct(3)
  const cancel = (id: string | null) =>
    call('POST', `${shop.urls.shop}/orders/cancel_order?order_id=${id}`, { headers: { authorization: customer } })
  const one = await ended(await place(product))
  expect((await cancel(one.order_id)).status).toBe(200)
  await expect.poll(async () => (await read(one.saga_id)).status).toBe('CANCELLED')
  expect([await left(product), (await orderOf(one.order_id)).status]).toEqual([3, 'Canceled'])
  expect((await paymentOf(one.payment_id)).payment_status).toBe('Cancelled')

  const other = await ended(await place(product))
  for (const status of ['Preparing for Shipment', 'Shipped'])
    await asAdmin('PUT', `${shop.urls.order}/orders/${other.order_id}/status/${encodeURIComponent(status)}`)
  const refused = await cancel(other.order_id)
  expect([refused.status, refused.body]).toEqual([409, { detail: expect.stringContaining('Shipped') as string }])
  expect([(await read(other.saga_id)).status, await left(product)]).toEqual(['COMPLETED', 2])
  await expectBooks()
})

test('two hundred orders for twenty products, some cancelled on the way: sold and left is what there was', async () => {
  const product = await addProduct(20)
  const ids = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const id = await place(product)
      if (n % 7 === 0)
        await call('POST', `${shop.urls.shop}/orders/cancel_order?order_id=${id}`, {
          headers: { authorization: customer },
        })
      return id
    }),
  )
  const all = await Promise.all(ids.map(ended))
  const taken = all.filter(({ status }) => status === 'COMPLETED')
  expect(taken.length).toBeGreaterThan(0)
  expect(Number(await left(product)) + taken.length).toBe(20)
  expect(new Set(taken.map(({ order_id: order }) => order)).size).toBe(taken.length)
  expect(new Set(taken.map(({ payment_id: payment }) => payment)).size).toBe(taken.length)
  for (const { order_id: order, payment_id: payment } of taken)
    expect(await orderOf(order)).toMatchObject({ status: 'Pending', payment_id: payment })
  await expectBooks()
})
