/** Who may read and change what of stock, orders and payments, where an auth server knows users. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { call, type Answered } from '../shared/testing/call.ts'
import { startShop, type WholeShop } from '../shared/testing/shop.ts'

type Asker = 'nobody' | 'stranger' | 'customer' | 'other vendor' | 'vendor' | 'admin'
const askers: readonly Asker[] = ['nobody', 'stranger', 'customer', 'other vendor', 'vendor', 'admin']

let shop: WholeShop
let tokens: Readonly<Record<Asker, string | undefined>>
/** Sold by `vendor`, ordered by `customer`. */
let product: string
let order: string
let payment: string

beforeAll(async () => {
  shop = await startShop()
  const admin = await shop.token('admin')
  tokens = {
    nobody: undefined,
    stranger: await registered('stranger@example.com'),
    customer: await shop.token('customer'),
    'other vendor': await added('other-vendor@example.com', admin),
    vendor: await shop.token('vendor'),
    admin,
  }
  product = idIn(await as('vendor', 'POST', 'stock', '/product', lamp))
  ;({ order, payment } = await ordered())
}, 60_000)
afterAll(() => shop.close())

const lamp = { name: 'Lamp', price: 12.99, stock: 50, vendor_id: 'vendor@example.com', description: 'A lamp' }
const password = 'a long pass phrase'

const as = (asker: Asker, method: string, service: keyof WholeShop['urls'], path: string, json?: object) => {
  const token = tokens[asker]
  return call(method, shop.urls[service] + path, {
    ...(json === undefined ? {} : { json }),
    ...(token === undefined ? {} : { headers: { authorization: token } }),
  })
}
const idIn = ({ body }: Answered): string => (body as { readonly data: { readonly Id: string } }).data.Id

async function logIn(email: string): Promise<string> {
  const { body } = await call('POST', `${shop.urls.auth}/login`, { json: { email, password } })
  return (body as { readonly access_token: string }).access_token
}
async function registered(email: string): Promise<string> {
  await call('POST', `${shop.urls.auth}/register`, { json: { email, password } })
  return logIn(email)
}
async function added(email: string, authorization: string): Promise<string> {
  const json = { email, password, roles: ['vendor'] }
  expect((await call('POST', `${shop.urls.auth}/users`, { json, headers: { authorization } })).status).toBe(201)
  return logIn(email)
}

async function ordered(): Promise<{ readonly order: string; readonly payment: string }> {
  const json = {
    user_email: 'customer@example.com',
    vendor_email: 'vendor@example.com',
    delivery_address: '12 Orchard Road',
    items: [{ product_id: product, quantity: 1, unit_price: 12.99 }],
    payment_method: 'Credit Card',
  }
  const { body } = await as('customer', 'POST', 'shop', '/orders/create_order', json)
  const { saga_id: id } = body as { readonly saga_id: string }
  const read = async () =>
    (await as('customer', 'GET', 'shop', `/orders/${id}`)).body as {
      readonly status: string
      readonly order_id: string
      readonly payment_id: string
    }
  await vi.waitFor(async () => expect((await read()).status).toBe('COMPLETED'), { timeout: 30_000, interval: 50 })
  const { order_id, payment_id } = await read()
  return { order: order_id, payment: payment_id }
}

/** What each of them is answered, in turn. */
const statuses = async (ask: (asker: Asker) => Promise<Answered>): Promise<Partial<Record<Asker, number>>> => {
  const found: Partial<Record<Asker, number>> = {}
  for (const asker of askers) found[asker] = (await ask(asker)).status
  return found
}

describe('stock', () => {
  test('shows products and categories to everybody', async () => {
    for (const path of [
      '/product',
      `/product/${product}`,
      `/product/stock/${product}`,
      '/product/many/Lamp',
      '/category',
    ])
      expect([path, (await as('nobody', 'GET', 'stock', path)).status]).toEqual([path, 200])
  })

  test.each<readonly [string, () => readonly [method: string, path: string, json?: object]]>([
    ['sets a price', () => ['PUT', `/product/price/${product}`, { price: 12.99 }]],
    ['sets a name', () => ['PUT', `/product/name/${product}`, { name: 'Lamp' }]],
    ['sets an image', () => ['PUT', `/product/image/${product}`, { image: '' }]],
    ['sets a description', () => ['PUT', `/product/description/${product}`, { description: 'A lamp' }]],
    ['restocks', () => ['POST', `/product/stock/${product}`, { quantity: 1 }]],
  ])('its vendor alone, or an administrator, %s', async (_what, request) => {
    expect(await statuses((asker) => as(asker, request()[0], 'stock', request()[1], request()[2]))).toEqual({
      nobody: 401,
      stranger: 403,
      customer: 403,
      'other vendor': 403,
      vendor: 200,
      admin: 200,
    })
  })

  test('a vendor adds and removes products of his own, an administrator those of all', async () => {
    const ids = new Map<Asker, string>()
    const adds = await statuses(async (asker) => {
      const answered = await as(asker, 'POST', 'stock', '/product', lamp)
      if (answered.status === 201) ids.set(asker, idIn(answered))
      return answered
    })
    expect(adds).toEqual({ nobody: 401, stranger: 403, customer: 403, 'other vendor': 403, vendor: 201, admin: 201 })
    for (const asker of ['nobody', 'customer', 'other vendor', 'vendor'] as const)
      expect((await as(asker, 'DELETE', 'stock', `/product/${ids.get('admin')}`)).status).toBe(
        adds[asker] === 201 ? 200 : adds[asker],
      )
    expect((await as('admin', 'DELETE', 'stock', `/product/${ids.get('vendor')}`)).status).toBe(200)
  })

  test('a refusal says what is missing, and changes nothing', async () => {
    const body = { price: 0.01 }
    const [unknown, customer, vendor] = [
      await as('nobody', 'PUT', 'stock', `/product/price/${product}`, body),
      await as('customer', 'PUT', 'stock', `/product/price/${product}`, body),
      await as('other vendor', 'PUT', 'stock', `/product/price/${product}`, body),
    ]
    const messages = [unknown, customer, vendor].map((answer) => (answer.body as { readonly message: string }).message)
    expect(messages).toEqual([
      expect.stringContaining('send an access token'),
      expect.stringContaining('needs the role vendor or admin, and this token has customer'),
      expect.stringContaining('The vendor_id is vendor@example.com, and the token is of other-vendor@example.com'),
    ])
    const { body: shown } = await as('nobody', 'GET', 'stock', `/product/${product}`)
    expect(shown).toMatchObject({ data: { Price: 12.99 } })
  })

  test('a key of a delivery is its vendor’s alone', async () => {
    const his = idIn(
      await as('other vendor', 'POST', 'stock', '/product', { ...lamp, vendor_id: 'other-vendor@example.com' }),
    )
    const delivered = async (asker: Asker, of: string): Promise<number> => {
      const headers = { authorization: tokens[asker] ?? '', 'idempotency-key': 'monday' }
      return (await call('POST', `${shop.urls.stock}/product/stock/${of}`, { json: { quantity: 1 }, headers })).status
    }
    expect(await delivered('vendor', product)).toBe(200)
    expect(await delivered('other vendor', his)).toBe(200)
    expect(await delivered('vendor', his)).toBe(403)
  })

  test('a category is added by a vendor, renamed and removed by an administrator', async () => {
    const id = idIn(await as('vendor', 'POST', 'stock', '/category', { name: 'Lights' }))
    expect((await as('customer', 'POST', 'stock', '/category', { name: 'Mine' })).status).toBe(403)
    expect((await as('vendor', 'PUT', 'stock', `/category/${id}`, { name: 'Mine' })).status).toBe(403)
    expect((await as('vendor', 'DELETE', 'stock', `/category/${id}`)).status).toBe(403)
    expect((await as('admin', 'PUT', 'stock', `/category/${id}`, { name: 'Lamps' })).status).toBe(200)
    expect((await as('admin', 'DELETE', 'stock', `/category/${id}`)).status).toBe(200)
  })

  test('what one holds is his and an administrator’s', async () => {
    const json = { products: [{ product_id: product, quantity: 1 }], seconds: 600 }
    expect((await as('nobody', 'POST', 'stock', '/stock/holds', json)).status).toBe(401)
    const id = idIn(await as('customer', 'POST', 'stock', '/stock/holds', json))
    const read = (asker: Asker) => as(asker, 'GET', 'stock', `/stock/holds/${id}`)
    const others = { nobody: 401, stranger: 404, 'other vendor': 404, vendor: 404 }
    expect(await statuses(read)).toEqual({ ...others, customer: 200, admin: 200 })
    for (const asker of ['nobody', 'stranger'] as const) {
      expect((await as(asker, 'POST', 'stock', `/stock/holds/${id}/keep`)).status).toBe(others[asker])
      expect((await as(asker, 'DELETE', 'stock', `/stock/holds/${id}`)).status).toBe(others[asker])
    }
    expect((await read('customer')).body).toMatchObject({ data: { State: 'HELD' } })
    expect((await as('customer', 'DELETE', 'stock', `/stock/holds/${id}`)).status).toBe(200)
  })
})

const ownOrAll = { nobody: 401, stranger: 404, customer: 200, 'other vendor': 404, admin: 200 }
const forAdministrators = { nobody: 401, stranger: 403, customer: 403, 'other vendor': 403, vendor: 403, admin: 200 }

describe('orders', () => {
  test('are shown to who ordered, who sells and administrators; for all others there are none', async () => {
    expect(await statuses((asker) => as(asker, 'GET', 'order', `/orders/${order}`))).toEqual({
      ...ownOrAll,
      vendor: 200,
    })
    const [another, none] = [
      await as('stranger', 'GET', 'order', `/orders/${order}`),
      await as('stranger', 'GET', 'order', '/orders/none'),
    ]
    expect([another.body, none.body]).toEqual([
      { detail: `There is no order ${order}.` },
      { detail: 'There is no order none.' },
    ])
  })

  test('are listed for each user and vendor himself, and all of them for administrators', async () => {
    expect(await statuses((asker) => as(asker, 'GET', 'order', '/orders'))).toEqual(forAdministrators)
    expect(await statuses((asker) => as(asker, 'GET', 'order', '/orders/user/customer@example.com'))).toEqual({
      ...forAdministrators,
      customer: 200,
    })
    expect(await statuses((asker) => as(asker, 'GET', 'order', '/orders/vendor/vendor@example.com'))).toEqual({
      ...forAdministrators,
      vendor: 200,
    })
  })

  test('go on their way by their vendor or an administrator', async () => {
    const { order: id } = await ordered()
    const path = `/orders/${id}/status/${encodeURIComponent('Preparing for Shipment')}`
    expect(await statuses((asker) => as(asker, 'PUT', 'order', path))).toEqual({
      nobody: 401,
      stranger: 403,
      customer: 403,
      'other vendor': 404,
      vendor: 200,
      admin: 200,
    })
  })
})

describe('payments', () => {
  test('are shown to who paid and administrators; for all others there are none', async () => {
    expect(await statuses((asker) => as(asker, 'GET', 'payment', `/payments/${payment}`))).toEqual({
      ...ownOrAll,
      vendor: 404,
    })
    expect(await statuses((asker) => as(asker, 'GET', 'payment', '/payments/user/customer@example.com'))).toEqual({
      ...forAdministrators,
      customer: 200,
    })
  })

  test.each(['/payments', '/payments/audit'])('%s is for administrators', async (path) => {
    expect(await statuses((asker) => as(asker, 'GET', 'payment', path))).toEqual(forAdministrators)
  })

  test('are given back by administrators', async () => {
    const { payment: id } = await ordered()
    expect(await statuses((asker) => as(asker, 'PUT', 'payment', `/payments/${id}/status/Refund`))).toEqual(
      forAdministrators,
    )
  })
})

test('the API pages say which routes want a token', async () => {
  const page = async (service: 'stock' | 'order' | 'payment') =>
    (await as('nobody', 'GET', service, '/openapi.json')).body as {
      readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly security?: unknown }>>>>
    }
  const guarded = async (service: 'stock' | 'order' | 'payment'): Promise<readonly string[]> =>
    Object.entries((await page(service)).paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { security }]) =>
        security === undefined ? [] : [`${method} ${path}`],
      ),
    )
  const stock = await guarded('stock')
  expect(stock).toEqual(
    expect.arrayContaining(['post /product', 'put /product/price/{id}', 'post /product/stock/{id}']),
  )
  expect(stock.filter((route) => /^get \/(product|category)/.test(route))).toEqual([])
  expect((await guarded('order')).length).toBe(5)
  expect((await guarded('payment')).length).toBe(5)
})
