/** What the Shop Order Service does, on either database, seen from outside. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { running, type NewPlace, type Place, type Running } from '../shared/testing/running.ts'
import { createOrder, rollbackOrder, updateOrderPaymentId } from './messages.ts'
import { openShopOrderService } from './service.ts'

export function shopOrderServiceContract(name: string, newPlace: NewPlace): void {
  describe(`the Shop Order Service on ${name}`, () => {
    let place: Place
    let orders: Running

    beforeEach(async () => {
      place = await newPlace()
      orders = await running(place, 'shop-order', openShopOrderService, () => Date.UTC(2026, 0, 1, 12))
    })
    afterEach(async () => {
      await orders.close()
      await place.remove?.()
    })

    const request = {
      user_email: 'ada@example.com',
      vendor_email: 'v@example.com',
      delivery_address: '1 Main Street',
      description: null,
      status: 'Pending' as const,
      items: [
        { product_id: 'p1', quantity: 3, unit_price: 19.99 },
        { product_id: 'p2', quantity: 1, unit_price: 0.05 },
      ],
    }
    const create = (sagaId: string, more: Partial<typeof request> = {}, asked = {}) =>
      orders.ask(createOrder, { ...request, ...more }, { sagaId, ...asked })
    const created = async (sagaId: string): Promise<string> => {
      const answer = await create(sagaId)
      return answer.kind === 'done' ? (answer.data as { order_id: string }).order_id : expect.fail('it was refused')
    }
    const rollback = (sagaId: string, asked = {}) => orders.ask(rollbackOrder, {}, { sagaId, ...asked })
    const shown = async (id: string) => (await orders.get(`/orders/${id}`)).body

    test('create_order makes an order, which is shown with its sum to the cent', async () => {
      const answer = await create('t1')
      expect(answer.message).toMatchObject({
        type: 'create_order.success',
        correlationId: 't1',
        source: 'shop-order-service',
        payload: { order_id: expect.any(String) as string },
      })
      const { order_id } = answer.message.payload as { readonly order_id: string }
      expect(await shown(order_id)).toEqual({
        id: order_id,
        user_email: 'ada@example.com',
        vendor_email: 'v@example.com',
        delivery_address: '1 Main Street',
        description: null,
        status: 'Pending',
        total_price: 60.02,
        order_date: '2026-01-01T12:00:00.000',
        delivery_date: null,
        payment_id: null,
        items: request.items,
      })
    })

    test('a transaction has one order, under whatever id it is asked for again', async () => {
      const [first, second, third] = [
        await create('t1', {}, { id: 'c1' }),
        await create('t1', {}, { id: 'c1' }),
        await create('t1', {}, { id: 'c2' }),
      ]
      expect(second.message.payload).toEqual(first.message.payload)
      expect(third.message.payload).toEqual(first.message.payload)
      expect((await orders.get('/orders')).body).toHaveLength(1)
      expect(await create('t1', { user_email: 'eve@example.com' })).toMatchObject({ kind: 'rejected' })
    })

    test.each([
      ['no items', { items: [] }, 'items'],
      ['none of an item', { items: [{ product_id: 'p', quantity: 0, unit_price: 1 }] }, 'quantity'],
      ['a negative price', { items: [{ product_id: 'p', quantity: 1, unit_price: -1 }] }, 'negative'],
      ['a price in parts of a cent', { items: [{ product_id: 'p', quantity: 1, unit_price: 0.001 }] }, 'two decimals'],
      [
        'more than any order costs',
        { items: [{ product_id: 'p', quantity: 1_000_000, unit_price: 9_999 }] },
        'at most',
      ],
      ['a status that it has later', { status: 'Shipped' as 'Pending' }, 'Pending'],
      ['a status that there is not', { status: 'success' as 'Pending' }, 'status'],
    ])('an order with %s is refused', async (_what, wrong, why) => {
      expect(await create('t1', wrong)).toMatchObject({
        kind: 'rejected',
        reason: expect.stringContaining(why) as string,
      })
      expect((await orders.get('/orders')).body).toEqual([])
    })

    test('the undo cancels the order, found by its transaction, once', async () => {
      const id = await created('t1')
      expect((await rollback('t1')).message).toMatchObject({ type: 'rollback_order.success', payload: null })
      expect(await rollback('t1')).toMatchObject({ kind: 'done' })
      expect(await shown(id)).toMatchObject({ status: 'Canceled' })
      expect(await create('t1', {}, { id: 'late' })).toMatchObject({ kind: 'rejected' })
    })

    test('an undo that comes first keeps the late command out, under whatever id', async () => {
      expect(await rollback('t1')).toMatchObject({ kind: 'done' })
      expect(await create('t1')).toMatchObject({ kind: 'rejected', reason: 'it was undone before it arrived' })
      expect((await orders.get('/orders')).body).toEqual([])
    })

    test('an undo reads whatever is in it', async () => {
      for (const payload of [null, [], 'text'])
        expect(await orders.ask(rollbackOrder, payload as null)).toMatchObject({ kind: 'done' })
    })

    test('an order that is on its way is not undone, and the refusal says where it is', async () => {
      const id = await created('t1')
      await orders.send('PUT', `/orders/${id}/status/Shipped`)
      expect(await rollback('t1')).toMatchObject({
        kind: 'rejected',
        reason: expect.stringContaining('Shipped') as string,
      })
      expect(await shown(id)).toMatchObject({ status: 'Shipped' })
    })

    test('an order is told its payment, once', async () => {
      const order_id = await created('t1')
      const tell = (payment_id: string, of = order_id) => orders.ask(updateOrderPaymentId, { order_id: of, payment_id })
      expect((await tell('pay-1')).message).toMatchObject({ type: 'update_order_payment_id.success' })
      expect(await tell('pay-1')).toMatchObject({ kind: 'done' })
      expect(await tell('pay-2')).toMatchObject({ kind: 'rejected' })
      expect(await tell('pay-1', 'nothing')).toMatchObject({ kind: 'rejected', reason: 'there is no order nothing' })
      expect(await shown(order_id)).toMatchObject({ payment_id: 'pay-1' })
    })

    test('many orders at once are each told their own payment', async () => {
      const ids = await Promise.all(Array.from({ length: 40 }, (_, nth) => created(`t${nth}`)))
      await Promise.all(
        ids.map((order_id) => orders.ask(updateOrderPaymentId, { order_id, payment_id: `of ${order_id}` })),
      )
      for (const id of ids) expect(await shown(id)).toMatchObject({ payment_id: `of ${id}` })
    })

    test('orders are listed by user and by vendor, newest first, page by page', async () => {
      const ids: string[] = []
      for (const nth of [1, 2, 3]) ids.unshift(await created(`t${nth}`))
      await create('t4', { user_email: 'bob@example.com', vendor_email: 'w@example.com' })
      const listed = async (path: string) =>
        ((await orders.get(path)).body as readonly { readonly id: string }[]).map(({ id }) => id)
      expect(await listed('/orders/user/ada@example.com')).toEqual(ids)
      expect(await listed('/orders/vendor/v@example.com?limit=2')).toEqual(ids.slice(0, 2))
      expect(await listed(`/orders/vendor/v@example.com?before=${ids[1]}`)).toEqual(ids.slice(2))
      expect(await listed('/orders')).toHaveLength(4)
    })

    test('one user in several writings is one, and so is a vendor', async () => {
      await create('t1', { user_email: 'Ada@Example.com', vendor_email: 'V@example.com' })
      await create('t2')
      for (const path of [
        'user/ada@example.com',
        'user/ADA@example.com',
        'vendor/v@example.com',
        'vendor/V@Example.com',
      ])
        expect((await orders.get(`/orders/${path}`)).body).toHaveLength(2)
      expect(await create('t2', { user_email: 'ADA@example.com' }, { id: 'again' })).toMatchObject({ kind: 'done' })
    })

    test('an order does not become Refund where nothing goes back: it says where that is done', async () => {
      const id = await created('t1')
      await orders.ask(updateOrderPaymentId, { order_id: id, payment_id: 'pay-1' })
      for (const status of ['Pending', 'Delivered']) {
        await orders.send('PUT', `/orders/${id}/status/${status}`)
        expect(await orders.send('PUT', `/orders/${id}/status/Refund`)).toMatchObject({
          status: 409,
          body: { detail: expect.stringContaining('PUT /payments/pay-1/status/Refund') as string },
        })
        expect(await shown(id)).toMatchObject({ status })
      }
    })

    test('an order goes forward only, and is cancelled where it was ordered', async () => {
      const id = await created('t1')
      const put = (status: string) => orders.send('PUT', `/orders/${id}/status/${encodeURIComponent(status)}`)
      expect(await put('Canceled')).toMatchObject({ status: 409 })
      expect(await put('Delivered')).toMatchObject({
        status: 200,
        body: { status: 'Delivered', delivery_date: '2026-01-01T12:00:00.000' },
      })
      expect(await put('Delivered')).toMatchObject({ status: 200 })
      expect(await put('Shipped')).toMatchObject({
        status: 409,
        body: { detail: expect.stringContaining(id) as string },
      })
      expect(await put('Eaten')).toMatchObject({ status: 400 })
      expect(await orders.send('PUT', '/orders/nothing/status/Shipped')).toMatchObject({ status: 404 })
      expect(await orders.get('/orders/nothing')).toMatchObject({ status: 404 })
    })
  })
}
