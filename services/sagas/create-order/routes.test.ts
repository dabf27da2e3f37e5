/** The routes of the Create Order saga service as its clients know them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { burger, shopOf, type SagaBody, type Shop } from './shop.testkit.ts'

let system: Embedded
let shop: Shop
let sagas: string

beforeAll(async () => {
  system = await startEmbedded()
  shop = shopOf(system)
  sagas = system.urls.sagas
})
afterAll(() => system.close())

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** UTC without suffix. */
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$/

const summary = {
  id: expect.stringMatching(uuid),
  customer_id: 'cust_123',
  order_id: expect.stringMatching(uuid),
  status: 'COMPLETED',
  current_step: 'START_TIMER',
  created_at: expect.stringMatching(time),
  updated_at: expect.stringMatching(time),
}

/** The documented call, byte for byte but for the address. */
const seedBody = `{
    "customer_id": "cust_123",
    "order_details": {
      "foodItems": [
        {
          "name": "Burger",
          "price": 12.99,
          "quantity": 1
        }
      ],
      "deliveryLocation": "North Campus"
    }
  }`

describe.each(['/api', ''])('under "%s"', (prefix) => {
  test('the documented call is answered 202 with success, saga_id, status and message, compact', async () => {
    const answer = await call('POST', `${sagas}${prefix}/orders`, { body: seedBody })
    expect([answer.status, answer.headers.get('content-type')]).toEqual([202, 'application/json; charset=utf-8'])
    expect(answer.text).toMatch(/^\{"success":true,"saga_id":"[^"]{36}","status":"STARTED","message":"[^"]+"\}$/)
    await shop.sagaIn('COMPLETED', (answer.body as { readonly saga_id: string }).saga_id)
  })

  test('a saga is shown with every field of the contract, and what it adds, compact', async () => {
    const id = await shop.start('cust_123')
    await shop.sagaIn('COMPLETED', id)
    const answer = await call('GET', `${sagas}${prefix}/sagas/${id}`)
    expect(answer.status).toBe(200)
    expect(answer.text).toContain('"status":"COMPLETED"')
    const done = (step: string) => ({ step, phase: 'done', attempts: 1 })
    expect(answer.body).toEqual({
      ...summary,
      id,
      error: null,
      completed_at: expect.stringMatching(time),
      payment_id: expect.stringMatching(uuid),
      payment_amount: 12.99,
      order_details: burger,
      cancel: null,
      steps: ['CREATE_ORDER', 'GET_USER_DATA', 'AUTHORIZE_PAYMENT', 'UPDATE_ORDER_STATUS', 'START_TIMER'].map(done),
    })
  })

  test('a list entry has the fields of the contract and no more; the newest comes first', async () => {
    const ids = [await shop.start('cust_123'), await shop.start('cust_123')]
    for (const id of ids) await shop.sagaIn('COMPLETED', id)
    const answer = await call('GET', `${sagas}${prefix}/sagas?limit=2`)
    expect([answer.status, answer.body]).toEqual([200, ids.toReversed().map((id) => ({ ...summary, id }))])
  })

  test('the history tells every move in order, with steps by their names and nothing of the card', async () => {
    const id = await shop.start('cust_123')
    await shop.sagaIn('COMPLETED', id)
    const answer = await call('GET', `${sagas}${prefix}/sagas/${id}/history`)
    const moves = answer.body as readonly { seq: number; at: string; events: { type: string; step?: string }[] }[]
    expect([answer.status, answer.headers.has('x-next')]).toEqual([200, false])
    expect(moves.map(({ seq }) => seq)).toEqual(moves.map((_, index) => index + 1))
    expect(moves.every(({ at }) => time.test(at))).toBe(true)
    const told = moves
      .flatMap(({ events }) => events)
      .map(({ type, step }) => (step === undefined ? type : `${step} ${type}`))
    expect(told.filter((text) => !text.startsWith('Stage'))).toEqual([
      'SagaStarted',
      'CREATE_ORDER StepAsked',
      'CREATE_ORDER StepDone',
      'GET_USER_DATA StepAsked',
      'GET_USER_DATA StepDone',
      'AUTHORIZE_PAYMENT StepAsked',
      'AUTHORIZE_PAYMENT StepDone',
      'UPDATE_ORDER_STATUS StepAsked',
      'UPDATE_ORDER_STATUS StepDone',
      'START_TIMER StepAsked',
      'START_TIMER StepDone',
      'SagaCompleted',
    ])
    expect(answer.text).not.toMatch(/pm_sandbox|cus_sandbox/)
    const rest = await call('GET', `${sagas}${prefix}/sagas/${id}/history?after=${moves.length - 1}`)
    expect(rest.body).toEqual(moves.slice(-1))
  })

  test.each([
    ['GET', '/sagas/nowhere', { success: false, error: 'There is no saga nowhere.' }],
    ['GET', '/sagas/nowhere/history', { success: false, error: 'There is no saga nowhere.' }],
    ['GET', '/sagas/nowhere/updates', { success: false, error: 'There is no saga nowhere.' }],
    ['POST', '/sagas/nowhere/cancel', { error: 'There is no saga nowhere.' }],
  ])('%s %s is answered 404 in the shape of the contract', async (method, path, body) => {
    const answer = await call(method, `${sagas}${prefix}${path}`)
    expect([answer.status, answer.body]).toEqual([404, body])
  })

  test('an unknown status is answered 400 with its name and what there is', async () => {
    for (const status of ['started', 'DONE', '']) {
      const answer = await call('GET', `${sagas}${prefix}/sagas?status=${status}`)
      expect([answer.status, answer.body]).toEqual([
        400,
        {
          success: false,
          error: `status: unknown status '${status}'; use one of STARTED, COMPLETED, FAILED, COMPENSATING, COMPENSATED, CANCELLING, CANCELLED, PARKED`,
        },
      ])
    }
  })
})

describe('the list', () => {
  const list = async (query: string) => {
    const { status, headers, body } = await call('GET', `${sagas}/api/sagas?${query}`)
    expect(status).toBe(200)
    return { next: headers.get('x-next'), items: body as readonly SagaBody[] }
  }

  test('pages follow on each other by X-Next, each saga once, until there is no next', async () => {
    const details = { ...burger, deliveryLocation: 'paging' }
    const ids = []
    for (let count = 0; count < 5; count += 1) ids.push(await shop.start('cust_123', details))
    const seen: string[] = []
    let page = await list('limit=2')
    while (seen.length < 5) {
      expect(page.items).toHaveLength(2)
      seen.push(...page.items.map(({ id }) => id))
      page = await list(`limit=2&after=${page.next}`)
    }
    expect(seen.slice(0, 5)).toEqual(ids.toReversed())
    let last = await list('limit=1000')
    if (last.next !== null) last = await list(`limit=1000&after=${last.next}`)
    expect(last.next).toBeNull()
  })

  test('a status and a customer narrow it down', async () => {
    const declined = await shop.start('cust_declined')
    await shop.sagaIn('COMPENSATED', declined)
    const compensated = await list('status=COMPENSATED')
    expect(compensated.items.map(({ status }) => status)).toEqual(compensated.items.map(() => 'COMPENSATED'))
    expect(compensated.items[0]?.id).toBe(declined)
    expect((await list('customer_id=cust_declined&limit=1')).items[0]?.id).toBe(declined)
    expect((await list('customer_id=cust_declined&status=COMPLETED')).items).toEqual([])
    expect((await list('customer_id=nobody')).items).toEqual([])
  })

  test('without a limit it has at most 100', async () => {
    const before = await shop.count()
    await Promise.all(Array.from({ length: Math.max(101 - before, 0) }, () => shop.start('cust_123')))
    const { items, next } = await list('')
    expect([items.length, next]).toEqual([100, expect.any(String)])
  })
})

describe('starting is idempotent by key', () => {
  test('the same key and body give the same saga, on either path and at the same moment', async () => {
    const json = { customer_id: 'cust_123', order_details: burger }
    const headers = { 'idempotency-key': 'same' }
    const before = await shop.count()
    const paths = ['/api/orders', '/orders', '/api/orders', '/orders']
    const answers = await Promise.all(paths.map((path) => call('POST', `${sagas}${path}`, { json, headers })))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]))
    expect(new Set(answers.map(({ body }) => (body as { saga_id: string }).saga_id)).size).toBe(1)
    expect(await shop.count()).toBe(before + 1)
  })

  test('the same body with its keys in another order counts as the same', async () => {
    const headers = { 'idempotency-key': 'order of keys' }
    const one = await shop.place('cust_123', { foodItems: burger.foodItems, note: 1 }, headers)
    const other = await shop.place('cust_123', { note: 1, foodItems: burger.foodItems }, headers)
    expect(one.body).toMatchObject({ saga_id: (other.body as { saga_id: string }).saga_id })
  })

  test('another body under a used key is answered 422 with what to do, and starts nothing', async () => {
    const headers = { 'idempotency-key': 'used' }
    await shop.place('cust_123', burger, headers)
    const before = await shop.count()
    const second = await shop.place('cust_123', { ...burger, deliveryLocation: 'South Campus' }, headers)
    expect([second.status, second.body]).toEqual([
      422,
      {
        success: false,
        error: 'The idempotency key was used for another request. Use a new key, or send the same body again.',
      },
    ])
    expect(await shop.count()).toBe(before)
  })
})

describe('what becomes of an order', () => {
  test('the money is held, the order is CREATED, a timer of 30 minutes runs that knows the saga', async () => {
    const id = await shop.start('cust_123')
    const { order_id } = await shop.sagaIn('COMPLETED', id)
    expect(await shop.orderStatus(order_id)).toBe('CREATED')
    expect(await shop.payment(order_id)).toMatchObject({ status: 'AUTHORIZED', amount: 12.99, orderId: order_id })
    const { timer } = (await call('GET', `${system.urls.timer}/timers/order/${order_id}`)).body as {
      readonly timer: { readonly createdAt: string; readonly expiresAt: string }
    }
    const minutes = (Date.parse(`${timer.expiresAt}Z`) - Date.parse(`${timer.createdAt}Z`)) / 60_000
    expect(minutes).toBeGreaterThan(29.5)
    expect(minutes).toBeLessThanOrEqual(30)
  })

  test.each([
    [[{ price: 19.99, quantity: 1 }], undefined, 19.99],
    [[{ price: 4.35, quantity: 1 }], undefined, 4.35],
    [[{ price: 8.2, quantity: 1 }], undefined, 8.2],
    [[{ price: 0.1, quantity: 3 }], '0.20', 0.5],
    [
      [
        { item_name: 'Rice', price: 12.99, quantity: 2 },
        { name: 'Tea', price: 1.1, quantity: 3 },
      ],
      3.99,
      33.27,
    ],
    [[{ price: 5, quantity: 1 }], null, 5],
  ])('%j with the fee %j costs exactly %d everywhere', async (foodItems, deliveryFee, amount) => {
    const details = { foodItems, ...(deliveryFee === undefined ? {} : { deliveryFee }), deliveryLocation: 'N' }
    const { order_id, payment_amount } = await shop.sagaIn('COMPLETED', await shop.start('cust_123', details))
    expect([payment_amount, (await shop.payment(order_id)).amount]).toEqual([amount, amount])
  })

  test.each([
    ['a card that is declined', 'cust_declined', /^Payment authorization failed: STRIPE_CARD_ERROR: .+/],
    ['no card', 'cust_no_card', /^Failed to get payment info: .+ no default payment method$/],
    ['a customer whom nobody knows', 'nobody', /^Failed to get payment info: there is no user nobody$/],
  ])('%s undoes the order, and the error says why', async (_name, customer, error) => {
    const saga = await shop.sagaIn('COMPENSATED', await shop.start(customer))
    expect(saga).toMatchObject({ error: expect.stringMatching(error), cancel: null })
    expect(saga.completed_at).toMatch(time)
    expect(await shop.orderStatus(saga.order_id)).toBe('CANCELLED')
  })

  test('an answer that was lost is asked for again, and the money is held once', async () => {
    const saga = await shop.sagaIn('COMPLETED', await shop.start('cust_lost_answer'))
    expect(await shop.payment(saga.order_id)).toMatchObject({ status: 'AUTHORIZED', amount: 12.99 })
    expect(await shop.problems()).toEqual([])
  })

  test('a customer with an id of 37 characters can order', async () => {
    const added = await call('POST', `${system.urls.user}/api/user/temp`, {
      json: {
        email: 'temp@example.com',
        stripe_customer_id: 'cus_temp',
        user_stripe_card: { payment_method_id: 'pm_sandbox_ok' },
      },
    })
    const { clerk_user_id } = (added.body as { readonly user: { readonly clerk_user_id: string } }).user
    expect(clerk_user_id).toHaveLength(37)
    await shop.sagaIn('COMPLETED', await shop.start(clerk_user_id))
  })

  test('what the customer sends besides is passed on and shown as it came', async () => {
    const details = {
      foodItems: [{ item_name: 'Laksa', price: 6.5, quantity: 1, extra: ['chilli', { level: 3 }] }],
      storeLocation: null,
      foodFee: 1,
      note: 'ring twice — 叮咚 🔔',
      toString: 'not a function',
      constructor: 1,
    }
    const id = await shop.start('cust_123', details)
    expect(await shop.sagaIn('COMPLETED', id)).toMatchObject({ order_details: details })
  })
})

describe('messages that nobody asked for', () => {
  const say = (type: string, correlationId: string, payload: unknown) =>
    system.transport.publish(`${type.split('.')[0]}_events`, [
      { id: `foreign-${type}-${correlationId}`, type, correlationId, timestamp: new Date().toISOString(), payload },
    ])

  test('an answer that comes again, late or out of place changes nothing', async () => {
    const id = await shop.start('cust_declined')
    const before = await shop.sagaIn('COMPENSATED', id)
    const { order_id } = before
    await say('order.created', id, { order_id: 'order-1', customer_id: 'cust_declined', status: 'PENDING' })
    await say('user.payment_info_retrieved', id, {})
    await say('payment.failed', id, { error: 'stripe_error' })
    await say('order.status_updated', id, { order_id, status: 'CREATED' })
    await say('timer.started', id, { order_id })
    const next = await shop.start('cust_123') // its moves come after those on the same channels
    await shop.sagaIn('COMPLETED', next)
    const { status, error, completed_at, order_id: orderId } = await shop.saga(id)
    expect({ status, error, completed_at, order_id: orderId }).toEqual({
      status: 'COMPENSATED',
      error: before.error,
      completed_at: before.completed_at,
      order_id,
    })
    expect(await shop.orderStatus(order_id)).toBe('CANCELLED')
  })

  test('a status other than the one asked for is a refusal, never a success', async () => {
    system.gate.hold('update_order_status')
    try {
      const id = await shop.start('cust_123')
      await expect.poll(() => system.gate.held('update_order_status').length).toBeGreaterThan(0)
      const { order_id } = await shop.saga(id)
      await say('order.status_updated', id, { order_id, status: 'CANCELLED' })
      expect((await shop.sagaIn('COMPENSATED', id)).error).toBe('Failed to update order status: CANCELLED')
      expect(await shop.payment(order_id)).toMatchObject({ status: 'REVERTED' })
    } finally {
      system.gate.release('update_order_status')
    }
  })

  test('a refused creation ends FAILED, with an error of any length, and undoes nothing', async () => {
    system.gate.hold('create_order')
    try {
      const id = await shop.start('cust_123')
      const reason = `the kitchen is closed ${'for ever and '.repeat(50)}a day`
      await say('order.creation_failed', id, { error: reason })
      expect(await shop.sagaIn('FAILED', id)).toMatchObject({
        error: `Order creation failed: ${reason}`,
        order_id: null,
        payment_id: null,
        completed_at: expect.stringMatching(time),
      })
    } finally {
      system.gate.release('create_order')
    }
  })
})

describe('operations', () => {
  test('health really asks the store and the transport', async () => {
    expect((await call('GET', `${sagas}/health`)).text).toBe('{"status":"healthy"}')
    expect((await call('GET', `${sagas}/health/live`)).text).toBe('{"status":"alive"}')
    expect((await call('GET', `${sagas}/health/ready`)).body).toEqual({
      status: 'ready',
      parts: { engine: true, store: true, transport: true },
    })
  })

  test('metrics tell of requests by route and of the engine', async () => {
    await shop.sagaIn('COMPLETED', await shop.start('cust_123'))
    const { status, text } = await call('GET', `${sagas}/metrics`)
    expect(status).toBe(200)
    expect(text).toMatch(
      /^http_request_duration_seconds_count\{method="POST",route="\/api\/orders",status="202"\} \d+$/m,
    )
    expect(text).toMatch(/^ordersaga_waking_sagas \d+$/m)
    expect(text).toMatch(/^ordersaga_queued_inputs \d+$/m)
  })

  test('/apidocs/ leads to the API page, which names every path', async () => {
    const page = await call('GET', `${sagas}/apidocs/`)
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    const { body } = await call('GET', `${sagas}/openapi.json`)
    const { openapi, paths } = body as { readonly openapi: string; readonly paths: object }
    const both = (path: string) => [`/api${path}`, path]
    expect(openapi).toBe('3.1.0')
    expect(Object.keys(paths).toSorted()).toEqual(
      [
        ...['/orders', '/sagas', '/sagas/{saga_id}', '/sagas/{saga_id}/history', '/sagas/{saga_id}/updates'].flatMap(
          both,
        ),
        ...['/sagas/{saga_id}/cancel', '/sagas/{saga_id}/actions', '/timer-callback'].flatMap(both),
        ...['/definitions', '/counts', '/moves', '/sagas', '/preview', '/actions'].map((path) => `/ops${path}`),
        ...['', '/history', '/audit', '/preview', '/actions'].map((path) => `/ops/sagas/{saga_id}${path}`),
        '/health',
        '/health/live',
        '/health/ready',
      ].toSorted(),
    )
  })

  test('the pages of http://localhost:5173 may call, also for updates; those of others may not', async () => {
    const id = await shop.start('cust_123')
    const from = (origin: string) => call('GET', `${sagas}/api/sagas/${id}/updates`, { headers: { origin } })
    expect((await from('http://localhost:5173')).headers.get('access-control-allow-origin')).toBe(
      'http://localhost:5173',
    )
    expect((await from('http://localhost:5174')).headers.has('access-control-allow-origin')).toBe(false)
  })
})

test('after all this the books balance', async () => {
  expect(await shop.problems()).toEqual([])
})
