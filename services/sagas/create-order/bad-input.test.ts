/**
 * Whatever comes over HTTP: a mistake is answered below 500, in the contract's error shape, with a sentence that says what to
 * do, and nothing is stored.
 */
import fc from 'fast-check'
import { request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readOrderDetails } from '../../shared/order-details.ts'
import { call, type Answered } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { burger, shopOf, type Shop } from './shop.testkit.ts'

let system: Embedded
let shop: Shop
let sagas: string
let stored = 0

beforeAll(async () => {
  system = await startEmbedded()
  shop = shopOf(system)
  sagas = system.urls.sagas
})
afterAll(() => system.close())

/** Nothing was started but what a test started on purpose. */
async function nothingStored(): Promise<void> {
  expect(await shop.count()).toBe(stored)
}

function refused(answer: Answered, status: number, error: unknown): void {
  expect([answer.status, answer.body]).toEqual([status, { success: false, error }])
}

const good = { customer_id: 'cust_123', order_details: burger }
const item = (change: object): object => ({ ...burger, foodItems: [{ ...burger.foodItems[0], ...change }] })
const deep = (levels: number): string =>
  `{"customer_id":"c","order_details":${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}}`

describe.each(['/api/orders', '/orders'])('POST %s', (path) => {
  const post = (body: string | Uint8Array<ArrayBuffer>, headers = {}) => call('POST', sagas + path, { body, headers })

  test.each<readonly [name: string, body: string, error: string | RegExp]>([
    ['no body', '', 'the body is missing: send an object'],
    ['blanks', ' \n ', 'the body is missing: send an object'],
    ['null', 'null', 'the body is missing: send an object'],
    ['a number', '5', 'the body must be an object, not a number'],
    ['a text', '"x"', 'the body must be an object, not a text'],
    ['a list', '[]', 'the body must be an object, not a list'],
    [
      'an empty object',
      '{}',
      'customer_id: send customer_id, a text; order_details: send order_details, an object with foodItems and deliveryLocation',
    ],
    ['half an object', '{"customer_id":', /^the body is not JSON \(.+\): send one JSON object$/],
    ['two objects', '{}{}', /^the body is not JSON \(.+\): send one JSON object$/],
    ['single quotes', "{'customer_id':'c'}", /^the body is not JSON \(.+\): send one JSON object$/],
    ['an HTML page', '<html></html>', /^the body is not JSON \(.+\): send one JSON object$/],
    ['100,000 levels', deep(100_000), 'the body is nested more than 100 levels deep: send a flatter one'],
    ['101 levels', deep(101), 'the body is nested more than 100 levels deep: send a flatter one'],
    [
      'a number beyond numbers',
      '{"customer_id":1e999}',
      'the body holds a number that is too large: send a smaller one',
    ],
    ['a NUL', '{"customer_id":"a\\u0000"}', /^the body holds a text with a character that cannot be stored \(NUL/],
    ['a NUL in a name', '{"order_details":{"a\\u0000":1}}', /^the body holds a text with a character that cannot/],
    ['half a surrogate pair', '{"customer_id":"\\ud800"}', /^the body holds a text with a character that cannot/],
    ['__proto__', '{"__proto__":{}}', 'the body holds a field named __proto__, which is not taken: leave it out'],
    [
      '__proto__ in an item',
      '{"customer_id":"c","order_details":{"foodItems":[{"__proto__":{"price":1}}]}}',
      'the body holds a field named __proto__, which is not taken: leave it out',
    ],
    [
      'constructor.prototype',
      '{"order_details":{"constructor":{"prototype":{"price":1}}}}',
      'the body holds a field named constructor, which is not taken: leave it out',
    ],
    [
      'a good body whose second customer_id is none',
      JSON.stringify(good).replace(/}$/, ',"customer_id":5}'),
      'customer_id: send customer_id, a text',
    ],
  ])('%s is answered 400', async (_name, body, error) => {
    refused(await post(body), 400, typeof error === 'string' ? error : expect.stringMatching(error))
    await nothingStored()
  })

  test.each<readonly [name: string, body: object, error: string]>([
    ['no customer', { order_details: burger }, 'customer_id: send customer_id, a text'],
    ['a customer that is a number', { ...good, customer_id: 5 }, 'customer_id: send customer_id, a text'],
    ['an empty customer', { ...good, customer_id: '' }, 'customer_id: must not be empty'],
    [
      'a customer of 256 characters',
      { ...good, customer_id: 'c'.repeat(256) },
      'customer_id: must have at most 255 characters',
    ],
    ...[undefined, null, [], 'x', 1].map(
      (order_details) =>
        [
          `details that are ${JSON.stringify(order_details)}`,
          { ...good, order_details },
          'order_details: send order_details, an object with foodItems and deliveryLocation',
        ] as const,
    ),
    [
      'a place of 501 characters',
      { ...good, order_details: { ...burger, deliveryLocation: 'x'.repeat(501) } },
      'order_details.deliveryLocation must be a text of at most 500 characters, without NUL; leave it out where there is none.',
    ],
    [
      'details of 100 kB',
      { ...good, order_details: { ...burger, note: 'x'.repeat(100_000) } },
      'order_details must have at most 100000 bytes as JSON: order fewer foodItems at once.',
    ],
  ])('%s: 400', async (_name, body, error) => {
    refused(await post(JSON.stringify(body)), 400, error)
    await nothingStored()
  })

  const where = 'order_details.foodItems[0]'
  const quantity = `${where}.quantity must be a whole number from 1 to 10000.`
  const range = 'must be a number from 0 to 999999.99, such as 12.99.'
  const place = 'must be a text of at most 500 characters, without NUL; leave it out where there is none.'
  const list = 'order_details.foodItems must be a list with at least one item, each with price and quantity.'

  test.each<readonly [details: object, error: string]>([
    [{}, list],
    [{ foodItems: [] }, list],
    [{ foodItems: { price: 1, quantity: 1 } }, list],
    [{ foodItems: [null] }, `${where} must be an object with price and quantity.`],
    [{ foodItems: [7] }, `${where} must be an object with price and quantity.`],
    ...[-1, 0, 1.5, 10_001, 1e300, '1', true, null, [1], {}].map(
      (value) => [item({ quantity: value }), quantity] as const,
    ),
    [item({ quantity: undefined }), quantity],
    [item({ price: -0.01 }), `${where}.price must not be negative.`],
    [item({ price: 12.999 }), `${where}.price must not have more than two decimals.`],
    [item({ price: 0.1 + 0.2 }), `${where}.price must not have more than two decimals.`],
    [item({ price: 'free' }), `${where}.price ${range}`],
    [item({ price: '0x10' }), `${where}.price ${range}`],
    [item({ price: 1e21 }), `${where}.price ${range}`],
    [item({ price: 1e-7 }), `${where}.price ${range}`],
    [item({ price: null }), `${where}.price must be a number, such as 12.99.`],
    [item({ price: undefined }), `${where}.price must be a number, such as 12.99.`],
    [item({ price: 999_999.99, quantity: 2 }), 'The order costs more than 999999.99; split it.'],
    [item({ price: 0.49 }), 'The order must cost at least 0.50; add an item.'],
    [{ ...burger, deliveryFee: -1 }, 'order_details.deliveryFee must not be negative.'],
    [{ ...burger, deliveryFee: '1.005' }, 'order_details.deliveryFee must not have more than two decimals.'],
    [{ ...burger, deliveryFee: 'free' }, `order_details.deliveryFee ${range}`],
    [{ ...burger, deliveryFee: true }, 'order_details.deliveryFee must be a number, such as 12.99.'],
    [{ ...burger, deliveryLocation: 5 }, `order_details.deliveryLocation ${place}`],
    [{ ...burger, storeLocation: ['North'] }, `order_details.storeLocation ${place}`],
  ])('details %j: 400 names what is wrong', async (details, error) => {
    refused(await post(JSON.stringify({ ...good, order_details: details })), 400, error)
    await nothingStored()
  })

  test('another encoding than UTF-8 is answered 400, never stored as question marks', async () => {
    const text = JSON.stringify({ ...good, customer_id: 'Zoë' })
    refused(await post(new Uint8Array(Buffer.from(text, 'latin1'))), 400, 'the body is not UTF-8: encode its text so')
    refused(await post(new Uint8Array(Buffer.from(text, 'utf16le'))), 400, expect.stringMatching(/^the body is not /))
    await nothingStored()
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'text/json', 'garbage', '*/*'])(
    'a body of type %s is answered 415 with the type to send',
    async (type) => {
      const error = 'the body is not declared as JSON: send it with the header Content-Type: application/json'
      refused(await post(JSON.stringify(good), { 'content-type': type }), 415, error)
      await nothingStored()
    },
  )

  test('10 MB are answered 413 with the limit', async () => {
    const error = 'the body is larger than 1048576 bytes, the most that is taken here: send less at once'
    refused(await post(JSON.stringify({ ...good, note: 'x'.repeat(10_000_000) })), 413, error)
    await nothingStored()
  })

  test('10 MB of unknown length are answered 413, too', async () => {
    const [status, text] = await new Promise<readonly [number | undefined, string]>((resolve, reject) => {
      const asked = request(
        sagas + path,
        { method: 'POST', headers: { 'content-type': 'application/json' } },
        (answer) => {
          let read = ''
          answer.setEncoding('utf8').on('data', (chunk: string) => (read += chunk))
          answer.on('end', () => resolve([answer.statusCode, read]))
        },
      ).on('error', reject)
      for (let count = 0; count < 160; count += 1) asked.write(' '.repeat(65_536))
      asked.end()
    })
    expect([status, text]).toEqual([413, expect.stringContaining('"success":false')])
    await nothingStored()
  })

  test.each([
    ['an empty idempotency key', '', 'idempotency-key must have at least 1 character'],
    ['an idempotency key of 201 characters', 'k'.repeat(201), 'idempotency-key must have at most 200 characters'],
  ])('%s is answered 400', async (_name, key, error) => {
    refused(await post(JSON.stringify(good), { 'idempotency-key': key }), 400, error)
    await nothingStored()
  })

  test.each(['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s is answered 404 with where to look', async (method) => {
    refused(await call(method, sagas + path), 404, `there is no ${method} ${path} here: /docs lists what there is`)
  })
})

describe('reads', () => {
  test.each([
    ['limit=0', 'limit must be at least 1'],
    ['limit=-1', 'limit must be at least 1'],
    ['limit=1001', 'limit must be at most 1000'],
    ['limit=1.5', 'limit must be a whole number'],
    ['limit=many', 'limit must be a number'],
    ['limit=1&limit=2', 'limit must be a number'],
    ['after=first', "after: is not the 'X-Next' of an earlier page"],
    ['after=1_', "after: is not the 'X-Next' of an earlier page"],
    ['after=_x', "after: is not the 'X-Next' of an earlier page"],
    ['after=99999999999999999999_x', "after: is not the 'X-Next' of an earlier page"],
    ['after=-1_x', "after: is not the 'X-Next' of an earlier page"],
    ['after=1_%00', 'the address holds a NUL character: leave it out'],
    ['customer_id=a&customer_id=b', 'customer_id must be a text, not a list'],
  ])('?%s is answered 400', async (query, error) => {
    refused(await call('GET', `${sagas}/api/sagas?${query}`), 400, error)
  })

  test('of a status of 10,000 characters the answer repeats 50', async () => {
    const answer = await call('GET', `${sagas}/api/sagas?status=${'x'.repeat(10_000)}`)
    refused(answer, 400, expect.stringMatching(/^status: unknown status 'x{50}'; use one of /))
  })

  test.each([
    'customer_id=%ff',
    'customer_id=%ED%A0%80',
    "customer_id='%20or%201=1--",
    'after=9999999999999999_zzz',
    'after=1_x',
    '__proto__=1&constructor=1&status[]=STARTED',
  ])('?%s is answered 200', async (query) => {
    expect((await call('GET', `${sagas}/api/sagas?${query}`)).status).toBe(200)
  })

  test('a query of 10 kB is answered 200', async () => {
    for (const query of [`customer_id=${'x'.repeat(10_000)}`, `${'a=b&'.repeat(2_500)}limit=1`])
      expect((await call('GET', `${sagas}/api/sagas?${query}`)).status).toBe(200)
  })

  test.each([
    ['nowhere', 404],
    ['__proto__', 404],
    ['constructor', 404],
    ['%F0%9F%94%94', 404],
    ['..%2f..%2fetc%2fpasswd', 404],
    ["'%20or%201=1--", 404],
    ['%ff', 400],
    ['%zz', 400],
    ['a%00b', 400],
    ['x'.repeat(101), 400],
    ['x'.repeat(5_000), 400],
  ])('the saga %s is answered %d, wherever it is asked for', async (id, status) => {
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/history'],
      ['GET', '/updates'],
      ['POST', '/cancel'],
    ] as const) {
      const { status: got, body } = await call(method, `${sagas}/api/sagas/${id}${path}`)
      expect([got, body]).toEqual([status, expect.objectContaining({ error: expect.stringMatching(/.{10}/) })])
    }
  })

  test('a history after a number that is none is answered 400', async () => {
    refused(await call('GET', `${sagas}/api/sagas/nowhere/history?after=x`), 400, 'after must be a number')
  })
})

test('a cancel with a body that is no JSON is answered in the shape of cancels, and cancels nothing', async () => {
  const id = await shop.start('cust_123')
  await shop.sagaIn('COMPLETED', id)
  stored += 1
  const cancel = (headers: Readonly<Record<string, string>>, body: string) =>
    call('POST', `${sagas}/sagas/${id}/cancel`, { headers, body })
  const notJson = await cancel({}, '{"reason":')
  expect([notJson.status, notJson.body]).toEqual([400, { error: expect.stringMatching(/^the body is not JSON/) }])
  const text = await cancel({ 'content-type': 'text/plain' }, 'please')
  expect([text.status, text.body]).toEqual([415, { error: expect.stringMatching(/^the body is not declared as JSON/) }])
  expect((await shop.saga(id)).status).toBe('COMPLETED')
})

test('a body that is cut off, and one that never comes whole, start nothing', async () => {
  const { hostname, port } = new URL(sagas)
  const body = JSON.stringify(good)
  const head = `POST /api/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
  await new Promise<void>((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.write(head + body.slice(0, -1), () => socket.destroy()))
    socket.on('close', () => resolve())
  })
  await shop.sagaIn('COMPLETED', await shop.start('cust_123')) // the service is well
  stored += 1
  await nothingStored()
})

test('headers of 20 kB are answered 431 with what to do', async () => {
  const answer = await call('GET', `${sagas}/health`, { headers: { note: 'x'.repeat(20_000) } })
  refused(answer, 431, 'the headers are too large: send fewer or shorter ones')
})

describe('generated', () => {
  /** Values as they come from people's programs: mostly right, sometimes of any kind. */
  const amount = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 200_000 }).map((cents) => cents / 100) },
    { weight: 2, arbitrary: fc.double() },
    { weight: 1, arbitrary: fc.oneof(fc.string(), fc.integer().map(String), fc.jsonValue()) },
  )
  const count = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 20 }) },
    { weight: 1, arbitrary: fc.oneof(fc.integer(), fc.double(), fc.jsonValue()) },
  )
  const place = fc.oneof(fc.string(), fc.constantFrom(null, 'x'.repeat(500), 'x'.repeat(501)), fc.jsonValue())
  const items = fc.array(fc.record({ name: fc.jsonValue(), price: amount, quantity: count }, { requiredKeys: [] }), {
    maxLength: 3,
  })
  const details = fc.record(
    {
      foodItems: fc.oneof({ weight: 8, arbitrary: items }, { weight: 1, arbitrary: fc.jsonValue() }),
      deliveryFee: amount,
      deliveryLocation: place,
      storeLocation: place,
    },
    { requiredKeys: ['foodItems'] },
  )

  test('an order is taken exactly if the Order Service would take it and it costs 0.50 or more; none is FAILED later', async () => {
    const started: string[] = []
    const before = await shop.count()
    await fc.assert(
      fc.asyncProperty(details, async (order_details) => {
        const wire = JSON.stringify(order_details) // NaN and the like are null on the wire
        fc.pre(!/"(__proto__|prototype)"/.test(wire)) // never taken: tested above
        const answer = await shop.place('cust_123', order_details)
        const content = readOrderDetails(JSON.parse(wire) as Record<string, unknown>)
        const takes = content.ok && content.value.totalCents >= 50
        expect(answer.status).toBe(takes ? 202 : 400)
        if (takes) started.push((answer.body as { readonly saga_id: string }).saga_id)
        else expect(answer.body).toEqual({ success: false, error: expect.stringMatching(/\w+ .*\w+ .*\w+/s) })
      }),
      { numRuns: 300 },
    )
    expect(await shop.count()).toBe(before + started.length)
    for (const id of started) await shop.sagaIn('COMPLETED', id)
    stored = before + started.length
  })

  test('no body of any shape is answered 500, and none is stored that was not taken', async () => {
    const before = await shop.count()
    let taken = 0
    const bodies = fc.oneof(
      fc.json(),
      fc.string({ unit: 'binary' }),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
      fc.record({ customer_id: fc.jsonValue(), order_details: fc.jsonValue() }).map((body) => JSON.stringify(body)),
    )
    const paths = fc.constantFrom(
      '/api/orders',
      '/orders',
      '/timer-callback',
      '/api/sagas/x/cancel',
      '/sagas/x/actions',
    )
    await fc.assert(
      fc.asyncProperty(paths, bodies, async (path, body) => {
        const answer = await call('POST', sagas + path, { body })
        if (answer.status === 202) taken += 1
        else {
          expect([400, 404, 409]).toContain(answer.status)
          expect(answer.body).toMatchObject({ error: expect.stringMatching(/\w+ .*\w+/s) })
        }
      }),
      { numRuns: 500 },
    )
    expect(await shop.count()).toBe(before + taken)
  })

  test('no query or path of any shape is answered 500', async () => {
    const names = fc.constantFrom('status', 'limit', 'after', 'customer_id', '__proto__')
    const query = fc
      .array(
        fc.tuple(
          names,
          fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer().map(String), fc.constantFrom('1_x', 'STARTED')),
        ),
      )
      .map((pairs) => pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&'))
    await fc.assert(
      fc.asyncProperty(query, fc.string({ unit: 'grapheme', minLength: 1 }), async (text, id) => {
        const list = await call('GET', `${sagas}/api/sagas?${text}`)
        expect([200, 400]).toContain(list.status)
        const one = await call('GET', `${sagas}/sagas/${encodeURIComponent(id)}`)
        expect([200, 400, 404]).toContain(one.status)
      }),
      { numRuns: 300 },
    )
  })
})
