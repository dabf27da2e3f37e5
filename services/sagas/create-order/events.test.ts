/** What follows when an order of a completed saga changes at the Order Service. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventChannel, type Message } from 'ordersaga/transport'
import { call } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { shopOf, type SagaBody, type Shop } from './shop.testkit.ts'

const halfAnHourMs = 30 * 60_000
const patience = { timeout: 30_000, interval: 20 }

let system: Embedded
let shop: Shop

const orderService = async (path: string, json: object): Promise<void> => {
  const answer = await call('POST', `${system.urls.order}${path}`, { json })
  expect([path, answer.status]).toEqual([path, 200])
}
const accept = (orderId: string | null) => orderService('/verifyAndAcceptOrder', { orderId, runner_id: 'runner_123' })

async function timerOf({ order_id }: SagaBody) {
  const { body } = await call('GET', `${system.urls.timer}/timers/order/${order_id}`)
  return (body as { readonly timer: { timerId: string; runnerAccepted: boolean; expiresAt: string } }).timer
}

async function undone({ id, order_id }: SagaBody): Promise<SagaBody> {
  const saga = await shop.sagaIn('CANCELLED', id)
  expect(await shop.orderStatus(order_id)).toBe('CANCELLED')
  expect(await shop.payment(order_id)).toMatchObject({ status: 'REVERTED' })
  return saga
}

async function completed(): Promise<SagaBody> {
  return shop.sagaIn('COMPLETED', await shop.start('cust_123'))
}

const history = async (id: string) => (await call('GET', `${system.urls.sagas}/sagas/${id}/history`)).text

function systemWith(timerMs: number): void {
  beforeAll(async () => {
    system = await startEmbedded({ timerMs })
    shop = shopOf(system)
  })
  afterAll(async () => {
    expect(await shop.problems()).toEqual([])
    await system.close()
  })
}

describe('while the time runs', () => {
  systemWith(halfAnHourMs)

  test('an order that is cancelled at the Order Service is undone whole: its money is given back', async () => {
    const saga = await completed()
    await orderService('/cancelOrder', { orderId: saga.order_id, reason: 'the shop is closed' })
    expect((await undone(saga)).cancel).toEqual({
      by: 'order-service',
      reason: 'The order was cancelled at the Order Service',
    })
  })

  test('an order that is cancelled there before its saga is complete is undone too', async () => {
    system.gate.hold('timer.started')
    const id = await shop.start('cust_123')
    await expect.poll(() => system.gate.held('timer.started').length, patience).toBe(1)
    const saga = await shop.saga(id)
    await orderService('/cancelOrder', { orderId: saga.order_id })
    await expect.poll(async () => (await shop.saga(id)).cancel?.by, patience).toBe('order-service')
    system.gate.release('timer.started')
    await undone(saga)
  })

  test.each(['/cancelAcceptance', '/clearRunner'])('%s leaves the timer that runs', async (path) => {
    const saga = await completed()
    const before = await timerOf(saga)
    await accept(saga.order_id)
    system.gate.hold('timer.started')
    await orderService(path, { orderId: saga.order_id })
    await expect.poll(() => system.gate.held('timer.started').length, patience).toBe(1)
    system.gate.release('timer.started')
    expect(await timerOf(saga)).toEqual(before)
    await shop.sagaIn('COMPLETED', saga.id)
  })

  test('a timer that was stopped for the runner runs again when he gives the order back, until the same time', async () => {
    const saga = await completed()
    const before = await timerOf(saga)
    await accept(saga.order_id)
    const stopped = await call('POST', `${system.urls.timer}/stop-request-timer`, {
      json: { orderId: saga.order_id, runnerId: 'runner_123' },
    })
    expect([stopped.status, (await timerOf(saga)).runnerAccepted]).toEqual([200, true])
    await orderService('/cancelAcceptance', { orderId: saga.order_id })
    await expect.poll(async () => (await timerOf(saga)).runnerAccepted, patience).toBe(false)
    const after = await timerOf(saga)
    expect([after.expiresAt, after.timerId === before.timerId]).toEqual([before.expiresAt, false])
  })

  test('orders without a saga, other events and what cannot be read change nothing', async () => {
    const saga = await completed()
    const made = await call('POST', `${system.urls.order}/createOrder`, {
      json: { customer_id: 'cust_123', order_details: { foodItems: [{ name: 'Tea', price: 2, quantity: 1 }] } },
    })
    const orderId = (made.body as { readonly order_id: string }).order_id
    await orderService('/updateOrderStatus', { orderId, status: 'CREATED' })
    await orderService('/cancelOrder', { orderId })
    const event = (type: string, payload: unknown): Message => ({
      id: `event-${Math.random()}`,
      type,
      correlationId: saga.id,
      timestamp: new Date().toISOString(),
      payload,
    })
    const of = (order: object) => ({ event: JSON.stringify(order) })
    await system.transport.publish(eventChannel('order'), [
      event('ORDER_CANCELLED', { event: '{' }),
      event('ORDER_CANCELLED', { event: 'null' }),
      event('ORDER_CANCELLED', null),
      event('ORDER_CANCELLED', of({ orderId: saga.order_id })),
      event('ORDER_CANCELLED', of({ orderId: 'o', sagaId: 'nobody' })),
      event('ORDER_RUNNER_CLEARED', of({ orderId: 'o', sagaId: 'nobody' })),
      event('ORDER_COMPLETED', of({ orderId: saga.order_id, sagaId: saga.id })),
    ])
    await orderService('/cancelOrder', { orderId: (await completed()).order_id }) // the one behind them all
    const next = await completed()
    await orderService('/cancelOrder', { orderId: next.order_id })
    await undone(next)
    expect((await shop.saga(saga.id)).status).toBe('COMPLETED')
  })
})

describe('once the time is over', () => {
  systemWith(100)
  afterEach(() => system.gate.release('ORDER_TIMEOUT'))

  test.each(['/cancelAcceptance', '/clearRunner'])(
    '%s cancels the order, whose timer has fired in vain',
    async (path) => {
      system.gate.hold('ORDER_TIMEOUT') // or it would be cancelled before the runner comes
      const saga = await completed()
      await accept(saga.order_id)
      system.gate.release('ORDER_TIMEOUT')
      await expect.poll(() => history(saga.id), patience).toContain('CancelRefused')
      expect((await shop.saga(saga.id)).status).toBe('COMPLETED')
      await orderService(path, { orderId: saga.order_id })
      expect((await undone(saga)).cancel).toEqual({ by: 'timer', reason: 'Order timed out (30 minutes)' })
    },
  )

  test('an order that is given back while an earlier refusal is still on its way is cancelled after it', async () => {
    system.gate.hold('ORDER_TIMEOUT')
    const saga = await completed()
    await accept(saga.order_id)
    system.gate.hold('order.cancellation_failed')
    system.gate.release('ORDER_TIMEOUT')
    await expect.poll(() => system.gate.held('order.cancellation_failed').length, patience).toBe(1)
    await orderService('/clearRunner', { orderId: saga.order_id })
    await expect.poll(() => history(saga.id), patience).toContain('EventKept')
    system.gate.release('order.cancellation_failed')
    await undone(saga)
  })
})
