/** What the User Service does, on either database, seen from outside. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { running, type NewPlace, type Place, type Running } from '../shared/testing/running.ts'
import type { OrderReader } from '../order/reader.ts'
import { getPaymentInfo, getRunnerPaymentInfo } from './messages.ts'
import { openUserService } from './service.ts'

export function userServiceContract(name: string, newPlace: NewPlace): void {
  describe(`the User Service on ${name}`, () => {
    let place: Place
    let user: Running
    const orders: OrderReader = (orderId) => {
      if (orderId === 'order_unasked') throw new Error('nobody should ask for this order')
      return Promise.resolve(orderId === 'order_1' ? { orderId, runnerId: 'runner_123', status: 'DELIVERED' } : null)
    }

    const start = async (): Promise<void> => {
      user = await running(place, 'user', (options) => openUserService({ ...options, orders }))
    }
    const temporary = async (more: object = {}): Promise<string> => {
      const { status, body } = await user.send('POST', '/api/user/temp', { email: 'a@example.com', ...more })
      expect(status).toBe(201)
      return (body as { user: { clerk_user_id: string } }).user.clerk_user_id
    }
    const ask = (user_id: string) => user.ask(getPaymentInfo, { user_id })

    const askOfRunner = (order_id: string, runner_id?: string) =>
      user.ask(getRunnerPaymentInfo, { order_id, runner_id: runner_id ?? null })

    beforeAll(async () => {
      place = await newPlace()
      await start()
    })
    afterAll(async () => {
      await user.close()
      await place.remove?.()
    })

    test('how a runner is paid is told of him who is named, without a look at the order', async () => {
      const { message } = await askOfRunner('order_unasked', 'runner_456')
      expect(message).toMatchObject({
        type: 'runner.payment_info_retrieved',
        source: 'user-service',
        payload: {
          order_id: 'order_unasked',
          payment_info: { runner_id: 'runner_456', stripeConnectAccountId: 'acct_sandbox_runner_456' },
        },
      })
    })

    test('where nobody is named it is told of the runner whom the order has', async () => {
      expect((await askOfRunner('order_1')).message.payload).toMatchObject({
        payment_info: { runner_id: 'runner_123' },
      })
    })

    test.each([
      ['an order that nobody knows', 'order_none', undefined, 'there is no order order_none'],
      ['a runner whom nobody knows', 'order_unasked', 'runner_none', 'there is no user runner_none'],
      ['somebody who cannot be paid', 'order_unasked', 'cust_123', 'runner cust_123 has no Connect account'],
    ])('%s is refused with the reason', async (_what, orderId, runner, why) => {
      expect((await askOfRunner(orderId, runner)).message).toMatchObject({
        type: 'complete_order_failed',
        payload: { order_id: orderId, error: expect.stringContaining(why) as string },
      })
    })

    test.each([
      ['cust_123', 'pm_sandbox_ok'],
      ['cust_declined', 'pm_sandbox_declined'],
      ['cust_slow', 'pm_sandbox_slow'],
      ['cust_lost_answer', 'pm_sandbox_lost_answer'],
      ['cust_release_fails', 'pm_sandbox_release_fails'],
    ])('%s pays with %s', async (id, paymentMethodId) => {
      const answer = await ask(id)
      expect(answer.message).toMatchObject({
        type: 'user.payment_info_retrieved',
        source: 'user-service',
        payload: { payment_info: { stripeCustomerId: `cus_sandbox_${id}`, paymentMethodId } },
      })
      expect(answer.kind).toBe('done')
    })

    test('who signs up at the login can order once a card is added; signing up again changes what was told', async () => {
      const sync = (more: object) =>
        user.send('POST', '/api/user/sync-from-frontend', { clerk_user_id: 'user_1', email: 'a@example.com', ...more })
      const first = await sync({ first_name: 'Ada', username: 'ada', phone_number: '+65 1' })
      expect(first).toMatchObject({
        status: 200,
        body: { success: true, user: { clerkUserId: 'user_1', firstName: 'Ada', username: 'ada', customerRating: 5 } },
      })
      await user.send('POST', '/api/user/user_1/payment-methods', {
        payment_method_id: 'pm_7',
        stripe_customer_id: 'cus_7',
      })
      const again = await sync({ first_name: 'Augusta', last_name: 'King' })
      expect(again.body).toMatchObject({
        user: {
          firstName: 'Augusta',
          lastName: 'King',
          username: 'ada',
          userStripeCard: { payment_method_id: 'pm_7' },
        },
      })
      expect(await ask('user_1')).toMatchObject({
        kind: 'done',
        data: { payment_info: { stripeCustomerId: 'cus_7', paymentMethodId: 'pm_7' } },
      })
    })

    test('a payment method is added and removed, by name or without, and what is not there is refused', async () => {
      const id = await temporary()
      const path = `/api/user/${id}/payment-methods`
      expect(await user.send('POST', path, { payment_method_id: 'pm_1' })).toMatchObject({
        status: 200,
        body: { success: true, payment_info: { payment_method_id: 'pm_1', last_four: null } },
      })
      expect(await user.send('DELETE', path, { payment_method_id: 'pm_other' })).toMatchObject({ status: 400 })
      expect(await user.send('DELETE', path, { payment_method_id: 'pm_1' })).toMatchObject({ status: 200 })
      expect(await user.send('DELETE', path)).toMatchObject({ status: 400, body: { success: false } })
      await user.send('POST', path, { payment_method_id: 'pm_2' })
      expect(await user.send('DELETE', path)).toMatchObject({ status: 200 })
      expect((await user.get(`/api/user/${id}/payment`)).status).toBe(400)
      const nobody = await user.send('POST', '/api/user/nobody/payment-methods', { payment_method_id: 'pm_1' })
      expect(nobody).toEqual({ status: 404, body: { success: false, message: 'There is no user nobody.' } })
    })

    test.each([
      ['customer', 'customerRating'],
      ['runner', 'runnerRating'],
    ])('the rating as a %s is set from 0 to 5', async (role, field) => {
      const id = await temporary()
      const rate = (rating: unknown, of = id) => user.send('POST', `/api/user/${of}/update-${role}-rating`, { rating })
      expect(await rate(4.5)).toMatchObject({ status: 200, body: { success: true } })
      for (const wrong of [-1, 5.1, '5', null]) expect(await rate(wrong)).toMatchObject({ status: 400 })
      expect(await rate(1, 'nobody')).toMatchObject({ status: 404, body: { success: false } })
      expect((await user.get(`/api/user/${id}`)).body).toMatchObject({ user: { [field]: 4.5 } })
    })

    test('the known page may call from a browser, others may not', async () => {
      const allowed = async (origin: string) => {
        const headers = { origin, 'access-control-request-method': 'POST' }
        const path = `${user.service.url}/api/user/sync-from-frontend`
        return (await fetch(path, { method: 'OPTIONS', headers })).headers.get('access-control-allow-origin')
      }
      expect(await allowed('http://localhost:5173')).toBe('http://localhost:5173')
      expect(await allowed('http://localhost:5174')).toBeNull()
    })

    test('who is unknown, no customer of the provider, or has no card is refused, each in its own words', async () => {
      const noCustomer = await temporary()
      expect(await ask('nobody')).toMatchObject({ kind: 'rejected', reason: 'there is no user nobody' })
      expect(await ask('cust_no_card')).toMatchObject({
        kind: 'rejected',
        reason: 'user cust_no_card has no default payment method',
      })
      const answer = await ask(noCustomer)
      expect(answer).toMatchObject({
        kind: 'rejected',
        reason: `user ${noCustomer} has no Stripe customer; set one with its payment method`,
      })
      expect(answer.message.type).toBe('user.payment_info_failed')
      await user.send('PUT', `/api/user/${noCustomer}/payment`, { paymentMethodId: 'pm_1', stripeCustomerId: 'cus_1' })
      expect(await user.ask(getPaymentInfo, { user_id: noCustomer })).toMatchObject({
        kind: 'done',
        data: { payment_info: { stripeCustomerId: 'cus_1', paymentMethodId: 'pm_1' } },
      })
    })

    test('a command without a user is answered too', async () => {
      expect(await user.ask(getPaymentInfo, {} as { user_id: string })).toMatchObject({
        kind: 'rejected',
        reason: expect.stringContaining('user_id'),
      })
    })

    test('a user reads as the contract has it, with the card or without', async () => {
      const { status, body } = await user.get('/api/user/cust_123')
      expect(status).toBe(200)
      expect(body).toMatchObject({
        success: true,
        user: {
          clerkUserId: 'cust_123',
          customerRating: 5,
          runnerRating: 5,
          stripeCustomerId: 'cus_sandbox_cust_123',
          stripeConnectAccountId: null,
          userStripeCard: { payment_method_id: 'pm_sandbox_ok' },
        },
      })
      const without = await user.get('/api/user/cust_123?includePaymentDetails=false')
      expect(without.body).not.toHaveProperty('user.userStripeCard')
      expect(await user.get('/api/user/nobody')).toEqual({
        status: 404,
        body: { success: false, message: 'There is no user nobody.' },
      })
    })

    test('a card is set, shown and removed, and nothing about it is made up', async () => {
      const id = await temporary({ stripe_customer_id: 'cus_1' })
      const path = `/api/user/${id}/payment`
      expect(await user.get(path)).toMatchObject({ status: 400, body: { success: false } })
      await user.send('PUT', path, { paymentMethodId: 'pm_sandbox_ok' })
      expect(await user.get(path)).toEqual({
        status: 200,
        body: {
          success: true,
          payment_info: {
            payment_method_id: 'pm_sandbox_ok',
            last_four: null,
            card_type: null,
            expiry_month: null,
            expiry_year: null,
          },
        },
      })
      expect(await ask(id)).toMatchObject({ kind: 'done' })
      expect(await user.send('DELETE', path)).toMatchObject({ status: 200, body: { success: true } })
      expect(await user.get(path)).toMatchObject({ status: 400 })
      expect(await ask(id)).toMatchObject({ kind: 'rejected' })
      for (const method of ['PUT', 'DELETE'] as const) {
        const answer = await user.send(method, '/api/user/nobody/payment', { paymentMethodId: 'pm' })
        expect(answer.status).toBe(404)
      }
      expect(await user.send('PUT', path, {})).toMatchObject({
        status: 400,
        body: { success: false, message: expect.stringContaining('paymentMethodId') },
      })
    })

    test('a temporary user keeps the card it came with, but never a number or a code', async () => {
      const card = { payment_method_id: 'pm_1', last4: '4242', brand: 'visa', exp_month: 12, exp_year: 2030 }
      const id = await temporary({
        first_name: 'Ada',
        user_stripe_card: { ...card, number: '4242424242424242', cvc: '123' },
      })
      expect(id).toMatch(/^temp_[0-9a-f]{32}$/)
      const { body } = await user.get(`/api/user/${id}`)
      expect(body).toMatchObject({ user: { firstName: 'Ada', email: 'a@example.com', userStripeCard: card } })
      expect(JSON.stringify(body)).not.toContain('4242424242424242')
      expect(await user.send('POST', '/api/user/temp', {})).toMatchObject({
        status: 400,
        body: { message: expect.stringContaining('email') },
      })
    })

    test("a runner's account is shown and set", async () => {
      const path = (id: string): string => `/api/user/${id}/connect-account`
      for (const runner of ['runner_123', 'runner_456']) {
        expect((await user.get(path(runner))).body).toEqual({
          success: true,
          stripe_connect_account_id: `acct_sandbox_${runner}`,
        })
      }
      const id = await temporary()
      expect((await user.get(path(id))).body).toEqual({ success: true, stripe_connect_account_id: null })
      expect(await user.send('PUT', path(id), { stripe_connect_account_id: 'acct_1' })).toMatchObject({
        status: 200,
        body: { success: true, user: { clerkUserId: id, stripeConnectAccountId: 'acct_1' } },
      })
      expect((await user.get(path(id))).body).toMatchObject({ stripe_connect_account_id: 'acct_1' })
      expect(await user.send('PUT', path(id), {})).toMatchObject({ status: 400 })
      expect(await user.send('PUT', path('nobody'), { stripe_connect_account_id: 'x' })).toMatchObject({ status: 404 })
      expect(await user.get(path('nobody'))).toMatchObject({ status: 404 })
    })

    test('the list names everybody', async () => {
      const id = await temporary()
      const { body } = await user.get('/api/user/list-users')
      expect(body).toMatchObject({ success: true, userIds: expect.arrayContaining([id, 'cust_123', 'runner_456']) })
    })

    test('a restart keeps what was changed and gives no card back', async () => {
      await user.send('DELETE', '/api/user/cust_slow/payment')
      await user.close()
      await start()
      expect(await ask('cust_slow')).toMatchObject({ kind: 'rejected' })
      expect(await ask('cust_123')).toMatchObject({ kind: 'done' })
    })

    test('it is healthy under both addresses', async () => {
      for (const address of ['/health', '/api/health'])
        await expect.poll(() => user.get(address)).toEqual({ status: 200, body: { status: 'healthy' } })
    })
  })
}
