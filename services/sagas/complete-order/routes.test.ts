/** The Complete Order saga over HTTP, as its README and its clients have it (docs/wire-contract.md 2). */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { call } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { deliveriesOf, type Deliveries, type Told } from './delivery.testkit.ts'

let system: Embedded
let runner: Deliveries

beforeAll(async () => {
  system = await startEmbedded()
  runner = deliveriesOf(system)
})
afterAll(async () => {
  expect(await runner.problems()).toEqual([])
  await system.close()
})

const last = (told: readonly { readonly data: Told }[]): Told | undefined => told.at(-1)?.data

describe('an order that its runner has delivered', () => {
  test('is completed, and the runner is paid', async () => {
    const orderId = await runner.carried()
    const answer = await runner.complete(orderId)
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        message: expect.stringContaining('/saga/complete/orderUpdateStream/') as string,
        orderId,
        sagaId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        status: 'STARTED',
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      },
    ])
    const told = await runner.follow((answer.body as Told).sagaId)
    expect(last(told)).toEqual({
      sagaId: (answer.body as Told).sagaId,
      orderId,
      status: 'COMPLETED',
      currentStep: 'UPDATE_ORDER_STATUS_TO_COMPLETED',
      updatedAt: expect.any(String) as string,
    })
    expect(await runner.orderStatus(orderId)).toBe('COMPLETED')
    expect(await runner.payment(orderId)).toMatchObject({ status: 'SUCCEEDED', runnerId: 'runner_123' })
  })

  test('is on its way again where the runner cannot be paid, and the reason is told', async () => {
    const orderId = await runner.carried('cust_release_fails')
    const told = await runner.follow(await runner.begin(orderId))
    expect(last(told)).toMatchObject({
      status: 'COMPENSATED',
      currentStep: 'RELEASE_FUNDS',
      error: expect.stringContaining(
        "The runner could not be paid: stripe_error: The runner's account cannot",
      ) as string,
    })
    expect(await runner.orderStatus(orderId)).toBe('ON_THE_WAY')
    expect(await runner.payment(orderId)).toMatchObject({ status: 'AUTHORIZED', transferId: null })
  })

  test('that was DELIVERED already is completed too, and stays DELIVERED where that is undone', async () => {
    const [paid, unpaid] = [await runner.carried(), await runner.carried('cust_release_fails')]
    for (const orderId of [paid, unpaid])
      await call('POST', `${system.urls.order}/updateOrderStatus`, { json: { orderId, status: 'DELIVERED' } })
    await runner.follow(await runner.begin(paid))
    await runner.follow(await runner.begin(unpaid))
    expect([await runner.orderStatus(paid), await runner.orderStatus(unpaid)]).toEqual(['COMPLETED', 'DELIVERED'])
  })
})

describe('an order whose runner is paid', () => {
  test.each(['ON_THE_WAY', 'CANCELLED', 'PLACED'])('is not made %s by hand, and is completed', async (status) => {
    const orderId = await runner.carried()
    system.gate.hold('funds_released')
    const sagaId = await runner.begin(orderId)
    await expect.poll(() => system.gate.held('funds_released'), { timeout: 30_000 }).toHaveLength(1)
    const json = { orderId, status }
    expect((await call('POST', `${system.urls.order}/updateOrderStatus`, { json })).status).toBe(400)
    system.gate.release('funds_released')
    expect(last(await runner.follow(sagaId))?.status).toBe('COMPLETED')
    expect(await runner.orderStatus(orderId)).toBe('COMPLETED')
  })

  test('may be completed by hand before its saga does', async () => {
    const orderId = await runner.carried()
    system.gate.hold('funds_released')
    const sagaId = await runner.begin(orderId)
    await expect.poll(() => system.gate.held('funds_released'), { timeout: 30_000 }).toHaveLength(1)
    expect((await call('POST', `${system.urls.order}/completeOrder`, { json: { orderId } })).status).toBe(200)
    system.gate.release('funds_released')
    expect(last(await runner.follow(sagaId))?.status).toBe('COMPLETED')
    expect(await runner.payment(orderId)).toMatchObject({ status: 'SUCCEEDED' })
  })
})

describe('an order has one saga', () => {
  test('asked again while it runs or once it is complete, the same one is answered', async () => {
    const orderId = await runner.carried()
    system.gate.hold('release_funds')
    const sagaId = await runner.begin(orderId)
    expect(await Promise.all([1, 2, 3].map(() => runner.begin(orderId)))).toEqual([sagaId, sagaId, sagaId])
    system.gate.release('release_funds')
    await runner.follow(sagaId)
    expect((await runner.complete(orderId)).body).toMatchObject({ sagaId, status: 'COMPLETED' })
    expect(await runner.payment(orderId)).toMatchObject({ status: 'SUCCEEDED' })
  })

  test('many who ask at once get the same one', async () => {
    const orderId = await runner.carried()
    const sagas = await Promise.all(Array.from({ length: 20 }, () => runner.begin(orderId)))
    expect(new Set(sagas).size).toBe(1)
  })

  test('also where the clock of who began the one before it was ahead', async () => {
    const orderId = 'an-order-of-two-clocks'
    const ahead = vi.spyOn(Date, 'now').mockImplementation(() => performance.timeOrigin + performance.now() + 3_600_000)
    const first = await runner.begin(orderId)
    await runner.follow(first)
    ahead.mockRestore()
    system.gate.hold('update_order_status')
    const second = await runner.begin(orderId)
    expect(await Promise.all([1, 2, 3].map(() => runner.begin(orderId)))).toEqual([second, second, second])
    system.gate.release('update_order_status')
    await runner.follow(second)
    const third = await runner.begin(orderId)
    expect(new Set([first, second, third]).size).toBe(3)
    await runner.follow(third)
  })

  test('and no other order has it, however alike their ids begin, and whatever is in them', async () => {
    const long = 'x'.repeat(499)
    const orders = [`${long}a`, `${long}b`, 'é/../%2F?#&😀', 'constructor', '__proto__', ' ']
    system.gate.hold('update_order_status')
    const sagas = await Promise.all(orders.map((orderId) => runner.begin(orderId)))
    expect(new Set(sagas).size).toBe(orders.length)
    expect(await Promise.all(orders.map((orderId) => runner.begin(orderId)))).toEqual(sagas)
    system.gate.release('update_order_status')
    const told = await Promise.all(sagas.map(async (sagaId) => last(await runner.follow(sagaId))))
    expect(told).toMatchObject(orders.map((orderId) => ({ orderId, status: 'FAILED' })))
  })

  test('after one that came to nothing a new one begins, however often', async () => {
    const orderId = await runner.carried('cust_release_fails')
    const sagas: string[] = []
    for (let time = 0; time < 3; time++) {
      const [first, second] = await Promise.all([runner.begin(orderId), runner.begin(orderId)])
      expect(second).toBe(first)
      sagas.push(first)
      expect(last(await runner.follow(first))?.status).toBe('COMPENSATED')
    }
    expect(new Set(sagas).size).toBe(3)
  })
})

describe('an order that cannot be delivered', () => {
  test('and is not there ends its saga FAILED, with the reason in the stream', async () => {
    const told = await runner.follow(await runner.begin('a-random-order-id'))
    expect(last(told)).toMatchObject({
      orderId: 'a-random-order-id',
      status: 'FAILED',
      error: 'The order could not be set to DELIVERED: there is no order a-random-order-id',
    })
  })

  test('because nobody carries it ends its saga FAILED, and stays as it is', async () => {
    const { order_id: orderId } = await runner.sagaIn('COMPLETED', await runner.start('cust_123'))
    const told = await runner.follow(await runner.begin(orderId ?? ''))
    expect(last(told)).toMatchObject({ status: 'FAILED', error: expect.stringContaining('has no runner') as string })
    expect(await runner.orderStatus(orderId)).toBe('CREATED')
  })
})

describe('what cannot be read is refused with a sentence, and nothing is stored', () => {
  const url = () => `${system.urls.deliveries}/saga/complete/completeOrder`
  const json = { 'content-type': 'application/json' }
  const sagas = async (): Promise<number> =>
    ((await call('GET', `${system.urls.deliveries}/ops/counts`)).body as { readonly total?: number }).total ?? -1

  test.each<[string, () => Promise<{ readonly status: number; readonly body: unknown }>, number, RegExp]>([
    ['no body', () => call('POST', url()), 400, /orderId|body|JSON/],
    ['no JSON', () => call('POST', url(), { body: '{orderId', headers: json }), 400, /JSON/],
    [
      'another type of content',
      () => call('POST', url(), { body: 'x', headers: { 'content-type': 'text/plain' } }),
      415,
      /JSON/,
    ],
    ['a list', () => call('POST', url(), { json: [] }), 400, /./],
    ['null', () => call('POST', url(), { json: null }), 400, /./],
    ['no orderId', () => call('POST', url(), { json: {} }), 400, /orderId/],
    ['an empty orderId', () => runner.complete(''), 400, /orderId/],
    ['a number for orderId', () => runner.complete(7), 400, /orderId/],
    ['null for orderId', () => runner.complete(null), 400, /orderId/],
    ['NUL in orderId', () => runner.complete('a\u0000b'), 400, /NUL/],
    ['an orderId like a book', () => runner.complete('x'.repeat(600)), 400, /orderId/],
    ['ten megabytes', () => runner.complete('x'.repeat(10_000_000)), 413, /large/],
    ['a runner who is no text', () => runner.complete('o1', { runnerId: 7 }), 400, /runnerId/],
    ['an order that is not there, of a runner', () => runner.complete('o1', { runnerId: 'r' }), 404, /no order o1 of/],
  ])('%s', async (_what, asked, status, text) => {
    const before = await sagas()
    const answer = await asked()
    expect([answer.status, answer.body]).toEqual([status, { error: expect.stringMatching(text) as string }])
    expect(await sagas()).toBe(before)
  })

  test("an order of another runner's is told of as one that is not there; its own runner may complete it", async () => {
    const orderId = await runner.carried()
    const foreign = await runner.complete(orderId, { runnerId: 'runner_456' })
    expect([foreign.status, foreign.body]).toEqual([
      404,
      { error: `There is no order ${orderId} of runner runner_456.` },
    ])
    expect(await runner.orderStatus(orderId)).toBe('ON_THE_WAY')
    expect((await runner.complete(orderId, { runnerId: 'runner_123' })).status).toBe(200)
  })
})

test('how a runner is paid is shown to nobody, an operator included', async () => {
  const sagaId = await runner.begin(await runner.carried())
  await runner.follow(sagaId)
  const history = await call('GET', `${system.urls.deliveries}/ops/sagas/${sagaId}/history`)
  expect(history.status).toBe(200)
  expect(history.text).toContain('StepDone')
  expect(history.text).not.toContain('acct_sandbox')
})

test('it is healthy where clients look', async () => {
  const health = `${system.urls.deliveries}/health`
  await expect.poll(async () => (await call('GET', health)).body).toEqual({ status: 'healthy' })
})
