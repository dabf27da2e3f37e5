/** How the Order Service obeys foreign producers, whose messages are bare, on either database. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewPlace, Place } from '../shared/testing/running.ts'
import {
  bareCommands,
  cancelReasons,
  order_details,
  runningOrders,
  type BareCommands,
  type RunningOrders,
} from './order.testkit.ts'

export function orderMessagesContract(name: string, newPlace: NewPlace): void {
  describe(`bare commands to the Order Service on ${name}`, () => {
    let place: Place
    let order: RunningOrders
    let bare: BareCommands

    const create = async (sagaId: string) => {
      const { payload } = await bare.ask('create_order', sagaId, { customer_id: 'c', order_details })
      return (payload as { order_id: string }).order_id
    }

    beforeEach(async () => {
      place = await newPlace()
      order = await runningOrders(place)
      bare = bareCommands(order)
    })
    afterEach(async () => {
      await order.close()
      await place.remove?.()
    })

    test('an undo is obeyed whatever its reason says, and kept as far as it can be', async () => {
      const order_id = await create('s-odd')
      const reason = `a\u0000b${'c'.repeat(600)}`
      const { type, payload } = await bare.ask('cancel_order', 's-odd', { order_id, reason })
      expect([type, payload]).toEqual(['order.cancelled', expect.objectContaining({ order_id, reason })])
      expect(await order.details(order_id)).toMatchObject({ orderStatus: 'CANCELLED' })
    })

    test('an order is made, confirmed and cancelled by commands with nothing but what the contract has', async () => {
      const saga = 'saga-of-another-make'
      const order_id = await create(saga)
      await bare.ask('update_order_status', saga, { order_id, status: 'CREATED' })
      await bare.ask('cancel_order', saga, { order_id, reason: 'too late' })
      const said = (await bare.answers(saga, 3)).map(({ type, source, correlationId, payload }) => {
        expect([source, correlationId]).toEqual(['order-service', saga])
        return [type, payload]
      })
      const correlation_id = saga
      expect(said).toEqual([
        ['order.created', { order_id, customer_id: 'c', status: 'PENDING', saga_id: saga, correlation_id }],
        ['order.status_updated', { order_id, status: 'CREATED', saga_id: saga, correlation_id }],
        ['order.cancelled', { order_id, reason: 'too late', correlation_id }],
      ])
    })

    test('the same order is named where it is asked for twice under other ids', async () => {
      expect(await create('s1')).toBe(await create('s1'))
      expect((await order.get('/orders?sagaId=s1')).body).toMatchObject({ total: 1 })
    })

    test('commands of one saga that come at once take effect in the order of their coming', async () => {
      const order_id = await create('s1')
      await bare.send(
        ['update_order_status', 's1', { order_id, status: 'CREATED' }],
        ['cancel_order', 's1', { order_id, reason: 'r' }],
        ['update_order_status', 's1', { order_id, status: 'CREATED' }],
      )
      expect((await bare.answers('s1', 4)).map(({ type }) => type)).toEqual([
        'order.created',
        'order.status_updated',
        'order.cancelled',
        'order.status_update_failed',
      ])
    })

    test('a type that is not ours is passed over, and what comes after it is served', async () => {
      await bare.send(['bake_bread', 's1', {}])
      await create('s2')
      expect(order.heard.map(({ correlationId }) => correlationId)).toEqual(['s2'])
    })

    test('the reason of a cancel is kept', async () => {
      const order_id = await create('s1')
      await bare.ask('cancel_order', 's1', { reason: 'the kitchen is on fire' })
      expect(await order.details(order_id)).toMatchObject({ orderStatus: 'CANCELLED', sagaId: 's1' })
      expect(await cancelReasons(place)).toEqual(['the kitchen is on fire'])
    })
  })
}
