/** What the Order Service does, on either database, seen from outside: commands, answers, HTTP. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { running, type NewPlace, type Place, type Running } from '../shared/testing/running.ts'
import { cancelOrder, createOrder, updateOrderStatus } from './messages.ts'
import { openOrderService } from './service.ts'

const order_details = {
  foodItems: [{ name: 'Burger', price: 12.99, quantity: 2 }],
  deliveryFee: '3.99',
  deliveryLocation: 'North Campus',
}
const payload = (sagaId: string, customer_id = 'cust_123') => ({ customer_id, order_details, saga_id: sagaId })

export function orderServiceContract(name: string, newPlace: NewPlace): void {
  describe(`the Order Service on ${name}`, () => {
    let place: Place
    let order: Running
    let now: number

    const start = async (): Promise<void> => {
      order = await running(place, 'order', openOrderService, () => now)
    }
    const create = async (sagaId: string, customerId?: string): Promise<string> => {
      const { message } = await order.ask(createOrder, payload(sagaId, customerId), { id: `${sagaId}:create`, sagaId })
      expect(message.type).toBe('order.created')
      return (message.payload as { order_id: string }).order_id
    }
    const created = async (sagaId: string): Promise<string> => {
      const order_id = await create(sagaId)
      const { kind } = await order.ask(updateOrderStatus, { order_id, status: 'CREATED' }, { sagaId })
      expect(kind).toBe('done')
      return order_id
    }
    const details = async (orderId: string) => (await order.get(`/getOrderDetails?orderId=${orderId}`)).body
    const accept = (orderId: string, runner_id: string) =>
      order.send('POST', '/verifyAndAcceptOrder', { orderId, runner_id })

    beforeEach(async () => {
      now = Date.UTC(2026, 0, 1, 12)
      place = await newPlace()
      await start()
    })
    afterEach(async () => {
      await order.close()
      await place.remove?.()
    })

    test('create_order makes a PENDING order and answers with its id', async () => {
      const { message } = await order.ask(createOrder, payload('s1'), { id: 'c1', sagaId: 's1' })
      expect(message).toMatchObject({
        type: 'order.created',
        correlationId: 's1',
        causationId: 'c1',
        source: 'order-service',
        payload: { customer_id: 'cust_123', status: 'PENDING', saga_id: 's1', correlation_id: 's1' },
      })
    })

    test('an order reads as the contract has it, to the key and the cent', async () => {
      const orderId = await create('s1')
      expect(await details(orderId)).toEqual({
        orderId,
        custId: 'cust_123',
        runnerId: null,
        orderDescription: '[{"name":"Burger","price":12.99,"quantity":2}]',
        foodFee: 25.98,
        deliveryFee: 3.99,
        storeLocation: null,
        deliveryLocation: 'North Campus',
        orderStatus: 'PENDING',
        sagaId: 's1',
        createdAt: '2026-01-01T12:00:00.000',
        updatedAt: '2026-01-01T12:00:00.000',
        acceptedAt: null,
        placedAt: null,
        pickedUpAt: null,
        deliveredAt: null,
        completedAt: null,
        cancelledAt: null,
      })
    })

    test('a saga gets one order, whether its command is repeated under the same id, another, or many at once', async () => {
      const ask = (id: string) => order.ask(createOrder, payload('s1'), { id, sagaId: 's1' })
      const answers = [await ask('c1'), await ask('c1'), ...(await Promise.all(['c2', 'c3', 'c4'].map(ask)))]
      expect(new Set(answers.map(({ message }) => (message.payload as { order_id: string }).order_id)).size).toBe(1)
      expect((await order.get('/orders')).body).toMatchObject({ total: 1 })
    })

    test('two processes that obey one command at once make one order', async () => {
      const other = await running(place, 'order', openOrderService)
      const both = await Promise.all(
        [order, other].map((one) => one.ask(createOrder, payload('s1'), { id: 'c1', sagaId: 's1' })),
      )
      await other.close()
      expect(both.map(({ kind }) => kind)).toEqual(['done', 'done'])
      expect(both[0]?.message.payload).toEqual(both[1]?.message.payload)
      expect((await order.get('/orders')).body).toMatchObject({ total: 1 })
    })

    test('an order that cannot be priced is refused by name, and nothing is stored', async () => {
      const bad = { foodItems: [{ name: 'Burger', price: -1, quantity: 1 }] }
      const answer = await order.ask(createOrder, { customer_id: 'cust_123', order_details: bad })
      expect(answer).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('price') })
      expect(answer.message.type).toBe('order.creation_failed')
      const nul = await order.ask(createOrder, { ...payload('s2'), customer_id: 'a\u0000b' })
      expect(nul).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('NUL') })
      expect((await order.get('/orders')).body).toMatchObject({ total: 0 })
    })

    test('the status goes along the table, its moments are kept, and anything else is refused with the state', async () => {
      const order_id = await created('s1')
      const set = (status: string) => order.ask(updateOrderStatus, { order_id, status })
      expect(await set('DELIVERED')).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('CREATED') })
      await accept(order_id, 'runner_123')
      expect(await set('CREATED')).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('ACCEPTED') })
      for (const status of ['PLACED', 'ON_THE_WAY', 'DELIVERED', 'COMPLETED']) {
        now += 60_000
        const answer = await set(status)
        expect(answer).toMatchObject({ kind: 'done', data: { order_id, status, saga_id: 's1' } })
        expect(await set(status)).toMatchObject({ kind: 'done' })
      }
      expect(await details(order_id)).toMatchObject({
        orderStatus: 'COMPLETED',
        runnerId: 'runner_123',
        acceptedAt: '2026-01-01T12:00:00.000',
        placedAt: '2026-01-01T12:01:00.000',
        pickedUpAt: '2026-01-01T12:02:00.000',
        deliveredAt: '2026-01-01T12:03:00.000',
        completedAt: '2026-01-01T12:04:00.000',
        updatedAt: '2026-01-01T12:04:00.000',
      })
    })

    test('a status of no order and a status that does not exist are refused, not passed over', async () => {
      const order_id = await create('s1')
      const unknown = await order.ask(updateOrderStatus, { order_id: 'order-1', status: 'CREATED' })
      expect(unknown.message).toMatchObject({
        type: 'order.status_update_failed',
        payload: { order_id: 'order-1', error: expect.stringContaining('order-1') },
      })
      const wrong = await order.ask(updateOrderStatus, { order_id, status: 'created' })
      expect(wrong).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('PENDING, CREATED') })
    })

    const path = ['CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY', 'DELIVERED', 'COMPLETED']
    const orderAt = async (status: string) => {
      const order_id = await create('s1')
      for (const next of path.slice(0, path.indexOf(status) + 1))
        expect(await order.ask(updateOrderStatus, { order_id, status: next })).toMatchObject({ kind: 'done' })
      return order_id
    }

    test.each(['PENDING', 'CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY'])(
      'cancel_order cancels a %s order, once and for good',
      async (status) => {
        const order_id = await orderAt(status)
        const cancel = () => order.ask(cancelOrder, { order_id, reason: 'card declined' })
        const first = await cancel()
        expect(first.message).toMatchObject({
          type: 'order.cancelled',
          payload: { order_id, reason: 'card declined' },
        })
        now += 60_000
        expect(await cancel()).toMatchObject({ kind: 'done' })
        expect(await details(order_id)).toMatchObject({
          orderStatus: 'CANCELLED',
          cancelledAt: '2026-01-01T12:00:00.000',
        })
        const revived = await order.ask(updateOrderStatus, { order_id, status: 'CREATED' })
        expect(revived).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('CANCELLED') })
      },
    )

    test.each(['DELIVERED', 'COMPLETED'])(
      'cancel_order of a %s order is refused, and the refusal names its state',
      async (status) => {
        const order_id = await orderAt(status)
        const answer = await order.ask(cancelOrder, { order_id, reason: 'changed my mind' })
        expect(answer).toMatchObject({ kind: 'rejected', reason: expect.stringContaining(status) })
        expect(await details(order_id)).toMatchObject({ orderStatus: status })
      },
    )

    test('asked for only without a runner, an order that one has accepted is not cancelled', async () => {
      const order_id = await created('s1')
      await accept(order_id, 'runner_123')
      const answer = await order.ask(cancelOrder, { order_id, reason: 'changed my mind', only_without_runner: true })
      expect(answer.message.type).toBe('order.cancellation_failed')
      expect(answer).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('ACCEPTED') })
      expect(await details(order_id)).toMatchObject({ orderStatus: 'ACCEPTED', runnerId: 'runner_123' })
    })

    test('an undo may name only the command that it undoes', async () => {
      const order_id = await create('s1')
      const undo = await order.ask(cancelOrder, { reason: 'r' }, { sagaId: 's1', undoes: 's1:create' })
      expect(undo).toMatchObject({ kind: 'done', data: { order_id } })
      expect(await details(order_id)).toMatchObject({ orderStatus: 'CANCELLED' })
    })

    test('an undo finds the order by its command also where the command named another saga', async () => {
      const made = await order.ask(createOrder, payload('told'), { id: 'c1', sagaId: 'meant' })
      const { order_id } = made.message.payload as { order_id: string }
      const undo = await order.ask(cancelOrder, { reason: 'r' }, { sagaId: 'meant', undoes: 'c1' })
      expect(undo).toMatchObject({ kind: 'done', data: { order_id } })
      expect(await details(order_id)).toMatchObject({ orderStatus: 'CANCELLED' })
    })

    test('an undo that comes first keeps the late command out', async () => {
      const undo = await order.ask(cancelOrder, { reason: 'r' }, { sagaId: 's1', undoes: 's1:create' })
      expect(undo).toMatchObject({ kind: 'done', data: { order_id: null } })
      const late = await order.ask(createOrder, payload('s1'), { id: 's1:create', sagaId: 's1' })
      expect(late).toMatchObject({ kind: 'rejected' })
      expect((await order.get('/orders')).body).toMatchObject({ total: 0 })
    })

    test('of ten runners who accept at once exactly one gets the order', async () => {
      const order_id = await created('s1')
      const runners = Array.from({ length: 10 }, (_, index) => `runner-${index}`)
      const answers = await Promise.all(runners.map((runner) => accept(order_id, runner)))
      const winners = answers.flatMap(({ status }, index) => (status === 200 ? [runners[index]] : []))
      expect(winners).toHaveLength(1)
      expect(await details(order_id)).toMatchObject({ orderStatus: 'ACCEPTED', runnerId: winners[0] })
      const loser = answers.find(({ status }) => status !== 200)
      expect(loser).toMatchObject({ status: 400, body: { error: expect.stringContaining('ACCEPTED') } })
    })

    test('a runner who accepts and a saga that cancels race, and exactly one wins', async () => {
      for (let round = 0; round < 20; round++) {
        const order_id = await created(`race-${round}`)
        const [accepted, cancelled] = await Promise.all([
          accept(order_id, 'runner_123'),
          order.ask(cancelOrder, { order_id, reason: 'r', only_without_runner: true }),
        ])
        expect((accepted.status === 200) !== (cancelled.kind === 'done')).toBe(true)
      }
    })

    test('accepting what is not there, not CREATED, or not named is refused', async () => {
      const order_id = await create('s1')
      expect(await accept('nobody', 'runner_123')).toMatchObject({ status: 404 })
      expect(await accept(order_id, 'runner_123')).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('PENDING') },
      })
      const empty = await order.send('POST', '/verifyAndAcceptOrder', { orderId: order_id })
      expect(empty).toMatchObject({ status: 400, body: { error: expect.stringContaining('runner_id') } })
    })

    test('lists are newest first, page by page, and filtered', async () => {
      for (let index = 0; index < 25; index++) {
        now += 1_000
        await create(`s${index}`, index % 2 === 0 ? 'even' : 'odd')
      }
      const sagas = async (path: string) => {
        const { body } = await order.get(path)
        const { items, ...page } = body as { items: { sagaId: string }[] }
        return { ...page, sagas: items.map(({ sagaId }) => sagaId) }
      }
      expect(await sagas('/orders?limit=2')).toEqual({ total: 25, pages: 13, page: 1, sagas: ['s24', 's23'] })
      expect(await sagas('/orders?page=3')).toEqual({
        total: 25,
        pages: 3,
        page: 3,
        sagas: ['s4', 's3', 's2', 's1', 's0'],
      })
      expect(await sagas('/orders?page=99')).toMatchObject({ page: 99, total: 25, sagas: [] })
      expect((await sagas('/orders?page=0&limit=0')).sagas).toHaveLength(20)
      expect((await sagas('/orders?page=x&limit=999999')).sagas).toHaveLength(25)
      expect(await sagas(`/orders?limit=100&page=${Number.MAX_SAFE_INTEGER}`)).toMatchObject({ sagas: [] })
      expect(await sagas('/orders/customer/odd?limit=1')).toMatchObject({ total: 12, sagas: ['s23'] })
      expect(await sagas('/orders?status=pending&limit=1')).toMatchObject({ total: 25 })
      expect(await sagas('/orders?status=CREATED')).toMatchObject({ total: 0, pages: 0 })
      expect(await sagas('/orders?runnerId=runner_123')).toMatchObject({ total: 0 })
    })

    test('a wrong read is a sentence that helps', async () => {
      expect(await order.get('/orders?status=BAKED')).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('ON_THE_WAY') },
      })
      expect(await order.get('/getOrderDetails')).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('orderId') },
      })
      expect(await order.get('/getOrderDetails?orderId=%00')).toMatchObject({ status: 400 })
      expect(await order.get('/getOrderDetails?orderId=nothing')).toMatchObject({
        status: 404,
        body: { error: expect.stringContaining('nothing') },
      })
    })

    test('what was answered before a restart is answered the same after it', async () => {
      const order_id = await create('s1')
      await order.close()
      await start()
      expect(await create('s1')).toBe(order_id)
    })

    test('it is healthy with its parts', async () => {
      await expect.poll(() => order.get('/health')).toEqual({ status: 200, body: { status: 'healthy' } })
    })
  })
}
