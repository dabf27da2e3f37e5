/** What the Order Service tells of changes by HTTP, on either database. */
import type { Message, Transport } from 'ordersaga/transport'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import { order_details, runningOrders, type RunningOrders } from './order.testkit.ts'

const body = { customer_id: 'cust_123', order_details }

export function orderEventsContract(name: string, newPlace: NewPlace): void {
  describe(`the events of the Order Service on ${name}`, () => {
    let place: Place
    let order: RunningOrders
    let away: boolean

    /** Refuses while `away`. */
    const publish =
      (transport: Transport): Transport['publish'] =>
      (channel, messages) =>
        away ? Promise.reject(new Error('the broker is away')) : transport.publish(channel, messages)
    const start = async (): Promise<void> => {
      order = await runningOrders(place, () => Date.UTC(2026, 0, 1, 12, 30, 45, 678), { publish, testRoutes: true })
    }
    const types = () => order.heard.map(({ type }) => type)
    const told = async (expected: readonly string[]): Promise<readonly Message[]> => {
      await expect.poll(types, { timeout: 20_000 }).toEqual(expected)
      return order.heard
    }

    beforeEach(async () => {
      away = false
      place = await newPlace()
      await start()
    })
    afterEach(async () => {
      await order.close()
      await place.remove?.()
    })

    test('each route that changes an order tells of it, with the order as it is then', async () => {
      const orderId = await order.orderAt('PENDING')
      const change = async (path: string, rest: object = {}) => {
        await order.send('POST', path, { orderId, ...rest })
        return order.details(orderId)
      }
      const shown = [
        await order.details(orderId),
        await change('/updateOrderStatus', { status: 'CREATED' }),
        await change('/verifyAndAcceptOrder', { runner_id: 'runner_123' }),
        await change('/cancelAcceptance'),
        await change('/verifyAndAcceptOrder', { runner_id: 'runner_456' }),
        await change('/clearRunner'),
        await change('/cancelOrder', { reason: 'hungry no more' }),
      ]
      const expected = [
        ['ORDER_CREATED', 'created', null],
        ['ORDER_UPDATED', 'updated', null],
        ['ORDER_ACCEPTED', 'accepted', 'runner_123'],
        ['ORDER_ACCEPTANCE_CANCELLED', 'acceptanceCancelled', null],
        ['ORDER_ACCEPTED', 'accepted', 'runner_456'],
        ['ORDER_RUNNER_CLEARED', 'runnerCleared', null],
        ['ORDER_CANCELLED', 'cancelled', null],
      ] as const
      const events = await told(expected.map(([type]) => type))
      events.forEach(({ id, correlationId, ...event }, index) => {
        const [type, status, runnerId] = expected[index] ?? []
        const { event: text, ...payload } = event.payload as { event: string }
        expect({ ...event, payload }).toEqual({
          type,
          timestamp: '2026-01-01T12:30:45.678Z',
          source: 'order-service',
          payload: {
            customerId: 'cust_123',
            runnerId,
            orderId,
            status,
            correlation_id: correlationId,
            source: 'order-service',
          },
        })
        expect(JSON.parse(text)).toEqual(shown[index])
        expect(correlationId).toMatch(/^order-20260101123045-[0-9a-f]{8}$/)
        expect(id).not.toBe('')
      })
      expect(new Set(events.map(({ id }) => id)).size).toBe(7)
      // Readers that keep one event per correlation id and type must see both acceptances.
      expect(new Set(events.map(({ correlationId }) => correlationId)).size).toBe(7)
    })

    test('a completed order is told of once, and a change that does not happen is not told of', async () => {
      const orderId = await order.orderAt('DELIVERED')
      for (const path of [
        '/cancelOrder',
        '/clearRunner',
        '/verifyAndAcceptOrder',
        '/completeOrder',
        '/completeOrder',
      ]) {
        await order.send('POST', path, { orderId, runner_id: 'runner_456' })
      }
      await order.send('POST', '/updateOrderStatus', { orderId, status: 'COMPLETED' })
      await order.send('POST', '/testCreateOrder', body)
      await order.send('POST', '/createOrder', { customer_id: 'cust_123', order_details: {} })
      await order.orderAt('CANCELLED')
      const delivered = ['CREATED', 'UPDATED', 'ACCEPTED', 'UPDATED', 'UPDATED', 'UPDATED', 'COMPLETED']
      await told([...delivered, 'CREATED', 'UPDATED', 'CANCELLED'].map((what) => `ORDER_${what}`))
    })

    test('of ten runners at once only the one that wins is told of', async () => {
      const orderId = await order.orderAt('CREATED')
      const runners = Array.from({ length: 10 }, (_, index) => `runner-${index}`)
      const answers = await Promise.all(
        runners.map((runner_id) => order.send('POST', '/verifyAndAcceptOrder', { orderId, runner_id })),
      )
      const winner = runners[answers.findIndex(({ status }) => status === 200)]
      await order.orderAt('PENDING')
      const events = await told(['ORDER_CREATED', 'ORDER_UPDATED', 'ORDER_ACCEPTED', 'ORDER_CREATED'])
      expect(events[2]?.payload).toMatchObject({ runnerId: winner })
    })

    test('while nothing carries events, orders are taken all the same, and told of afterwards in order', async () => {
      away = true
      const orderId = await order.orderAt('PLACED')
      expect(await order.details(orderId)).toMatchObject({ orderStatus: 'PLACED' })
      expect(types()).toEqual([])
      away = false
      await told(['ORDER_CREATED', 'ORDER_UPDATED', 'ORDER_ACCEPTED', 'ORDER_UPDATED'])
    })

    test('a service that ended between a change and its event tells of it after its next start', async () => {
      away = true
      const orderId = await order.orderAt('ACCEPTED')
      await order.close()
      away = false
      await start()
      const events = await told(['ORDER_CREATED', 'ORDER_UPDATED', 'ORDER_ACCEPTED'])
      expect(events.map(({ payload }) => (payload as { orderId: string }).orderId)).toEqual([orderId, orderId, orderId])
    })

    test('the largest order that is taken can be told of', async () => {
      const name = '"\\'.repeat(24_000)
      const large = { foodItems: [{ name, price: 1, quantity: 1 }] }
      const made = await order.send('POST', '/createOrder', { customer_id: 'cust_123', order_details: large })
      expect(made.status).toBe(201)
      const [event] = await told(['ORDER_CREATED'])
      expect(JSON.stringify(event).length).toBeGreaterThan(350_000)
    })
  })
}
