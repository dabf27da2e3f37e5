/** The Order Orchestration Service over HTTP (docs/wire-contract.md 5.1 to 5.3). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UnavailableError } from 'ordersaga/transport'
import { call } from '../../shared/testing/call.ts'
import { chair, lamp, openHouse, order, type House } from './house.testkit.ts'

let house: House
beforeEach(async () => {
  house = await openHouse()
})
afterEach(() => house.close())

const create = (more: object = {}, authorization = 'ada', headers: Readonly<Record<string, string>> = {}) =>
  house.call('POST', '/orders/create_order', { json: { ...order, ...more }, headers: { authorization, ...headers } })
const bare = (path: string) => call('POST', house.url + path, { json: order })

describe('an order', () => {
  test('is taken: the contract’s answer, and the saga to follow it by', async () => {
    const { status, body } = await create()
    expect([status, body]).toEqual([
      200,
      {
        status: 'success',
        message: 'Order creation started',
        data: null,
        saga_id: expect.stringMatching(/^[\da-f-]{36}$/) as string,
      },
    ])
    const { saga_id: id } = body as { readonly saga_id: string }
    const taken = await house.reaches('COMPLETED', id)
    expect(taken).toMatchObject({ order_id: 'order-2', payment_id: 'payment-1', amount: 28.99, error: null })
    expect(house.types()).toEqual([
      'reduce_stock',
      'take_payment',
      'create_order',
      'update_order_payment_id',
      'update_payment_order_id',
    ])
    expect(house.sent.map(({ payload }) => payload)).toEqual([
      {
        products: [
          { product_id: lamp, quantity: 2 },
          { product_id: chair, quantity: 1 },
        ],
      },
      {
        user_email: 'ada@example.com',
        order_id: null,
        amount: 28.99,
        payment_method: 'Credit Card',
        payment_status: 'Pending',
      },
      {
        user_email: 'ada@example.com',
        vendor_email: 'vendor@example.com',
        delivery_address: '12 Orchard Road',
        description: null,
        status: 'Pending',
        items: order.items,
      },
      { order_id: 'order-2', payment_id: 'payment-1' },
      { payment_id: 'payment-1', order_id: 'order-2' },
    ])
  })

  test('is one however often it is sent under one key, and another is refused under it', async () => {
    const key = { 'idempotency-key': 'k-1' }
    const [one, again] = [await create({}, 'ada', key), await create({}, 'ada', key)]
    expect(again.body).toEqual(one.body)
    const other = await create({ description: 'another' }, 'ada', key)
    expect([other.status, other.body]).toEqual([422, { detail: expect.stringContaining('key') as string }])
    const bobs = await create({ user_email: 'bob@example.com' }, 'bob', key)
    expect(bobs.status).toBe(200)
    expect(bobs.body).not.toEqual(one.body)
  })

  test('that is sent again under its key is the one that was taken, whatever its products cost by then', async () => {
    const key = { 'idempotency-key': 'k-1' }
    const { body } = await create({}, 'ada', key)
    for (const price of [24.5, new UnavailableError('the Stock Service does not answer'), null]) {
      if (price === null) house.prices.delete(chair)
      else house.prices.set(chair, price)
      const again = await create({}, 'ada', key)
      expect([again.status, again.body]).toEqual([200, body])
      expect((await create({ description: 'another' }, 'ada', key)).status).toBe(422)
      expect((await create({}, 'ada', { 'idempotency-key': 'k-2' })).status).not.toBe(200)
      expect((await create({ user_email: 'bob@example.com' }, 'bob', key)).status).not.toBe(200)
    }
    expect(await house.engine.count({})).toBe(1)
  })

  test('that is sent again under its key asks nobody for prices', async () => {
    const key = { 'idempotency-key': 'k-1' }
    const { body } = await create({}, 'ada', key)
    const asked: string[] = []
    house.onAsked = async (id) => void asked.push(id)
    expect((await create({}, 'ada', key)).body).toEqual(body)
    expect(asked).toEqual([])
  })

  test('that is taken while it is sent again, at another price by then, is the one that was taken', async () => {
    const key = { 'idempotency-key': 'k-1' }
    let taken: string | null = null
    house.onAsked = async () => {
      house.onAsked = async () => undefined
      taken = await house.place({}, key)
      house.prices.set(chair, 24.5)
    }
    const again = await create({}, 'ada', key)
    expect([again.status, again.body]).toEqual([200, expect.objectContaining({ saga_id: taken })])
    expect(await house.engine.count({})).toBe(1)
  })

  test('is found by the id of its saga and by its own, and followed to its end', async () => {
    const id = await house.place()
    const { order_id: orderId } = await house.reaches('COMPLETED', id)
    for (const path of [`/orders/${id}`, `/orders/${orderId}`])
      expect((await house.call('GET', path)).body).toMatchObject({ saga_id: id, order_id: orderId, ...order })
    const { headers, text } = await house.call('GET', `/orders/${orderId}/updates`)
    expect(headers.get('content-type')).toBe('text/event-stream')
    expect(text).toContain('"status":"COMPLETED"')
  })

  test('keeps the spelling of its addresses but for the name of the host', async () => {
    const id = await house.place({ user_email: 'Ada@EXAMPLE.com' })
    expect(await house.order(id)).toMatchObject({ user_email: 'Ada@example.com' })
    expect((await house.call('GET', `/orders/${id}`)).status).toBe(200)
  })

  test('paid on delivery is told to the payments as well', async () => {
    await house.reaches('COMPLETED', await house.place({ payment_method: 'Cash on Delivery' }))
    expect(house.sent[1]?.payload).toMatchObject({ payment_method: 'Cash on Delivery' })
  })
})

describe('who asks', () => {
  test('and has no token, or one that is not good, is told so', async () => {
    for (const path of ['/orders/create_order', '/orders/', '/orders/cancel_order?order_id=1']) {
      const { status, body } = await bare(path)
      expect([path, status, body]).toEqual([path, 401, { detail: expect.stringContaining('send a token') as string }])
    }
    expect((await call('GET', `${house.url}/protected`)).status).toBe(401)
    expect((await call('GET', `${house.url}/orders/x`)).status).toBe(401)
    expect((await call('GET', `${house.url}/orders/x/updates`)).status).toBe(401)
    expect(house.sent).toEqual([])
  })

  test('is told that the auth server is away, and not that his token is bad', async () => {
    const { status, headers, body } = await create({}, 'nobody')
    expect([status, headers.get('retry-after'), body]).toEqual([
      503,
      '2',
      { detail: expect.stringContaining('does not answer') as string },
    ])
  })

  test('orders for nobody else', async () => {
    const { status, body } = await create({ user_email: 'bob@example.com' })
    expect([status, body]).toEqual([403, { detail: expect.stringContaining('ada@example.com') as string }])
  })

  test('neither sees nor cancels the order of another, an administrator does', async () => {
    const id = await house.place()
    const { order_id: orderId } = await house.reaches('COMPLETED', id)
    for (const name of [id, orderId, 'none']) {
      const headers = { authorization: 'bob' }
      const asked = [
        await house.call('GET', `/orders/${name}`, { headers }),
        await house.call('GET', `/orders/${name}/updates`, { headers }),
        await house.call('POST', `/orders/cancel_order?order_id=${name}`, { headers }),
      ]
      expect(asked.map(({ status, body }) => [status, body])).toEqual(
        asked.map(() => [404, { detail: `You have no order ${name}.` }]),
      )
    }
    expect((await house.order(id)).status).toBe('COMPLETED')
    const cancelled = await house.call('POST', `/orders/cancel_order?order_id=${orderId}`, {
      headers: { authorization: 'root' },
    })
    expect([cancelled.status, cancelled.body]).toEqual([200, { message: 'Order cancellation started' }])
    expect((await house.reaches('CANCELLED', id)).cancel).toMatchObject({ by: 'administrator' })
  })

  test('and is accepted without a name orders only where a setting allows it', async () => {
    expect((await create({}, 'unnamed')).body).toEqual({
      detail: expect.stringContaining('AUTH_ACCEPT_UNNAMED') as string,
    })
    const open = await openHouse({ acceptUnnamed: true })
    try {
      const headers = { authorization: 'unnamed' }
      const { status } = await open.call('POST', '/orders/create_order', { json: order, headers })
      expect(status).toBe(200)
    } finally {
      await open.close()
    }
  })
})

describe('a request that cannot be', () => {
  const detailOf = async (more: object) => {
    const { status, body } = await create(more)
    return [status, (body as { readonly detail: readonly { readonly loc: unknown; readonly type: string }[] }).detail]
  }
  const item = (more: object) => ({ items: [{ ...order.items[0], ...more }] })

  test('is told in FastAPI’s words where it is wrong', async () => {
    expect(await detailOf({ user_email: undefined, items: [{ product_id: 7, quantity: 'x' }] })).toEqual([
      422,
      [
        { type: 'missing', loc: ['body', 'user_email'], msg: 'Field required' },
        { type: 'string_type', loc: ['body', 'items', 0, 'product_id'], msg: 'Input should be a valid string' },
        { type: 'int_type', loc: ['body', 'items', 0, 'quantity'], msg: 'Input should be a valid integer' },
        { type: 'missing', loc: ['body', 'items', 0, 'unit_price'], msg: 'Field required' },
      ],
    ])
  })

  test.each([
    ['1', 'int_type', 'Input should be a valid integer'],
    [null, 'int_type', 'Input should be a valid integer'],
    [1.5, 'int_from_float', 'Input should be a valid integer, got a number with a fractional part'],
    [undefined, 'missing', 'Field required'],
  ])('for a quantity of %j is told of it as of no integer', async (quantity, type, msg) => {
    expect(await detailOf(item({ quantity }))).toEqual([422, [{ type, loc: ['body', 'items', 0, 'quantity'], msg }]])
  })

  test.each([
    ['no items', { items: [] }, ['body', 'items']],
    ['a quantity of 0', item({ quantity: 0 }), ['body', 'items', 0, 'quantity']],
    ['a negative quantity', item({ quantity: -1 }), ['body', 'items', 0, 'quantity']],
    ['half a product', item({ quantity: 1.5 }), ['body', 'items', 0, 'quantity']],
    ['a quantity that no machine counts', item({ quantity: 1e20 }), ['body', 'items', 0, 'quantity']],
    ['a negative price', item({ unit_price: -1 }), ['body', 'items', 0, 'unit_price']],
    ['a price of a tenth of a cent', item({ unit_price: 1.001 }), ['body', 'items', 0, 'unit_price']],
    [
      'a product id that foreign ones cannot keep',
      item({ product_id: 'x'.repeat(37) }),
      ['body', 'items', 0, 'product_id'],
    ],
    ['a description that foreign ones cannot keep', { description: 'x'.repeat(256) }, ['body', 'description']],
    ['an address that foreign ones cannot keep', { delivery_address: 'x'.repeat(256) }, ['body', 'delivery_address']],
    ['an address of blanks', { delivery_address: '   ' }, ['body', 'delivery_address']],
    ['a status of its own', { status: 'Delivered' }, ['body', 'status']],
    ['an e-mail address that is none', { vendor_email: 'vendor' }, ['body', 'vendor_email']],
  ] as const)('%s is refused, and nothing is begun', async (_what, more, loc) => {
    const [status, detail] = await detailOf(more)
    expect([status, detail]).toEqual([422, [expect.objectContaining({ loc })]])
    expect(house.sent).toEqual([])
  })

  test('is told of its broken JSON before anybody asks who sent it, and of its wrong body only after', async () => {
    const broken = await call('POST', `${house.url}/orders/create_order`, {
      body: '{"user_email":',
      headers: { 'content-type': 'application/json' },
    })
    expect([broken.status, broken.body]).toEqual([
      422,
      {
        detail: [{ type: 'json_invalid', loc: ['body'], msg: expect.stringContaining('JSON decode error') as string }],
      },
    ])
    expect((await call('POST', `${house.url}/orders/create_order`, { json: {} })).status).toBe(401)
    expect((await create({ items: undefined })).status).toBe(422)
    const nothing = await house.call('POST', '/orders/create_order')
    expect([nothing.status, nothing.body]).toEqual([
      422,
      { detail: [{ type: 'missing', loc: ['body'], msg: 'Field required' }] },
    ])
  })

  test('with a payment method that there is not is told so as the contract says', async () => {
    const { status, body } = await create({ payment_method: 'Shells' })
    expect([status, body]).toEqual([400, { detail: 'Invalid payment method' }])
  })

  test('of a cancel that names no order is 422', async () => {
    const { status, body } = await house.call('POST', '/orders/cancel_order')
    expect([status, body]).toEqual([
      422,
      { detail: [{ type: 'missing', loc: ['query', 'order_id'], msg: 'Field required' }] },
    ])
  })
})

describe('the price of a product', () => {
  test('that is not there', async () => {
    house.prices.delete(chair)
    const { status, body } = await create()
    expect([status, body]).toEqual([400, { detail: `There is no product ${chair}.` }])
  })

  test('that is another than was sent is refused with both', async () => {
    house.prices.set(chair, 24.5)
    const { status, body } = await create()
    expect([status, body]).toEqual([409, { detail: `Product ${chair} costs 24.50, not 19.99: order it at its price.` }])
    expect(house.sent).toEqual([])
  })

  test('of another vendor is refused with both', async () => {
    house.vendor = 'other@example.com'
    const { status, body } = await create()
    expect([status, body]).toEqual([
      409,
      { detail: `Product ${lamp} is sold by other@example.com, not by vendor@example.com: order it from its vendor.` },
    ])
    expect(house.sent).toEqual([])
  })

  test.each(['Vendor@example.com', 'vendor-7', null])('of vendor %s is taken as sent', async (vendor) => {
    house.vendor = vendor
    expect((await create()).status).toBe(200)
  })

  test('is not known while the Stock Service is away, which refuses nobody', async () => {
    house.prices.set(chair, new UnavailableError('the Stock Service does not answer'))
    const { status, headers, body } = await create()
    expect([status, headers.get('retry-after'), body]).toEqual([
      503,
      '5',
      { detail: expect.stringContaining('the Stock Service does not answer') as string },
    ])
    expect(house.sent).toEqual([])
  })

  test('makes an order that is too dear for one, or comes to nothing, refused', async () => {
    house.prices.set(lamp, 999_999)
    const dear = [{ product_id: lamp, quantity: 2, unit_price: 999_999 }]
    expect((await create({ items: dear })).body).toEqual({
      detail: 'The order comes to more than 999999.99: split it.',
    })
    house.prices.set(lamp, 0)
    expect((await create({ items: [{ product_id: lamp, quantity: 2, unit_price: 0 }] })).body).toEqual({
      detail: 'The order comes to 0.00: there is nothing to pay for.',
    })
  })
})

describe('a part that refuses', () => {
  test('stock: nothing is taken, nothing undone', async () => {
    house.refused.set('reduce_stock', 'only 1 left')
    const { error } = await house.reaches('FAILED', await house.place())
    expect(error).toBe('The products could not be taken out of stock: only 1 left')
    expect(house.types()).toEqual(['reduce_stock'])
  })

  test('payment: the products go back', async () => {
    house.refused.set('take_payment', 'declined')
    const id = await house.place()
    await house.reaches('COMPENSATED', id)
    expect(house.types()).toEqual(['reduce_stock', 'take_payment', 'rollback_stock'])
    expect(house.sent.at(-1)?.payload).toEqual({ transaction_id: id })
  })

  test('order: the payment and the products go back, and no order that was never made', async () => {
    house.refused.set('create_order', 'no')
    await house.reaches('COMPENSATED', await house.place())
    expect(house.types()).toEqual([
      'reduce_stock',
      'take_payment',
      'create_order',
      'rollback_payment',
      'rollback_stock',
    ])
  })

  test('the order that is to be told of its payment: all of it goes back', async () => {
    house.refused.set('update_order_payment_id', 'it is cancelled')
    await house.reaches('COMPENSATED', await house.place())
    expect(house.types().slice(4)).toEqual(['rollback_order', 'rollback_payment', 'rollback_stock'])
  })
})

describe('a cancel', () => {
  const cancel = (id: string) => house.call('POST', `/orders/cancel_order?order_id=${id}`)

  test('of an order that is complete gives everything back, order first, and again says the same', async () => {
    const id = await house.place()
    const { order_id: orderId } = await house.reaches('COMPLETED', id)
    expect((await cancel(orderId ?? '')).body).toEqual({ message: 'Order cancellation started' })
    await house.reaches('CANCELLED', id)
    expect(house.types().slice(5)).toEqual(['rollback_order', 'rollback_payment', 'rollback_stock'])
    expect(await cancel(orderId ?? '')).toMatchObject({ status: 200 })
  })

  test('of several at once answers each alike, taken or refused', async () => {
    for (const refused of [false, true]) {
      if (refused) house.refused.set('rollback_order', 'it is shipped')
      const id = await house.place()
      await house.reaches('COMPLETED', id)
      const answers = await Promise.all(Array.from({ length: 6 }, () => cancel(id)))
      const first = refused
        ? [409, { detail: expect.stringContaining('it is shipped') as string }]
        : [200, { message: 'Order cancellation started' }]
      expect(answers.map(({ status, body }) => [status, body])).toEqual(answers.map(() => first))
    }
  })

  test('of an order that has failed says so once', async () => {
    house.refused.set('reduce_stock', 'only 1 left')
    const id = await house.place()
    await house.reaches('FAILED', id)
    const { status, body } = await cancel(id)
    expect([status, body]).toEqual([409, { detail: 'The order cannot be cancelled: it has ended FAILED' }])
  })

  test('and an order, of which the store does not tell yet, says where to look', async () => {
    const slow = await openHouse({
      patienceMs: 20,
      over: (store) => ({ ...store, startedUnder: () => new Promise<never>(() => undefined) }),
    })
    try {
      const headers = { 'idempotency-key': 'k-1' }
      const { status, body } = await slow.call('POST', '/orders/create_order', { json: order, headers })
      expect([status, body]).toEqual([
        503,
        {
          detail:
            'the store does not answer in time, and whether this takes effect is not known yet: send an order again under its Idempotency-Key, or look at /orders/{saga_id} first',
        },
      ])
    } finally {
      await slow.close()
    }
  })

  test('that who keeps the orders refuses changes nothing, and says why', async () => {
    house.refused.set('rollback_order', 'it is shipped')
    const id = await house.place()
    await house.reaches('COMPLETED', id)
    const { status, body } = await cancel(id)
    expect([status, body]).toEqual([409, { detail: expect.stringContaining('it is shipped') as string }])
    expect((await house.order(id)).status).toBe('COMPLETED')
  })

  test('on the way undoes what may have been done', async () => {
    house.lost.add('take_payment')
    const id = await house.place()
    await expect.poll(house.types).toContain('take_payment')
    expect((await cancel(id)).status).toBe(200)
    house.lost.delete('take_payment')
    await house.reaches('CANCELLED', id)
    expect(house.types()).toContain('rollback_stock')
    expect(house.types()).not.toContain('create_order')
  })
})

describe('a browser page of any origin', () => {
  const origin = 'https://shop.elsewhere.example'

  test('may order with a token, and asks for leave first', async () => {
    const leave = await call('OPTIONS', `${house.url}/orders/create_order`, {
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    })
    expect([leave.status, leave.headers.get('access-control-allow-origin')]).toEqual([204, origin])
    expect(leave.headers.get('access-control-allow-headers')).toContain('Authorization')
    const taken = await create({}, 'ada', { origin })
    expect([taken.status, taken.headers.get('access-control-allow-origin')]).toEqual([200, origin])
    expect((await call('GET', house.url, { headers: { origin } })).status).toBe(200)
  })

  test('does not reach what operators have', async () => {
    for (const path of ['/ops/counts', '/metrics', '/docs', '/ordersx'])
      expect([path, (await call('GET', house.url + path, { headers: { origin } })).status]).toEqual([path, 403])
  })
})

describe('signs of life', () => {
  test('are as the contract has them', async () => {
    const root = await call('GET', house.url)
    expect([root.status, root.body]).toEqual([200, { message: 'Orchestration Service is running.' }])
    const orders = await house.call('POST', '/orders/')
    expect([orders.status, orders.body]).toEqual([200, { status: 'OK' }])
    const protectedToken = await house.call('GET', '/protected')
    expect([protectedToken.status, protectedToken.body]).toEqual([200, { token_received: 'ada' }])
  })

  test('/orders leads to /orders/, whoever asks', async () => {
    const asked = `${house.url}/orders`
    const { status, headers } = await fetch(asked, { method: 'POST', redirect: 'manual' })
    expect([status, new URL(headers.get('location') ?? '', asked).href]).toEqual([307, `${house.url}/orders/`])
  })
})
