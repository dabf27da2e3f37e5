/** What the Payment Service does with the sandbox gateway, on either database, seen from outside. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { running, type NewPlace, type Place, type Running } from '../shared/testing/running.ts'
import { authorizePayment, releaseFunds, releasePayment, revertPayment } from './messages.ts'
import { openPaymentService } from './service.ts'

type Asked = Parameters<Running['ask']>[2]

const noon = Date.UTC(2026, 0, 1, 12)

export function paymentServiceContract(name: string, newPlace: NewPlace): void {
  describe(`the Payment Service on ${name}`, () => {
    let place: Place
    let payment: Running

    const authorize = (order_id: string, card: string | null = 'pm_sandbox_ok', asked: Asked = {}, amount = 1999) =>
      payment.ask(
        authorizePayment,
        {
          order_id,
          customer: { clerkUserId: 'cust_123', userStripeCard: { payment_method_id: card } },
          order: { amount, description: `Order ${order_id}` },
        },
        asked,
      )
    const paymentId = async (order_id: string, card?: string): Promise<string> => {
      const answer = await authorize(order_id, card)
      if (answer.kind !== 'done') throw new Error(`not authorised: ${JSON.stringify(answer)}`)
      return (answer.data as { payment_id: string }).payment_id
    }
    const release = (payment_id: string, runner_id = 'runner_1') =>
      payment.ask(releasePayment, { payment_id, runner_id, runner_connect_account_id: `acct_${runner_id}` })
    const revert = (payload: { payment_id?: string; order_id?: string; reason?: string }, asked: Asked = {}) =>
      payment.ask(revertPayment, payload, asked)
    const shown = async (order_id: string) => {
      const { status, body } = await payment.get(`/payment/${order_id}/status`)
      return status === 200 ? (body as { payment: { status: string } }).payment : status
    }
    const audit = async () =>
      (await payment.get('/ledger/audit')).body as { problems: string[]; totals: { cents: object } }
    const totals = async () => {
      const { problems, totals } = await audit()
      expect(problems).toEqual([])
      return totals.cents
    }

    beforeEach(async () => {
      place = await newPlace()
      payment = await running(place, 'payment', openPaymentService, () => noon)
    })
    afterEach(async () => {
      await payment.close()
      await place.remove?.()
    })

    test('an authorised payment is held, shown and in the books', async () => {
      const answer = await authorize('o1', 'pm_sandbox_ok', { sagaId: 's1' })
      expect(answer.message).toMatchObject({
        type: 'payment.authorized',
        correlationId: 's1',
        payload: { order_id: 'o1', status: 'AUTHORIZED', payment_intent_id: expect.any(String) },
      })
      const { payment_id, payment_intent_id } = answer.message.payload as Record<string, string>
      const body = {
        success: true,
        payment: {
          paymentId: payment_id,
          orderId: 'o1',
          customerId: 'cust_123',
          runnerId: null,
          amount: 19.99,
          status: 'AUTHORIZED',
          description: 'Order o1',
          paymentIntentId: payment_intent_id,
          transferId: null,
          createdAt: '2026-01-01T12:00:00.000',
          updatedAt: '2026-01-01T12:00:00.000',
        },
      }
      expect(await payment.get('/payment/o1/status')).toEqual({ status: 200, body })
      expect(await payment.get(`/payment/${payment_id}/details`)).toEqual({ status: 200, body })
      expect(await totals()).toEqual({ customer: -1999, held: 1999, escrow: 0, runner: 0 })
    })

    test('the older form of the command is in decimals', async () => {
      const older = { order_id: 'o1', customer_id: 'cust_123', amount: 19.99, payment_info: { last_four: '4242' } }
      expect(await payment.ask(authorizePayment, older)).toMatchObject({ kind: 'done' })
      expect(await totals()).toMatchObject({ held: 1999 })
    })

    test('the same command again, and another one for the same order, get the same payment and hold nothing more', async () => {
      const first = await authorize('o1', 'pm_sandbox_ok', { id: 'c1' })
      expect(await authorize('o1', 'pm_sandbox_ok', { id: 'c1' })).toMatchObject({
        message: { payload: first.message.payload },
      })
      expect(await authorize('o1', 'pm_sandbox_ok', { id: 'c2' })).toMatchObject({
        message: { payload: first.message.payload },
      })
      expect(await totals()).toMatchObject({ held: 1999 })
    })

    test('another amount for an order that has a payment is refused', async () => {
      await authorize('o1')
      expect(await authorize('o1', 'pm_sandbox_ok', {}, 2000)).toMatchObject({
        kind: 'rejected',
        message: { type: 'payment.failed', payload: { error: 'INVALID_PAYLOAD' } },
      })
      expect(await totals()).toMatchObject({ held: 1999 })
    })

    test.each([49, 12.5, 100_000_000])('an amount of %d cents is refused', async (amount) => {
      expect(await authorize('o1', 'pm_sandbox_ok', {}, amount)).toMatchObject({
        message: { payload: { error: 'INVALID_AMOUNT', order_id: 'o1' } },
      })
      expect(await shown('o1')).toBe(404)
    })

    test('a declined card is a refusal with a code, also when it is asked again, and nothing is held', async () => {
      for (const id of ['c1', 'c1', 'c2']) {
        expect(await authorize('o1', 'pm_sandbox_declined', { id })).toMatchObject({
          kind: 'rejected',
          reason: 'STRIPE_CARD_ERROR: Your card was declined.',
          message: { payload: { error: 'STRIPE_CARD_ERROR', stripe_code: 'card_declined', order_id: 'o1' } },
        })
      }
      expect(await shown('o1')).toMatchObject({ status: 'FAILED' })
      expect(await revert({ order_id: 'o1' }, { undoes: 'c1' })).toMatchObject({ kind: 'done' })
      expect(await totals()).toMatchObject({ held: 0 })
    })

    test('a card whose answer was lost is authorised once by the redelivery', async () => {
      expect(await authorize('o1', 'pm_sandbox_lost_answer')).toMatchObject({ kind: 'done' })
      expect(await totals()).toMatchObject({ held: 1999 })
    })

    test('a revert lets go of the hold, says REVERTED, and may be asked again', async () => {
      const payment_id = await paymentId('o1')
      for (let i = 0; i < 2; i++) {
        expect(await revert({ payment_id, reason: 'abandoned' })).toMatchObject({
          kind: 'done',
          message: { type: 'payment.released', payload: { payment_id, status: 'REVERTED' } },
        })
      }
      expect(await shown('o1')).toMatchObject({ status: 'REVERTED' })
      expect(await totals()).toEqual({ customer: 0, held: 0, escrow: 0, runner: 0 })
    })

    test('a reverted order is not authorised again', async () => {
      await revert({ payment_id: await paymentId('o1') })
      expect(await authorize('o1')).toMatchObject({ message: { payload: { error: 'invalid_state' } } })
      expect(await totals()).toMatchObject({ held: 0 })
    })

    test('an undo before its command keeps the command from the gateway', async () => {
      expect(await revert({ order_id: 'o1' }, { undoes: 'c1' })).toMatchObject({ kind: 'done' })
      expect(await authorize('o1', 'pm_sandbox_ok', { id: 'c1' })).toMatchObject({ kind: 'rejected' })
      // Also a foreign producer's second try, which the tombstone of the command does not know.
      expect(await authorize('o1', 'pm_sandbox_ok', { id: 'c2' })).toMatchObject({ kind: 'rejected' })
      expect(await shown('o1')).toBe(404)
      expect(await totals()).toMatchObject({ held: 0 })
    })

    test('an undo that names nothing but its command undoes that command', async () => {
      await authorize('o1', 'pm_sandbox_ok', { id: 'c1' })
      expect(await revert({}, { undoes: 'c1' })).toMatchObject({ kind: 'done', data: { order_id: 'o1' } })
      expect(await totals()).toMatchObject({ held: 0 })
    })

    test('a revert of what nobody knows is refused', async () => {
      for (const payload of [{ payment_id: 'nothing' }, { order_id: 'nothing' }, {}]) {
        expect(await revert(payload)).toMatchObject({
          message: { type: 'payment.failed', payload: { error: 'not_found' } },
        })
      }
    })

    describe('of an order', () => {
      const info = { runner_id: 'runner_1', stripeConnectAccountId: 'acct_1' }
      const releaseOf = (
        order_id: string,
        runnerPaymentInfo: Readonly<Record<string, string>> = info,
        asked: Asked = {},
      ) => payment.ask(releaseFunds, { order_id, runnerPaymentInfo }, asked)

      test('the funds are released to the runner, once, however often it is asked for', async () => {
        await authorize('o1')
        const { message } = await releaseOf('o1', info, { id: 'c1' })
        expect(message).toMatchObject({
          type: 'funds_released',
          causationId: 'c1',
          source: 'payment-service',
          payload: { order_id: 'o1', status: 'SUCCESS', amount: 19.99, transfer_id: expect.any(String) as string },
        })
        for (const asked of [{ id: 'c1' }, {}]) expect((await releaseOf('o1', info, asked)).kind).toBe('done')
        expect(await totals()).toEqual({ customer: -1999, held: 0, escrow: 0, runner: 1999 })
        expect(await shown('o1')).toMatchObject({ status: 'SUCCEEDED', runnerId: 'runner_1' })
      })

      test('whatever name a foreign User Service has for the account, the runner is paid', async () => {
        await authorize('o1')
        await authorize('o2')
        const named = { clerkUserId: 'runner_1', stripe_connect_account_id: 'acct_1' }
        expect((await releaseOf('o1', named)).kind).toBe('done')
        expect((await releaseOf('o2', { runnerId: 'r', runner_connect_account_id: 'a' })).kind).toBe('done')
      })

      test.each([
        ['no payment', 'o2', info, 'not_found: there is no payment of order o2'],
        ['no runner', 'o1', { stripeConnectAccountId: 'acct_1' }, 'names no runner_id'],
        ['no account', 'o1', { runner_id: 'runner_1' }, 'runner runner_1 has no account to be paid to'],
      ])('with %s it is refused, and no money moves', async (_what, order_id, how, why) => {
        await authorize('o1')
        expect((await releaseOf(order_id, how)).message).toMatchObject({
          type: 'payment.release_failed',
          payload: { order_id, error: expect.stringContaining(why) as string },
        })
        expect(await totals()).toMatchObject({ held: 1999, runner: 0 })
      })

      test('a second runner is not paid for it', async () => {
        await authorize('o1')
        await releaseOf('o1')
        expect(await releaseOf('o1', { ...info, runner_id: 'runner_2' })).toMatchObject({
          kind: 'rejected',
          reason: expect.stringContaining('another runner') as string,
        })
        expect(await totals()).toMatchObject({ runner: 1999 })
      })

      test('a transfer that is refused is a refusal, and may be asked for again', async () => {
        await authorize('o1', 'pm_sandbox_release_fails')
        for (let time = 0; time < 2; time++)
          expect((await releaseOf('o1')).message).toMatchObject({ type: 'payment.release_failed' })
        expect(await totals()).toMatchObject({ held: 0, escrow: 1999, runner: 0 })
      })
    })

    test('a release gives the whole amount to the runner, once', async () => {
      const payment_id = await paymentId('o1')
      const first = await release(payment_id)
      expect(first.message).toMatchObject({
        type: 'payment.released',
        payload: {
          payment_id,
          runner_id: 'runner_1',
          amount: 19.99,
          status: 'SUCCEEDED',
          transfer_id: expect.any(String),
        },
      })
      expect(await release(payment_id)).toMatchObject({ message: { payload: first.message.payload } })
      expect(await release(payment_id, 'runner_2')).toMatchObject({ message: { payload: { error: 'invalid_state' } } })
      expect(await totals()).toEqual({ customer: -1999, held: 0, escrow: 0, runner: 1999 })
      expect(await payment.get('/history/cust_123')).toEqual({
        status: 200,
        body: { userId: 'cust_123', totalSpent: 19.99, totalEarned: 0, spentCount: 1, earnedCount: 0 },
      })
      expect((await payment.get('/history/runner_1')).body).toMatchObject({ totalEarned: 19.99, earnedCount: 1 })
    })

    test('a refused transfer is no success: the money waits in escrow, and can be given back', async () => {
      const payment_id = await paymentId('o1', 'pm_sandbox_release_fails')
      for (let i = 0; i < 2; i++) {
        expect(await release(payment_id)).toMatchObject({
          kind: 'rejected',
          message: { payload: { error: 'stripe_error' } },
        })
      }
      expect(await shown('o1')).toMatchObject({ status: 'AUTHORIZED' })
      expect(await totals()).toEqual({ customer: -1999, held: 0, escrow: 1999, runner: 0 })
      expect(await revert({ payment_id })).toMatchObject({ kind: 'done' })
      expect(await totals()).toEqual({ customer: 0, held: 0, escrow: 0, runner: 0 })
    })

    test('a revert after the release takes the money back from the runner', async () => {
      const payment_id = await paymentId('o1')
      await release(payment_id)
      expect(await revert({ payment_id })).toMatchObject({ kind: 'done' })
      expect(await totals()).toEqual({ customer: 0, held: 0, escrow: 0, runner: 0 })
      expect(await release(payment_id)).toMatchObject({ message: { payload: { error: 'invalid_status' } } })
      expect((await payment.get('/history/runner_1')).body).toMatchObject({ totalEarned: 0 })
    })

    test('release and revert over HTTP are taken, and done by message', async () => {
      const payment_id = await paymentId('o1')
      const body = { runner_id: 'runner_1', runner_connect_account_id: 'acct_1' }
      expect(await payment.send('POST', `/payment/${payment_id}/release`, body)).toEqual({
        status: 202,
        body: { success: true, message: expect.any(String), correlation_id: expect.any(String) },
      })
      await expect.poll(() => shown('o1')).toMatchObject({ status: 'SUCCEEDED' })
      expect(await payment.send('POST', `/payment/${payment_id}/revert`)).toMatchObject({ status: 202 })
      await expect.poll(() => shown('o1')).toMatchObject({ status: 'REVERTED' })
      expect(await totals()).toMatchObject({ customer: 0 })
    })

    test.each([
      ['GET', '/payment/nothing/status', undefined, 404, 'NOT_FOUND'],
      ['GET', '/payment/nothing/details', undefined, 404, 'NOT_FOUND'],
      ['POST', '/payment/p1/release', { runner_id: 'runner_1' }, 400, 'BAD_REQUEST'],
      ['POST', '/payment/p1/release', undefined, 400, 'BAD_REQUEST'],
    ] as const)('%s %s %j is answered with %i %s', async (method, path, body, status, error) => {
      const answer = method === 'GET' ? await payment.get(path) : await payment.send(method, path, body)
      expect(answer).toMatchObject({
        status,
        body: { success: false, error, message: expect.stringMatching(/\w+ \w+/) },
      })
    })

    test('the known page may read a history and a payment from a browser, others may not', async () => {
      const allowed = async (path: string, origin: string) => {
        const response = await fetch(`${payment.service.url}${path}`, { headers: { origin } })
        return [response.status, response.headers.get('access-control-allow-origin')]
      }
      const page = 'http://localhost:5173'
      expect(await allowed('/history/cust_123', page)).toEqual([200, page])
      expect(await allowed('/payment/nothing/status', page)).toEqual([404, page])
      expect(await allowed('/history/cust_123', 'http://localhost:5174')).toEqual([403, null])
      // The page sends its token, so the browser asks before it reads.
      const preflight = await fetch(`${payment.service.url}/history/cust_123`, {
        method: 'OPTIONS',
        headers: {
          origin: page,
          'access-control-request-method': 'GET',
          'access-control-request-headers': 'authorization',
        },
      })
      expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, page])
      expect(preflight.headers.get('access-control-allow-headers')).toContain('Authorization')
    })

    test('it is healthy with its parts', async () => {
      await expect.poll(() => payment.get('/health')).toEqual({ status: 200, body: { status: 'healthy' } })
    })

    describe('over HTTP, under a key and waited for', () => {
      const asked = (what: 'release' | 'revert', payment_id: string, key: string, prefer = 'wait=20', body?: object) =>
        payment.send(
          'POST',
          `/payment/${payment_id}/${what}`,
          body ?? (what === 'release' ? { runner_id: 'r1', runner_connect_account_id: 'acct_r1' } : {}),
          { 'idempotency-key': key, prefer },
        )

      test('a release tells that the money moved, once, and a repeat the same', async () => {
        const id = await paymentId('o1')
        const first = await asked('release', id, 'k1')
        expect(first).toMatchObject({
          status: 200,
          body: { success: true, payment: { status: 'SUCCEEDED', runnerId: 'r1' } },
        })
        expect(await asked('release', id, 'k1')).toEqual(first)
        expect(await totals()).toEqual({ customer: -1999, held: 0, escrow: 0, runner: 1999 })
      })

      test('a refused release says why, and the payment can be given back', async () => {
        const id = await paymentId('o1', 'pm_sandbox_release_fails')
        const refused = await asked('release', id, 'k1')
        expect(refused).toMatchObject({
          status: 400,
          body: { success: false, error: 'BAD_REQUEST', message: expect.any(String) },
        })
        expect(await asked('release', id, 'k1')).toEqual(refused)
        expect(await asked('revert', id, 'k2')).toMatchObject({
          status: 200,
          body: { payment: { status: 'REVERTED' } },
        })
        expect(await asked('revert', id, 'k2')).toMatchObject({ status: 200 })
        expect(await totals()).toEqual({ customer: 0, held: 0, escrow: 0, runner: 0 })
      })

      test('what takes longer than is waited for is 202, goes on, and is told when it is asked for again', async () => {
        const id = await paymentId('o1')
        const first = await asked('release', id, 'k1', 'wait=0')
        expect([200, 202]).toContain(first.status)
        await expect.poll(async () => (await asked('release', id, 'k1')).status).toBe(200)
        expect(await totals()).toMatchObject({ runner: 1999 })
      })

      test('a payment that is not there is 404, and a key of another payment 422', async () => {
        const [one, other] = [await paymentId('o1'), await paymentId('o2')]
        expect(await asked('release', 'nothing', 'k0')).toMatchObject({ status: 404, body: { error: 'NOT_FOUND' } })
        expect((await asked('release', one, 'k1')).status).toBe(200)
        expect((await asked('release', other, 'k1')).status).toBe(422)
        expect(await totals()).toMatchObject({ held: 1999, runner: 1999 })
      })

      test('a revert takes nothing back that the release which it undoes has not done', async () => {
        const id = await paymentId('o1')
        expect((await asked('release', id, 'k1')).status).toBe(200)
        const other = { runner_id: 'r2', runner_connect_account_id: 'acct_r2' }
        expect((await asked('release', id, 'k2', 'wait=20', other)).status).toBe(400)
        const undo = await payment.send(
          'POST',
          `/payment/${id}/revert`,
          {},
          {
            'idempotency-key': 'u2',
            'ordersaga-undoes': 'k2',
            prefer: 'wait=20',
          },
        )
        expect(undo).toMatchObject({ status: 400, body: { message: expect.stringContaining('another request') } })
        // The same key for another route is another change.
        expect((await asked('revert', id, 'k1')).body).toMatchObject({ payment: { status: 'REVERTED' } })
      })

      test('not waited for, it is asked for once under its key', async () => {
        const id = await paymentId('o1')
        const ask = () =>
          payment.send(
            'POST',
            `/payment/${id}/release`,
            { runner_id: 'r1', runner_connect_account_id: 'acct_r1' },
            { 'idempotency-key': 'k1' },
          )
        const answers = [await ask(), await ask()]
        expect(answers.map(({ status }) => status)).toEqual([202, 202])
        await expect.poll(() => shown('o1')).toMatchObject({ status: 'SUCCEEDED' })
        expect(await totals()).toMatchObject({ runner: 1999 })
      })
    })
  })
}
