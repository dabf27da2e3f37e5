/** The Order Service's part in the Complete Order saga (docs/wire-contract.md 2.4), on either database. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import type { OrderStatus } from './domain.ts'
import { completeOrder, createOrder, deliverOrder, takeDeliveryBack, updateOrderStatus } from './messages.ts'
import { order_details, runningOrders, type RunningOrders } from './order.testkit.ts'

export function deliveriesContract(name: string, newPlace: NewPlace): void {
  describe(`deliveries on ${name}`, () => {
    let place: Place
    let orders: RunningOrders
    let now = Date.UTC(2026, 0, 1, 12)

    beforeEach(async () => {
      place = await newPlace()
      orders = await runningOrders(place, () => (now += 1000))
    })
    afterEach(async () => {
      await orders.close()
      await place.remove?.()
    })

    const details = async (orderId: string) =>
      (await orders.details(orderId)) as Record<'orderStatus' | 'pickedUpAt' | 'deliveredAt', string | null>
    const deliver = (order_id: string, id?: string) =>
      orders.ask(deliverOrder, { order_id, status: 'DELIVERED' }, id === undefined ? {} : { id })
    const takeBack = (order_id: string, undoes?: string, status = 'ON_THE_WAY') =>
      orders.ask(takeDeliveryBack, { order_id, status }, undoes === undefined ? {} : { undoes, id: `${undoes}:undo` })

    test('an order on its way is delivered, by the types and on the channel of the contract', async () => {
      const order_id = await orders.orderAt('ON_THE_WAY')
      const { message } = await deliver(order_id, 'c1')
      expect(message).toMatchObject({
        type: 'order.status_updated_to_delivered',
        causationId: 'c1',
        source: 'order-service',
        payload: { order_id, status: 'DELIVERED', previous_status: 'ON_THE_WAY', runner_id: 'runner_123' },
      })
      expect((await details(order_id)).orderStatus).toBe('DELIVERED')
      const completed = await orders.ask(completeOrder, { order_id, status: 'COMPLETED' })
      expect(completed.message).toMatchObject({ type: 'order.status_updated_to_completed', payload: { order_id } })
      expect((await details(order_id)).orderStatus).toBe('COMPLETED')
    })

    test.each<OrderStatus>(['CREATED', 'ACCEPTED', 'PLACED', 'COMPLETED', 'CANCELLED'])(
      'an order that is %s is not delivered, and the refusal says what it is',
      async (status) => {
        const order_id = await orders.orderAt(status)
        const { message } = await deliver(order_id)
        expect(message).toMatchObject({
          type: 'complete_order_failed',
          payload: { order_id, error: expect.stringContaining(`the order is ${status}`) as string },
        })
        expect((await details(order_id)).orderStatus).toBe(status)
      },
    )

    test('an order that is on its way without a runner is not delivered', async () => {
      const { message } = await orders.ask(createOrder, { customer_id: 'cust_123', order_details }, { sagaId: 's1' })
      const { order_id } = message.payload as { readonly order_id: string }
      for (const status of ['CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY'])
        expect(await orders.ask(updateOrderStatus, { order_id, status })).toMatchObject({ kind: 'done' })
      expect(await deliver(order_id)).toMatchObject({
        kind: 'rejected',
        reason: 'the order is ON_THE_WAY and has no runner',
      })
      expect((await details(order_id)).orderStatus).toBe('ON_THE_WAY')
    })

    test('an order that nobody knows is refused', async () => {
      expect(await deliver('order_none')).toMatchObject({ kind: 'rejected', reason: 'there is no order order_none' })
      expect(await orders.ask(completeOrder, { order_id: 'order_none', status: 'COMPLETED' })).toMatchObject({
        kind: 'rejected',
      })
      expect(await takeBack('order_none')).toMatchObject({ kind: 'rejected' })
    })

    test('a delivery that is taken back leaves the order as it was before it', async () => {
      const order_id = await orders.orderAt('ON_THE_WAY')
      const before = await details(order_id)
      await deliver(order_id, 'c1')
      const { message } = await takeBack(order_id, 'c1')
      expect(message).toMatchObject({ type: 'order.status_updated_to_on_the_way', payload: { status: 'ON_THE_WAY' } })
      expect(await details(order_id)).toEqual({ ...before, updatedAt: expect.any(String) as string })
    })

    test('one that was DELIVERED before stays so, whether its undo names that status or knows nothing of it', async () => {
      const order_id = await orders.orderAt('DELIVERED')
      const told = await deliver(order_id, 'c1')
      expect(told.message.payload).toMatchObject({ previous_status: 'DELIVERED' })
      const named = await takeBack(order_id, 'c1', 'DELIVERED')
      expect([named.kind, named.message.type]).toEqual(['done', 'order.status_updated_to_delivered'])
      await deliver(order_id, 'c2')
      expect((await takeBack(order_id, 'c2')).kind).toBe('done')
      expect((await details(order_id)).orderStatus).toBe('DELIVERED')
    })

    test('and where it was completed by hand meanwhile, or taken back by whoever delivered it, it is left as it is', async () => {
      const [completed, back] = [await orders.orderAt('DELIVERED'), await orders.orderAt('ON_THE_WAY')]
      await deliver(completed, 'c1')
      await orders.send('POST', '/completeOrder', { orderId: completed })
      await deliver(back, 'other')
      await deliver(back, 'c2')
      await takeBack(back, 'other')
      for (const [order_id, undoes] of [
        [completed, 'c1'],
        [back, 'c2'],
      ] as const)
        expect((await takeBack(order_id, undoes, 'DELIVERED')).kind).toBe('done')
      expect((await details(completed)).orderStatus).toBe('COMPLETED')
      expect((await details(back)).orderStatus).toBe('ON_THE_WAY')
    })

    test('an undo that overtakes its command changes nothing, and keeps the command out', async () => {
      const order_id = await orders.orderAt('ON_THE_WAY')
      expect((await takeBack(order_id, 'c1')).kind).toBe('done')
      expect((await deliver(order_id, 'c1')).kind).toBe('rejected')
      expect((await details(order_id)).orderStatus).toBe('ON_THE_WAY')
    })

    test.each<OrderStatus>(['CREATED', 'PLACED'])(
      'the undo of a delivery that was refused leaves an order %s',
      async (status) => {
        const order_id = await orders.orderAt(status)
        await deliver(order_id, 'c1')
        expect((await takeBack(order_id, 'c1')).kind).toBe('done')
        expect((await details(order_id)).orderStatus).toBe(status)
      },
    )

    test('an order that was completed meanwhile is not taken back', async () => {
      const order_id = await orders.orderAt('ON_THE_WAY')
      await deliver(order_id, 'c1')
      await orders.ask(completeOrder, { order_id, status: 'COMPLETED' })
      expect(await takeBack(order_id, 'c1')).toMatchObject({
        kind: 'rejected',
        reason: expect.stringContaining('the order is COMPLETED') as string,
      })
    })

    test('who gives no ids may ask twice, and may ask for nothing else there', async () => {
      const order_id = await orders.orderAt('ON_THE_WAY')
      await deliver(order_id)
      expect((await deliver(order_id)).kind).toBe('done')
      for (let time = 0; time < 2; time++) expect((await takeBack(order_id)).kind).toBe('done')
      expect(await takeBack(order_id, undefined, 'CANCELLED')).toMatchObject({
        kind: 'rejected',
        reason: 'an order does not become CANCELLED in this way: say DELIVERED, COMPLETED or ON_THE_WAY',
      })
    })

    test('many that come together are each answered for their own order', async () => {
      const [way, placed] = [await orders.orderAt('ON_THE_WAY'), await orders.orderAt('PLACED')]
      const answers = await Promise.all([way, placed, 'order_none', way].map((order_id) => deliver(order_id)))
      expect(answers.map(({ kind }) => kind)).toEqual(['done', 'rejected', 'rejected', 'done'])
    })
  })
}
