/** What people can do with orders over HTTP, on either database. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import { orderStatuses, type OrderStatus } from './domain.ts'
import { updateOrderStatus } from './messages.ts'
import { burger, cancelReasons, order_details, runningOrders, type RunningOrders } from './order.testkit.ts'

const followers: Readonly<Record<OrderStatus, readonly OrderStatus[]>> = {
  PENDING: ['CREATED', 'CANCELLED'],
  CREATED: ['ACCEPTED', 'CANCELLED'],
  ACCEPTED: ['PLACED'],
  PLACED: ['ON_THE_WAY'],
  ON_THE_WAY: ['DELIVERED'],
  DELIVERED: ['COMPLETED'],
  COMPLETED: [],
  CANCELLED: [],
}

const justOne = { customer_id: 'cust_123', order_details: { foodItems: [burger] } }

export function orderRoutesContract(name: string, newPlace: NewPlace): void {
  describe(`the routes of the Order Service on ${name}`, () => {
    let place: Place
    let order: RunningOrders
    let now: number

    const create = (body: unknown) => order.send('POST', '/createOrder', body)
    const createAs = async (key: string, body: unknown, at = order) => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': key }
      const request = { method: 'POST', headers, body: JSON.stringify(body) }
      const response = await fetch(`${at.service.url}/createOrder`, request)
      return { status: response.status, body: (await response.json()) as { order_id: string; error: string } }
    }
    const total = async () => ((await order.get('/orders')).body as { total: number }).total

    beforeEach(async () => {
      now = Date.UTC(2026, 0, 1, 12)
      place = await newPlace()
      order = await runningOrders(place, () => now)
    })
    afterEach(async () => {
      await order.close()
      await place.remove?.()
    })

    test('an order that no saga made starts PENDING, its items as they came, its fee as given or none', async () => {
      const foodItems = [{ item_name: 'Tea', price: '4.35', quantity: 2, note: 'hot' }, burger]
      const made = await create({
        customer_id: 'cust_123',
        order_details: { foodItems, storeLocation: 'Deck', deliveryLocation: 'North', deliveryFee: 3.99 },
      })
      expect(made).toEqual({
        status: 201,
        body: { success: true, order_id: expect.any(String), message: expect.any(String) },
      })
      const orderId = (made.body as { order_id: string }).order_id
      expect(await order.details(orderId)).toMatchObject({
        orderId,
        custId: 'cust_123',
        orderDescription: JSON.stringify(foodItems),
        foodFee: 21.69,
        deliveryFee: 3.99,
        storeLocation: 'Deck',
        deliveryLocation: 'North',
        orderStatus: 'PENDING',
        sagaId: null,
      })
      const bare = (await create(justOne)).body as { order_id: string }
      expect(await order.details(bare.order_id)).toMatchObject({ deliveryFee: 0, deliveryLocation: '' })
    })

    test('fees far above 999.99 are kept to the cent, and a sum that is too great is refused by name', async () => {
      const feast = { foodItems: [{ price: 999.99, quantity: 1_000 }], deliveryFee: 1_234.56 }
      const refused = await create({ customer_id: 'cust_123', order_details: feast })
      expect(refused).toMatchObject({ status: 400, body: { error: expect.stringContaining('999999.99') } })
      const made = await create({ customer_id: 'cust_123', order_details: { ...feast, deliveryFee: 9.99 } })
      const { order_id } = made.body as { order_id: string }
      expect(await order.details(order_id)).toMatchObject({ foodFee: 999_990, deliveryFee: 9.99 })
      expect(await total()).toBe(1)
    })

    test('a request sent again under its key gives the order it made, however many come at once', async () => {
      const body = { customer_id: 'cust_123', order_details }
      const answers = await Promise.all([1, 2, 3, 4].map(() => createAs('key-1', body)))
      answers.push(await createAs('key-1', { order_details, customer_id: 'cust_123' }))
      expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201])
      expect(new Set(answers.map(({ body: { order_id } }) => order_id)).size).toBe(1)
      const other = await createAs('key-1', { ...body, order_details: { ...order_details, deliveryFee: 1 } })
      expect(other).toEqual({ status: 422, body: { error: expect.stringContaining('Idempotency-Key') } })
      expect((await createAs('key-2', body)).status).toBe(201)
      expect(await total()).toBe(2)
    })

    test("a key is its customer's alone: another's order under it is another order", async () => {
      const [one, another] = [
        await createAs('key-1', { customer_id: 'cust_123', order_details }),
        await createAs('key-1', { customer_id: 'cust_456', order_details }),
      ]
      expect([one.status, another.status]).toEqual([201, 201])
      expect(another.body.order_id).not.toBe(one.body.order_id)
      expect(await total()).toBe(2)
    })

    test('a key is remembered over a restart', async () => {
      const body = { customer_id: 'cust_123', order_details }
      const first = await createAs('key-1', body)
      await order.close()
      order = await runningOrders(place, () => now)
      expect(await createAs('key-1', body)).toEqual(first)
    })

    test('every status follows only those of the table, named over HTTP or by a command', async () => {
      for (const status of orderStatuses) {
        let orderId = await order.orderAt(status)
        for (const next of orderStatuses) {
          const before = await order.details(orderId)
          now += 1_000
          const http = await order.send('POST', '/updateOrderStatus', { orderId, status: next })
          const allowed = next === status || followers[status].includes(next)
          expect([status, next, http.status]).toEqual([status, next, allowed ? 200 : 400])
          if (allowed && next !== status) {
            expect(http.body).toEqual({ message: expect.any(String), order: await order.details(orderId) })
            expect(http.body).toMatchObject({ order: { orderStatus: next } })
            orderId = await order.orderAt(status)
          } else expect(await order.details(orderId)).toEqual(before)

          const command = await order.ask(updateOrderStatus, { order_id: orderId, status: next })
          expect([status, next, command.kind]).toEqual([status, next, allowed ? 'done' : 'rejected'])
          if (allowed && next !== status) orderId = await order.orderAt(status)
        }
      }
    })

    test('the moment of every status is kept, and a status named twice keeps its first', async () => {
      const orderId = await order.orderAt('CREATED')
      await order.send('POST', '/verifyAndAcceptOrder', { orderId, runner_id: 'runner_123' })
      for (const status of ['PLACED', 'ON_THE_WAY', 'DELIVERED']) {
        now += 60_000
        await order.send('POST', '/updateOrderStatus', { orderId, status })
      }
      now += 60_000
      await order.send('POST', '/completeOrder', { orderId })
      now += 60_000
      await order.send('POST', '/completeOrder', { orderId })
      expect(await order.details(orderId)).toMatchObject({
        orderStatus: 'COMPLETED',
        createdAt: '2026-01-01T12:00:00.000',
        acceptedAt: '2026-01-01T12:00:00.000',
        placedAt: '2026-01-01T12:01:00.000',
        pickedUpAt: '2026-01-01T12:02:00.000',
        deliveredAt: '2026-01-01T12:03:00.000',
        completedAt: '2026-01-01T12:04:00.000',
        updatedAt: '2026-01-01T12:04:00.000',
        cancelledAt: null,
      })
    })

    test('only an order that was delivered is completed', async () => {
      for (const status of orderStatuses) {
        const orderId = await order.orderAt(status)
        const answer = await order.send('POST', '/completeOrder', { orderId })
        if (status === 'DELIVERED' || status === 'COMPLETED') {
          expect(answer).toMatchObject({ status: 200, body: { order: { orderId, orderStatus: 'COMPLETED' } } })
        } else expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining(status) } })
      }
    })

    test('an order is cancelled only while it is CREATED, with the reason kept', async () => {
      for (const status of orderStatuses) {
        const orderId = await order.orderAt(status)
        const answer = await order.send('POST', '/cancelOrder', { orderId, reason: `was ${status}` })
        if (status === 'CREATED') {
          expect(answer).toMatchObject({
            status: 200,
            body: { order: { orderId, orderStatus: 'CANCELLED', cancelledAt: '2026-01-01T12:00:00.000' } },
          })
        } else expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining(status) } })
      }
      expect(await cancelReasons(place)).toEqual(['was CREATED'])
    })

    test.each(['/cancelAcceptance', '/clearRunner'])(
      '%s leaves an ACCEPTED order as if nobody had accepted it, and any other as it is',
      async (path) => {
        for (const status of orderStatuses) {
          const orderId = await order.orderAt(status)
          const before = await order.details(orderId)
          const answer = await order.send('POST', path, { orderId })
          if (status !== 'ACCEPTED') {
            expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining(status) } })
            expect(await order.details(orderId)).toEqual(before)
            continue
          }
          const { message, order: given } = answer.body as { message: string; order: unknown }
          expect([answer.status, typeof message]).toEqual([200, 'string'])
          expect(given).toEqual({ ...(before as object), orderStatus: 'CREATED', runnerId: null, acceptedAt: null })
          const again = await order.send('POST', '/verifyAndAcceptOrder', { orderId, runner_id: 'runner_456' })
          expect(again).toEqual({
            status: 200,
            body: { success: true, message: expect.any(String), order_id: orderId },
          })
          expect(await order.details(orderId)).toMatchObject({ orderStatus: 'ACCEPTED', runnerId: 'runner_456' })
        }
      },
    )

    test('a runner who gives back while others accept leaves the order with one of them or with none', async () => {
      const orderId = await order.orderAt('ACCEPTED')
      const answers = await Promise.all([
        order.send('POST', '/cancelAcceptance', { orderId }),
        ...['a', 'b', 'c'].map((runner_id) => order.send('POST', '/verifyAndAcceptOrder', { orderId, runner_id })),
      ])
      expect(answers[0]?.status).toBe(200)
      const winners = ['a', 'b', 'c'].filter((_runner, index) => answers[index + 1]?.status === 200)
      expect(winners.length).toBeLessThanOrEqual(1)
      const winner = winners[0] ?? null
      expect(await order.details(orderId)).toMatchObject({
        runnerId: winner,
        orderStatus: winner === null ? 'CREATED' : 'ACCEPTED',
      })
    })

    test('a page holds at most 100 orders', async () => {
      for (let made = 0; made < 102; made++) await create(justOne)
      const { body } = await order.get('/orders?limit=1000000')
      expect(body).toMatchObject({ total: 102, pages: 2, page: 1 })
      expect((body as { items: unknown[] }).items).toHaveLength(100)
    })

    test('/updateOrderStatus takes ACCEPTED from CREATED alone', async () => {
      for (const status of orderStatuses) {
        const orderId = await order.orderAt(status)
        const answer = await order.send('POST', '/updateOrderStatus', { orderId, status: 'ACCEPTED' })
        if (status === 'CREATED' || status === 'ACCEPTED')
          expect(answer).toMatchObject({ status: 200, body: { order: { orderId, orderStatus: 'ACCEPTED' } } })
        else expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining(status) } })
      }
    })

    test('/testCreateOrder is there on loopback, elsewhere only where test routes are asked for', async () => {
      const body = { customer_id: 'cust_123', order_details: { foodItems: [burger], deliveryLocation: 'North' } }
      await order.close()
      order = await runningOrders(place, () => now, { testRoutes: false })
      const off = await order.send('POST', '/testCreateOrder', body)
      expect(off).toEqual({ status: 404, body: { error: expect.stringContaining('/createOrder') } })
      expect(await total()).toBe(0)
      await order.close()
      order = await runningOrders(place, () => now)
      const on = await order.send('POST', '/testCreateOrder', body)
      expect(on).toMatchObject({ status: 201, body: { success: true, message: expect.any(String) } })
      const { order_id } = on.body as { order_id: string }
      expect(await order.details(order_id)).toMatchObject({ foodFee: 12.99, deliveryFee: 0, orderStatus: 'PENDING' })
    })

    test('the known page may read and move orders from a browser, others may not', async () => {
      const allowed = async (method: string, path: string, origin: string) => {
        const headers = { origin, 'access-control-request-method': 'POST' }
        const response = await fetch(`${order.service.url}${path}`, { method, headers })
        return response.headers.get('access-control-allow-origin')
      }
      const page = 'http://localhost:5173'
      expect(await allowed('GET', '/orders', page)).toBe(page)
      expect(await allowed('OPTIONS', '/updateOrderStatus', page)).toBe(page)
      expect(await allowed('OPTIONS', '/updateOrderStatus', 'http://localhost:5174')).toBeNull()
    })

    test('the API page describes every route, with what goes in and what comes out', async () => {
      const { body } = await order.get('/openapi.json')
      const { openapi, paths } = body as {
        openapi: string
        paths: Record<string, Record<string, { requestBody?: object; responses: Record<string, { content?: object }> }>>
      }
      expect(openapi).toBe('3.1.0')
      const posts = ['createOrder', 'updateOrderStatus', 'verifyAndAcceptOrder', 'cancelOrder', 'cancelAcceptance']
      for (const path of [...posts, 'clearRunner', 'completeOrder']) {
        const { requestBody, responses } = paths[`/${path}`]?.['post'] ?? { responses: {} }
        expect(JSON.stringify(requestBody)).toContain('"required":[')
        expect(JSON.stringify(responses[path === 'createOrder' ? '201' : '200']?.content)).toContain('"message"')
        expect(JSON.stringify(responses['400']?.content)).toContain('"error"')
      }
      for (const path of ['/orders', '/orders/customer/{customer_id}', '/getOrderDetails', '/health']) {
        expect(paths[path]?.['get']?.responses['200']?.content).toBeDefined()
      }
      expect(JSON.stringify(paths['/orders'])).toContain('AUTHORIZED once it is CREATED')
      expect(Object.keys(paths)).toContain('/testCreateOrder')
    })
  })
}
