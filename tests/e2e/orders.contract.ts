/** What the system does for its customers, on whatever it stands. */
import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { until } from '../kit/until.ts'
import type { Client, Saga } from '../kit/client.ts'
import type { System } from '../kit/system.ts'
import type { Running } from './system.contract.ts'

const minutes = 60_000

/** @param at once it runs */
export function ordersContract(at: () => Running): void {
  describe('orders', () => {
    let system: System
    let client: Client
    let processOf: Running['processOf']

    beforeAll(() => {
      ;({ system, client, processOf } = at())
    })

    const expectUndone = async (saga: Saga): Promise<void> => {
      expect(await client.orderOf(saga)).toMatchObject({ orderStatus: 'CANCELLED' })
      expect(['REVERTED', 'FAILED', null]).toContain(await client.paymentOf(saga))
    }
    const expectPaid = async (saga: Saga): Promise<void> => {
      expect(saga).toMatchObject({ status: 'COMPLETED', error: null })
      expect(await client.orderOf(saga)).toMatchObject({ orderStatus: 'CREATED', sagaId: saga.id, foodFee: 12.99 })
      expect(await client.paymentOf(saga)).toBe('AUTHORIZED')
      expect(await client.timerCode(saga)).toBe(200)
    }

    test('an order is created, paid, confirmed and timed', { timeout: 3 * minutes }, async () => {
      await expectPaid(await client.end(await client.order('cust_123')))
    })

    test('a declined card undoes the order', { timeout: 3 * minutes }, async () => {
      const saga = await client.end(await client.order('cust_declined'))
      expect(saga).toMatchObject({ status: 'COMPENSATED' })
      expect(saga.error).toMatch(/^Payment authorization failed: /)
      await expectUndone(saga)
    })

    test('a customer without a card has his order undone, and no payment', { timeout: 3 * minutes }, async () => {
      const saga = await client.end(await client.order('cust_no_card'))
      expect(saga).toMatchObject({ status: 'COMPENSATED' })
      expect(saga.error).toMatch(/^Failed to get payment info: /)
      await expectUndone(saga)
      expect(await client.paymentOf(saga)).toBeNull()
    })

    test('a lost answer of the gateway is settled, and the money held once', { timeout: 3 * minutes }, async () => {
      await expectPaid(await client.end(await client.order('cust_lost_answer')))
    })

    test('a start that is repeated under its key is the same saga', { timeout: 3 * minutes }, async () => {
      const key = randomUUID()
      const ids = await Promise.all([1, 2, 3].map(() => client.order('cust_123', { 'idempotency-key': key })))
      expect(new Set(ids).size).toBe(1)
      await client.end(ids[0] ?? '')
    })

    test('a completed order can be cancelled until a runner has accepted it', { timeout: 3 * minutes }, async () => {
      const [free, taken] = [await client.order('cust_123'), await client.order('cust_123')]
      await expectPaid(await client.end(free))
      expect(await client.cancel(free)).toMatchObject({ status: 202 })
      const cancelled = await client.end(free)
      expect(cancelled.status).toBe('CANCELLED')
      await expectUndone(cancelled)

      const accepted = await client.end(taken)
      expect(await client.accept(accepted, 'runner_1')).toMatchObject({ status: 200 })
      expect(await client.cancel(taken)).toMatchObject({
        status: 409,
        body: { error: expect.stringContaining('ACCEPTED') as string },
      })
      expect(await client.saga(taken)).toMatchObject({ status: 'COMPLETED' })
      expect(await client.paymentOf(accepted)).toBe('AUTHORIZED')
    })

    test('an order that is cancelled at the Order Service is undone whole', { timeout: 3 * minutes }, async () => {
      const saga = await client.end(await client.order('cust_123'))
      const cancelled = await client.send('POST', `${system.url('order')}/cancelOrder`, { orderId: saga.order_id })
      expect(cancelled.status).toBe(200)
      await expectUndone(await client.end(saga.id, ['CANCELLED']))
    })

    test('money is given back where the Payment Service is asked for it', { timeout: 3 * minutes }, async () => {
      const saga = await client.end(await client.order('cust_123'))
      const asked = await client.send('POST', `${system.url('payment')}/payment/${saga.payment_id ?? ''}/revert`, {})
      expect(asked).toMatchObject({ status: 202, body: { success: true } })
      await until('the payment is reverted', minutes, async () => (await client.paymentOf(saga)) === 'REVERTED')
      expect(await client.cancel(saga.id)).toMatchObject({ status: 202 })
      await expectUndone(await client.end(saga.id, ['CANCELLED']))
    })

    test('an order can be cancelled at any moment, and then nothing is left', { timeout: 3 * minutes }, async () => {
      const ids = await Promise.all(Array.from({ length: 12 }, () => client.order('cust_slow')))
      await Promise.all(ids.map((id) => client.cancel(id)))
      for (const saga of await Promise.all(ids.map((id) => client.end(id)))) {
        expect(['CANCELLED', 'FAILED']).toContain(saga.status)
        if (saga.order_id !== null) await expectUndone(saga)
      }
    })

    test('live updates bring every move in order and end with the saga', { timeout: 3 * minutes }, async () => {
      const id = await client.order('cust_declined')
      const response = await fetch(`${system.url('create-order')}/api/sagas/${id}/updates`)
      const text = await response.text()
      const moves = [...text.matchAll(/^id: (\d+)$/gm)].map(([, seq]) => Number(seq))
      expect(moves).toEqual(moves.map((_, index) => index + 1))
      expect(text).toMatch(/"status":"COMPENSATED"[^\n]*\n\n$/)
    })

    test(
      'a service that dies in the middle is waited for, and nothing is done twice',
      { timeout: 4 * minutes },
      async () => {
        const ids = await Promise.all(Array.from({ length: 20 }, () => client.order('cust_123')))
        await system.kill(processOf('payment'))
        await system.start(processOf('payment'))
        for (const saga of await Promise.all(ids.map((id) => client.end(id)))) await expectPaid(saga)
      },
    )

    test('an orchestrator that dies goes on with every order it had taken', { timeout: 4 * minutes }, async () => {
      const customers = Array.from({ length: 20 }, (_, n) => (n % 4 === 0 ? 'cust_declined' : 'cust_slow'))
      const ids = await Promise.all(customers.map((customer) => client.order(customer)))
      await system.kill(processOf('create-order'))
      await system.start(processOf('create-order'))
      const sagas = await Promise.all(ids.map((id) => client.end(id)))
      expect(sagas.map(({ status }) => status)).toEqual(
        customers.map((customer) => (customer === 'cust_declined' ? 'COMPENSATED' : 'COMPLETED')),
      )
    })
  })
}
