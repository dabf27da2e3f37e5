/** What the Shop Payment Service does, on either database, seen from outside. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTables } from '../../tests/kit/tables.ts'
import { running, type NewPlace, type Place, type Running } from '../shared/testing/running.ts'
import { rollbackPayment, takePayment, updatePaymentOrderId } from './messages.ts'
import { openShopPaymentService } from './service.ts'

export function shopPaymentServiceContract(name: string, newPlace: NewPlace): void {
  describe(`the Shop Payment Service on ${name}`, () => {
    let place: Place
    let payments: Running

    beforeEach(async () => {
      place = await newPlace()
      payments = await running(place, 'shop-payment', openShopPaymentService, () => Date.UTC(2026, 0, 1, 12))
    })
    afterEach(async () => {
      await payments.close()
      await place.remove?.()
    })

    const request = {
      user_email: 'ada@example.com',
      order_id: null,
      amount: 19.99,
      payment_method: 'Credit Card' as 'Credit Card' | 'Cash on Delivery',
      payment_status: 'Pending',
    }
    const take = (sagaId: string, more: Partial<typeof request> = {}, asked = {}) =>
      payments.ask(takePayment, { ...request, ...more }, { sagaId, ...asked })
    const taken = async (sagaId: string, more: Partial<typeof request> = {}): Promise<string> => {
      const answer = await take(sagaId, more)
      return answer.kind === 'done' ? (answer.data as { payment_id: string }).payment_id : expect.fail('it was refused')
    }
    const rollback = (sagaId: string, asked = {}) =>
      payments.ask(rollbackPayment, { payment_id: null }, { sagaId, ...asked })
    const shown = async (id: string) => (await payments.get(`/payments/${id}`)).body
    const books = async () =>
      (await payments.get('/payments/audit')).body as {
        readonly ok: boolean
        readonly problems: readonly string[]
        readonly withoutOrder: readonly string[]
        readonly totals: Readonly<Record<string, number>>
      }
    const nothingLeft = { ok: true, problems: [], withoutOrder: [], totals: { charged: 0, cash: 0 } }

    test('take_payment charges a card, and the payment is shown to the cent', async () => {
      const answer = await take('t1')
      expect(answer.message).toMatchObject({
        type: 'take_payment.success',
        correlationId: 't1',
        source: 'shop-payment-service',
        payload: { payment_id: expect.any(String) as string },
      })
      const { payment_id } = answer.message.payload as { readonly payment_id: string }
      expect(await shown(payment_id)).toEqual({
        id: payment_id,
        user_email: 'ada@example.com',
        order_id: null,
        amount: 19.99,
        payment_method: 'Credit Card',
        payment_status: 'Success',
        transaction_id: 't1',
        created_at: '2026-01-01T12:00:00.000',
      })
      expect(await books()).toMatchObject({ ok: true, withoutOrder: [payment_id], totals: { charged: 1999, cash: 0 } })
    })

    test('what is paid in cash has an id, is recorded and not charged', async () => {
      const id = await taken('t1', { payment_method: 'Cash on Delivery' })
      expect(await shown(id)).toMatchObject({ payment_status: 'Pending', payment_method: 'Cash on Delivery' })
      expect(await books()).toMatchObject({ ok: true, totals: { charged: 0, cash: 1999 } })
      expect(await payments.send('PUT', `/payments/${id}/status/Success`)).toMatchObject({ status: 200 })
      expect(await books()).toMatchObject({ ok: true, totals: { charged: 0, cash: 1999 } })
    })

    test('a card that is declined is refused, and recorded as such', async () => {
      expect(await take('t1', { user_email: 'declined+1@example.com' })).toMatchObject({
        kind: 'rejected',
        reason: 'the card was declined',
      })
      expect((await payments.get('/payments/user/declined+1@example.com')).body).toMatchObject([
        { payment_status: 'Failed', amount: 19.99 },
      ])
      expect(await books()).toMatchObject(nothingLeft)
    })

    test('an answer of the gateway that is lost is found out, and the card charged once', async () => {
      expect(await take('t1', { user_email: 'lost-answer@example.com' })).toMatchObject({ kind: 'done' })
      expect(await books()).toMatchObject({ ok: true, totals: { payments: 1, charged: 1999 } })
    })

    test('a transaction is charged once, under whatever id it is asked for again', async () => {
      const first = await take('t1', {}, { id: 'c1' })
      for (const id of ['c1', 'c2'])
        expect((await take('t1', {}, { id })).message.payload).toEqual(first.message.payload)
      expect(await take('t1', { amount: 5 })).toMatchObject({ kind: 'rejected' })
      expect(await take('t1', { payment_method: 'Cash on Delivery' })).toMatchObject({ kind: 'rejected' })
      expect(await books()).toMatchObject({ ok: true, totals: { payments: 1, charged: 1999 } })
    })

    test.each([
      ['nothing', { amount: 0 }],
      ['less than nothing', { amount: -1 }],
      ['parts of a cent', { amount: 1.001 }],
      ['more than any order costs', { amount: 1e12 }],
      ['an amount in words', { amount: 'ten' as unknown as number }],
      ['a method that there is not', { payment_method: 'Shells' as 'Credit Card' }],
    ])('a payment of %s is refused', async (_what, wrong) => {
      expect(await take('t1', wrong)).toMatchObject({ kind: 'rejected' })
      expect(await books()).toMatchObject({ ...nothingLeft, totals: { payments: 0, charged: 0 } })
    })

    test.each(['Credit Card', 'Cash on Delivery'] as const)(
      'the undo of a payment by %s cancels it, once',
      async (payment_method) => {
        const id = await taken('t1', { payment_method })
        expect((await rollback('t1')).message).toMatchObject({ type: 'rollback_payment.success', payload: null })
        expect(await rollback('t1')).toMatchObject({ kind: 'done' })
        expect(await shown(id)).toMatchObject({ payment_status: 'Cancelled' })
        expect(await take('t1', { payment_method }, { id: 'late' })).toMatchObject({ kind: 'rejected' })
        expect(await books()).toMatchObject(nothingLeft)
      },
    )

    test.each(['Credit Card', 'Cash on Delivery'] as const)(
      'an undo that comes first keeps a late payment by %s out',
      async (payment_method) => {
        expect(await rollback('t1')).toMatchObject({ kind: 'done' })
        expect(await take('t1', { payment_method })).toMatchObject({
          kind: 'rejected',
          reason: 'it was undone before it arrived',
        })
        expect(await books()).toMatchObject(nothingLeft)
      },
    )

    test('an undo reads whatever is in it', async () => {
      for (const payload of [null, {}, [], { payment_id: 7 }])
        expect(await payments.ask(rollbackPayment, payload as null)).toMatchObject({ kind: 'done' })
    })

    test('payments and undos that come at once leave nothing of what was undone', async () => {
      await Promise.all(
        Array.from({ length: 60 }, async (_, nth) => {
          const payment_method = nth % 3 === 0 ? ('Cash on Delivery' as const) : ('Credit Card' as const)
          const both = [take(`t${nth}`, { payment_method }), rollback(`t${nth}`)]
          await Promise.all(nth % 2 === 0 ? both : both.toReversed())
        }),
      )
      expect(await books()).toMatchObject(nothingLeft)
    })

    test('a payment is told its order, once', async () => {
      const payment_id = await taken('t1')
      const tell = (order_id: string, of = payment_id) =>
        payments.ask(updatePaymentOrderId, { payment_id: of, order_id })
      expect((await tell('o-1')).message).toMatchObject({ type: 'update_payment_order_id.success' })
      expect(await tell('o-1')).toMatchObject({ kind: 'done' })
      expect(await tell('o-2')).toMatchObject({ kind: 'rejected' })
      expect(await tell('o-1', 'nothing')).toMatchObject({ kind: 'rejected', reason: 'there is no payment nothing' })
      expect(await shown(payment_id)).toMatchObject({ order_id: 'o-1' })
      expect(await books()).toMatchObject({ ok: true, withoutOrder: [] })
    })

    test('what was paid is refunded once, also where the order is undone later', async () => {
      const id = await taken('t1')
      for (let time = 0; time < 2; time++)
        expect(await payments.send('PUT', `/payments/${id}/status/Refund`)).toMatchObject({
          status: 200,
          body: { payment_status: 'Refund' },
        })
      expect(await rollback('t1')).toMatchObject({ kind: 'done' })
      expect(await shown(id)).toMatchObject({ payment_status: 'Refund' })
      expect(await books()).toMatchObject(nothingLeft)
    })

    test('a payment does not become what nobody did', async () => {
      const id = await taken('t1')
      for (const status of ['Pending', 'Failed', 'Cancelled'])
        expect(await payments.send('PUT', `/payments/${id}/status/${status}`)).toMatchObject({
          status: 409,
          body: { detail: expect.stringContaining(status) as string },
        })
      expect(await payments.send('PUT', '/payments/nothing/status/Refund')).toMatchObject({ status: 404 })
      expect(await payments.get('/payments/nothing')).toMatchObject({ status: 404 })
    })

    test('payments are listed by user, newest first, page by page', async () => {
      const ids: string[] = []
      for (const nth of [1, 2, 3]) ids.unshift(await taken(`t${nth}`))
      await taken('t4', { user_email: 'bob@example.com' })
      const listed = async (path: string) =>
        ((await payments.get(path)).body as readonly { readonly id: string }[]).map(({ id }) => id)
      expect(await listed('/payments/user/ada@example.com')).toEqual(ids)
      expect(await listed('/payments/user/ada@example.com?limit=1')).toEqual(ids.slice(0, 1))
      expect(await listed(`/payments/user/ada@example.com?before=${ids[0]}`)).toEqual(ids.slice(1))
      expect(await listed('/payments')).toHaveLength(4)
    })

    test('one user in several writings is one', async () => {
      await taken('t1', { user_email: 'Ada@Example.com' })
      await taken('t2')
      for (const email of ['ada@example.com', 'ADA@Example.com'])
        expect((await payments.get(`/payments/user/${email}`)).body).toHaveLength(2)
    })

    test.each<readonly [string, string, RegExp]>([
      ['money that is not there', 'delete from card_charges', /is Success, and the gateway has nothing of it/],
      ['money of nobody', 'delete from payments', /the gateway has 1999 of transaction t1, which has no payment/],
      ['another amount', 'update card_charges set cents = 1998', /of 1999 is Success, and the gateway has 1998 of it/],
      [
        'money of what was undone',
        `update payments set status = 'Cancelled'`,
        /is Cancelled, and the gateway has 1999/,
      ],
      [
        'cash that was charged',
        `update payments set payment_method = 'Cash on Delivery'`,
        /the gateway has 1999 of it/,
      ],
    ])('the audit finds %s', async (_what, change, problem) => {
      await taken('t1')
      const tables = await openTables(place.target)
      await tables.rows(change)
      await tables.close()
      const { ok, problems } = await books()
      expect([ok, problems]).toEqual([false, [expect.stringMatching(problem)]])
    })
  })
}
