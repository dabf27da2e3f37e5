/** What the Order Service refuses, on either database: bad requests and bad commands. None of it stores anything. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import {
  bareCommands,
  burger,
  order_details,
  runningOrders,
  type BareCommands,
  type RunningOrders,
} from './order.testkit.ts'

const withItem = (item: unknown) => JSON.stringify({ customer_id: 'c', order_details: { foodItems: [item] } })
const well = '['.repeat(200) + ']'.repeat(200)
const missing = 'order-0'

const failures: Readonly<Record<string, string>> = {
  create_order: 'order.creation_failed',
  update_order_status: 'order.status_update_failed',
  cancel_order: 'order.cancellation_failed',
}

export function orderRefusalsContract(name: string, newPlace: NewPlace): void {
  describe(`the refusals of the Order Service on ${name}`, () => {
    let place: Place
    let order: RunningOrders
    let bare: BareCommands
    let sagas = 0

    beforeAll(async () => {
      place = await newPlace()
      order = await runningOrders(place)
      bare = bareCommands(order)
    })
    afterEach(async () => {
      expect((await order.get('/orders')).body).toMatchObject({ total: 0 })
    })
    afterAll(async () => {
      await order.close()
      await place.remove?.()
    })

    test.each([
      ['that is not JSON', 400, '{"customer_id":', 'JSON'],
      ['that is empty', 400, '', 'body'],
      ['that is a list', 400, '[]', 'object'],
      ['that is null', 400, 'null', 'body'],
      ['without a customer', 400, JSON.stringify({ order_details }), 'customer_id'],
      ['whose customer is a number', 400, JSON.stringify({ customer_id: 7, order_details }), 'customer_id'],
      ['whose customer has NUL', 400, JSON.stringify({ customer_id: 'a\u0000', order_details }), 'NUL'],
      ['without details', 400, JSON.stringify({ customer_id: 'c' }), 'order_details'],
      ['whose details are words', 400, JSON.stringify({ customer_id: 'c', order_details: 'tea' }), 'order_details'],
      ['without items', 400, JSON.stringify({ customer_id: 'c', order_details: {} }), 'foodItems'],
      ['with an item that is null', 400, withItem(null), 'foodItems[0]'],
      ['with a negative quantity', 400, withItem({ ...burger, quantity: -1 }), 'quantity'],
      ['with half a burger', 400, withItem({ ...burger, quantity: 0.5 }), 'quantity'],
      ['with three decimals', 400, withItem({ ...burger, price: 1.999 }), 'price'],
      ['with a negative price', 400, withItem({ ...burger, price: -1 }), 'price'],
      ['with an endless price', 400, withItem(burger).replace('12.99', '1e999'), 'number'],
      ['with items that are a well', 400, withItem(null).replace('null', well), 'nested'],
      ['with items that are a book', 400, withItem({ ...burger, name: 'x'.repeat(100_000) }), 'foodItems'],
      ['of 10 MB', 413, withItem({ ...burger, name: 'x'.repeat(10_000_000) }), 'bytes'],
    ])('an order %s is refused with %i and a sentence', async (_what, status, body, about) => {
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${order.service.url}/createOrder`, { method: 'POST', headers, body })
      expect([response.status, await response.json()]).toEqual([status, { error: expect.stringContaining(about) }])
    })

    test.each([
      ['/updateOrderStatus', { status: 'CREATED' }],
      ['/verifyAndAcceptOrder', { runner_id: 'runner_123' }],
      ['/cancelOrder', {}],
      ['/cancelAcceptance', {}],
      ['/clearRunner', {}],
      ['/completeOrder', {}],
    ])('%s of an order that is not there is 404, and without an order or a right body 400', async (path, rest) => {
      const send = (body: unknown) => order.send('POST', path, body)
      const refusal = (about: string) => ({ status: 400, body: { error: expect.stringContaining(about) } })
      expect(await send({ orderId: 'nobody', ...rest })).toEqual({ ...refusal('nobody'), status: 404 })
      expect(await send(rest)).toEqual(refusal('orderId'))
      expect(await send({ orderId: 7, ...rest })).toEqual(refusal('orderId'))
      expect(await send({ orderId: '', ...rest })).toEqual(refusal('orderId'))
      expect(await send({ orderId: 'x'.repeat(501), ...rest })).toEqual(refusal('orderId'))
      expect(await send({ orderId: 'a\u0000', ...rest })).toEqual(refusal('NUL'))
      expect(await send([])).toEqual(refusal('object'))
      expect(await send(undefined)).toEqual(refusal('body'))
    })

    test.each([
      ['update_order_status', 'no order', { status: 'CREATED' }, null, 'order_id'],
      ['update_order_status', 'an order that is a number', { order_id: 7, status: 'CREATED' }, null, 'order_id'],
      ['update_order_status', 'an order with NUL', { order_id: 'a\u0000', status: 'CREATED' }, 'a\u0000', 'NUL'],
      ['update_order_status', 'no status', { order_id: missing }, missing, 'status'],
      ['update_order_status', 'a status that is none', { order_id: missing, status: 'BAKED' }, missing, 'BAKED'],
      ['update_order_status', 'an unknown order', { order_id: missing, status: 'CREATED' }, missing, missing],
      ['update_order_status', 'nothing', null, null, 'object'],
      ['cancel_order', 'no order', { reason: 'r' }, null, 'order_id'],
      ['cancel_order', 'an unknown order', { order_id: missing, reason: 'r' }, missing, missing],
      ['cancel_order', 'a reason that is a list', { order_id: missing, reason: [] }, missing, 'reason'],
      ['create_order', 'no customer', { order_details }, null, 'customer_id'],
      ['create_order', 'no details', { customer_id: 'c' }, null, 'order_details'],
      ['create_order', 'no items', { customer_id: 'c', order_details: {} }, null, 'foodItems'],
      ['create_order', 'words', 'a burger, please', null, 'object'],
    ])('%s with %s is answered with what is wrong', async (type, _what, payload, order_id, about) => {
      const correlationId = `saga-${(sagas += 1)}`
      expect(await bare.ask(type, correlationId, payload)).toMatchObject({
        type: failures[type],
        correlationId,
        source: 'order-service',
        payload: { order_id, correlation_id: correlationId, error: expect.stringContaining(about) },
      })
    })
  })
}
