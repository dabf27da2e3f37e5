/** Changes that somebody's saga asks for over HTTP under a key, and takes back by it, on either database. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import { runningOrders, type RunningOrders } from './order.testkit.ts'

export function keyedChangesContract(name: string, newPlace: NewPlace): void {
  describe(`changes of an order under a key on ${name}`, () => {
    let place: Place
    let order: RunningOrders

    const ask = (path: string, body: object, key: string, undoes?: string) =>
      order.send('POST', path, body, {
        'idempotency-key': key,
        ...(undoes === undefined ? {} : { 'ordersaga-undoes': undoes }),
      })
    const statusOf = async (orderId: string) => {
      const { orderStatus, runnerId } = (await order.details(orderId)) as {
        orderStatus: string
        runnerId: string | null
      }
      return [orderStatus, runnerId]
    }
    const updates = () => order.heard.filter(({ type }) => type.startsWith('ORDER_')).length

    beforeEach(async () => {
      place = await newPlace()
      order = await runningOrders(place)
    })
    afterEach(async () => {
      await order.close()
      await place.remove?.()
    })

    test('a delivery is made once, told of once, and taken back by its key', async () => {
      const orderId = await order.orderAt('ON_THE_WAY')
      const deliver = { orderId, status: 'DELIVERED' }
      const made = await ask('/updateOrderStatus', deliver, 's:deliver:do')
      expect(made).toMatchObject({ status: 200, body: { order: { orderId, orderStatus: 'DELIVERED' } } })
      expect((await ask('/updateOrderStatus', deliver, 's:deliver:do')).status).toBe(200)
      const back = await ask('/updateOrderStatus', { orderId, status: 'ON_THE_WAY' }, 's:deliver:undo', 's:deliver:do')
      expect(back).toMatchObject({ status: 200, body: { order: { orderStatus: 'ON_THE_WAY' } } })
      // A copy that was late on the way.
      expect((await ask('/updateOrderStatus', deliver, 's:deliver:do')).status).toBe(200)
      expect(await statusOf(orderId)).toEqual(['ON_THE_WAY', 'runner_123'])
      await expect.poll(updates).toBe(5 + 2) // made and moved on to here, then delivered and taken back
    })

    test('without the key of the change nobody takes a delivery back', async () => {
      const orderId = await order.orderAt('DELIVERED')
      const back = { orderId, status: 'ON_THE_WAY' }
      expect((await ask('/updateOrderStatus', back, 'k1')).status).toBe(400)
      expect((await ask('/updateOrderStatus', back, 'k2', 'nobody:knows')).status).toBe(200)
      expect(await statusOf(orderId)).toEqual(['DELIVERED', 'runner_123'])
      expect(await order.send('POST', '/updateOrderStatus', back, { 'ordersaga-undoes': 'k1' })).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('send an Idempotency-Key of its own') },
      })
      expect(await ask('/updateOrderStatus', back, 'k3', 'k3')).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('names this very request') },
      })
    })

    test('what was taken back before it came is refused when it comes', async () => {
      const orderId = await order.orderAt('ON_THE_WAY')
      const undone = await ask('/updateOrderStatus', { orderId, status: 'ON_THE_WAY' }, 's:d:undo', 's:d:do')
      expect(undone.status).toBe(200)
      expect((await ask('/updateOrderStatus', { orderId, status: 'DELIVERED' }, 's:d:do')).status).toBe(400)
      expect(await statusOf(orderId)).toEqual(['ON_THE_WAY', 'runner_123'])
    })

    test('one that was DELIVERED before is left so when it is taken back', async () => {
      const orderId = await order.orderAt('DELIVERED')
      expect((await ask('/updateOrderStatus', { orderId, status: 'DELIVERED' }, 'd')).status).toBe(200)
      expect((await ask('/updateOrderStatus', { orderId, status: 'ON_THE_WAY' }, 'u', 'd')).status).toBe(200)
      expect(await statusOf(orderId)).toEqual(['DELIVERED', 'runner_123'])
    })

    test('a delivery whose order went on is not taken back, with the reason', async () => {
      const orderId = await order.orderAt('ON_THE_WAY')
      await ask('/updateOrderStatus', { orderId, status: 'DELIVERED' }, 'd')
      await ask('/updateOrderStatus', { orderId, status: 'COMPLETED' }, 'c')
      expect(await ask('/updateOrderStatus', { orderId, status: 'ON_THE_WAY' }, 'u', 'd')).toMatchObject({
        status: 400,
        body: { error: 'the order is COMPLETED: nothing can follow, not ON_THE_WAY' },
      })
      expect((await ask('/updateOrderStatus', { orderId, status: 'ON_THE_WAY' }, 'u2', 'c')).body).toMatchObject({
        error: expect.stringContaining('only a delivery can be taken back'),
      })
    })

    test('a refusal stays one, also where the order has come to what was asked for', async () => {
      const orderId = await order.orderAt('PLACED')
      expect((await ask('/updateOrderStatus', { orderId, status: 'DELIVERED' }, 'early')).status).toBe(400)
      await order.send('POST', '/updateOrderStatus', { orderId, status: 'ON_THE_WAY' })
      expect((await ask('/updateOrderStatus', { orderId, status: 'DELIVERED' }, 'early')).status).toBe(400)
      expect(await statusOf(orderId)).toEqual(['ON_THE_WAY', 'runner_123'])
    })

    test('of two runners one is accepted, and the other who is refused takes nothing from him', async () => {
      const orderId = await order.orderAt('CREATED')
      const accept = (runner_id: string, key: string) => ask('/verifyAndAcceptOrder', { orderId, runner_id }, key)
      expect(await accept('runner_1', 'a1')).toMatchObject({ status: 200, body: { success: true, order_id: orderId } })
      expect((await accept('runner_1', 'a1')).status).toBe(200)
      expect(await accept('runner_2', 'a2')).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('another runner') },
      })
      expect((await ask('/clearRunner', { orderId }, 'u2', 'a2')).status).toBe(200)
      expect(await statusOf(orderId)).toEqual(['ACCEPTED', 'runner_1'])
      expect((await ask('/clearRunner', { orderId }, 'u1', 'a1')).status).toBe(200)
      expect(await statusOf(orderId)).toEqual(['CREATED', null])
    })

    test('an acceptance that was given back is not taken from the runner who has the order now', async () => {
      const orderId = await order.orderAt('CREATED')
      await ask('/verifyAndAcceptOrder', { orderId, runner_id: 'runner_1' }, 'a1')
      await order.send('POST', '/cancelAcceptance', { orderId })
      await order.send('POST', '/verifyAndAcceptOrder', { orderId, runner_id: 'runner_2' })
      expect((await ask('/clearRunner', { orderId }, 'u1', 'a1')).status).toBe(200)
      expect(await statusOf(orderId)).toEqual(['ACCEPTED', 'runner_2'])
    })

    test('an order that is not there is 404, and a key that was used for another order 422', async () => {
      const orderId = await order.orderAt('ON_THE_WAY')
      const none = await ask('/updateOrderStatus', { orderId: 'nothing', status: 'DELIVERED' }, 'n')
      expect(none).toMatchObject({ status: 404, body: { error: 'there is no order nothing' } })
      expect((await ask('/updateOrderStatus', { orderId, status: 'DELIVERED' }, 'd')).status).toBe(200)
      const other = await order.orderAt('ON_THE_WAY')
      expect((await ask('/updateOrderStatus', { orderId: other, status: 'DELIVERED' }, 'd')).status).toBe(422)
      expect(await statusOf(other)).toEqual(['ON_THE_WAY', 'runner_123'])
      expect((await ask('/updateOrderStatus', { orderId, status: 'COMPLETED' }, 'd')).status).toBe(422)
    })

    test('a key of one runner accepts no other, and takes back nothing of another order', async () => {
      const [one, other] = [await order.orderAt('CREATED'), await order.orderAt('DELIVERED')]
      const accept = (runner_id: string) => ask('/verifyAndAcceptOrder', { orderId: one, runner_id }, 'a')
      expect([(await accept('runner_1')).status, (await accept('runner_2')).status]).toEqual([200, 422])
      const mine = await order.orderAt('ON_THE_WAY')
      await ask('/updateOrderStatus', { orderId: mine, status: 'DELIVERED' }, 'd')
      expect(await ask('/updateOrderStatus', { orderId: other, status: 'ON_THE_WAY' }, 'u', 'd')).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('was done to order') },
      })
      expect(await statusOf(other)).toEqual(['DELIVERED', 'runner_123'])
      expect((await ask('/updateOrderStatus', { orderId: mine, status: 'COMPLETED' }, 'u2', 'd')).status).toBe(400)
      expect(await statusOf(mine)).toEqual(['DELIVERED', 'runner_123'])
    })

    test('a runner who gives an order back under a key is told of as one who does so without', async () => {
      const orderId = await order.orderAt('CREATED')
      await ask('/verifyAndAcceptOrder', { orderId, runner_id: 'runner_1' }, 'a')
      await ask('/cancelAcceptance', { orderId }, 'b')
      await expect.poll(() => order.heard.at(-1)?.type).toBe('ORDER_ACCEPTANCE_CANCELLED')
    })
  })
}
