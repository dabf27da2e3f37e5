/** Complete Order on a real Temporal server, with our services: a runner's view, from the trigger to the runner's money. */
import { describe, expect, test } from 'vitest'
import { suiteOn, temporalAddress } from '../../../tests/kit/parts.ts'
import { call } from '../../shared/testing/call.ts'
import type { Passed } from '../workflows/wire.testkit.ts'
import {
  completeOrderId,
  completeOrderTrigger,
  completeOrderWorker,
  otherRunner,
  runner,
  trigger,
  until,
  workflowSuite,
} from '../workflows/workflows.testkit.ts'
import { completeOrderNames } from './saga.ts'

suiteOn('Temporal', await temporalAddress(), 'Complete Order on a real Temporal server', (address) => {
  const at = workflowSuite(address, completeOrderNames, completeOrderWorker, completeOrderTrigger)
  const { ended, listed } = at

  const carried = (...who: readonly string[]): Promise<string> => at.place.shop.carried(...(who as [string?, string?]))
  const url = (): string => `${at.entry.url}/triggerCompleteOrderWorkflow`
  const setStatus = async (orderId: string, status: string): Promise<void> => {
    const { text, ...answer } = await call('POST', `${at.place.embedded.urls.order}/updateOrderStatus`, {
      json: { orderId, status },
    })
    expect([answer.status, text]).toEqual([200, text])
  }
  const standing = async (orderId: string): Promise<readonly string[]> => [
    await at.place.shop.orderStatus(orderId),
    (await at.place.shop.payment(orderId)).status,
  ]
  /** The releases of an order's payment that the service was asked for, by their keys. */
  const releases = async (orderId: string): Promise<ReadonlySet<string | null>> => {
    const { paymentId } = (await at.place.shop.payment(orderId)) as unknown as { readonly paymentId: string }
    return new Set(
      at.place.wires.payment.passed
        .filter(({ path }) => path === `/payment/${paymentId}/release`)
        .map(({ key }) => key),
    )
  }

  test('a delivered order is completed, its runner paid, and the workflow says so as the original does', async () => {
    const orderId = await carried()
    const { status, body } = await trigger(at.entry, orderId)
    expect([status, body]).toEqual([200, { message: 'Workflow triggered', workflow_id: completeOrderId(orderId) }])
    expect(await ended(orderId)).toBe('Order Completed')
    expect(await standing(orderId)).toEqual(['COMPLETED', 'SUCCEEDED'])
    expect(await listed(orderId)).toBe('COMPLETED')
    const shown = await call('GET', `${url()}/${orderId}`)
    expect(shown.body).toEqual({
      workflow_id: completeOrderId(orderId),
      status: 'COMPLETED',
      parked: null,
      runner_id: runner,
      started_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as unknown,
    })
    expect(await at.place.shop.problems()).toEqual([])
  })

  test("the field of the original's frontend is read too", async () => {
    const orderId = await carried()
    const { status } = await call('POST', url(), { json: { order_id: orderId, clerk_user_id: runner } })
    expect(status).toBe(200)
    expect(await ended(orderId)).toBe('Order Completed')
  })

  test('a release that is refused gives the payment back, and the order is ON_THE_WAY again', async () => {
    const orderId = await carried('cust_release_fails')
    expect((await trigger(at.entry, orderId)).status).toBe(200)
    expect(await ended(orderId)).toEqual({
      type: 'COMPENSATED',
      failed: expect.stringMatching(
        /^complete-order-workflow COMPENSATED after step release: the Payment Service refuses \(400\): .*not activated/,
      ) as unknown,
    })
    expect(await standing(orderId)).toEqual(['ON_THE_WAY', 'REVERTED'])
    expect(await listed(orderId)).toBe('FAILED')
    expect(await at.place.shop.problems()).toEqual([])
  })

  test('a runner who has no account to be paid to: nothing is taken, and the order is ON_THE_WAY again', async () => {
    const made = await call('POST', `${at.place.embedded.urls.user}/api/user/temp`, {
      json: { email: 'bea@example.com' },
    })
    const poor = (made.body as { readonly user: { readonly clerk_user_id: string } }).user.clerk_user_id
    const orderId = await carried('cust_123', poor)
    expect((await trigger(at.entry, orderId, poor)).status).toBe(200)
    expect(await ended(orderId)).toMatchObject({
      failed:
        'complete-order-workflow COMPENSATED after step connect: the runner has no account that he could be paid to',
    })
    expect(await standing(orderId)).toEqual(['ON_THE_WAY', 'AUTHORIZED'])
  })

  test('an order that a person had delivered before stays DELIVERED where its release is refused', async () => {
    const orderId = await carried('cust_release_fails')
    await setStatus(orderId, 'DELIVERED')
    expect((await trigger(at.entry, orderId)).status).toBe(200)
    expect(await ended(orderId)).toMatchObject({ type: 'COMPENSATED' })
    expect(await standing(orderId)).toEqual(['DELIVERED', 'REVERTED'])
  })

  describe('what is refused at once', () => {
    test("another runner's order, and one that there is not", async () => {
      const orderId = await carried()
      const other = await trigger(at.entry, orderId, otherRunner)
      expect([other.status, other.body]).toEqual([403, { error: `order ${orderId} is not carried by this runner` }])
      const none = await trigger(at.entry, 'order_none')
      expect([none.status, none.body]).toEqual([404, { error: 'There is no order order_none.' }])
      expect((await call('GET', `${url()}/${orderId}`)).status).toBe(404)
      expect(await standing(orderId)).toEqual(['ON_THE_WAY', 'AUTHORIZED'])
    })

    test.each([
      ['[]', 'object'],
      ['null', 'object'],
      ['7', 'object'],
      ['"order_1"', 'object'],
      ['{}', 'order_id'],
      ['{"order_id":7,"runner_id":"r"}', 'order_id'],
      ['{"order_id":"","runner_id":"r"}', 'order_id'],
      ['{"order_id":"o\\u0000","runner_id":"r"}', 'a character that cannot be stored'],
      ['{"order_id":"order_1"}', 'send runner_id, the id of the runner who delivered the order'],
      ['{"order_id":"order_1","runner_id":null}', 'send runner_id, the id of the runner who delivered the order'],
      ['{"order_id":"o","runner_id":"a","clerk_user_id":"b"}', 'runner_id and clerk_user_id name two runners'],
      ['{"order_id":', 'JSON'],
      ['', ''],
    ])('the body %s', async (body, why) => {
      const { status, text } = await call('POST', url(), { body, headers: { 'content-type': 'application/json' } })
      expect([status, text]).toEqual([400, expect.stringContaining(why)])
      expect(text).not.toContain('    at ')
    })

    test('both fields may say the same', async () => {
      const orderId = await carried()
      const json = { order_id: orderId, runner_id: runner, clerk_user_id: runner, more: { kept: true } }
      expect((await call('POST', url(), { json })).status).toBe(200)
      expect(await ended(orderId)).toBe('Order Completed')
    })
  })

  test('triggered again while it runs, and after its end, it is the same workflow, and pays once', async () => {
    const orderId = await carried()
    at.place.wires.payment.rule(({ path }) => (path.endsWith('/release') ? 'away' : 'through'))
    const [first, ...more] = await Promise.all([1, 2, 3].map(() => trigger(at.entry, orderId)))
    const again = await trigger(at.entry, orderId)
    expect([first, ...more, again].map((answer) => answer?.status)).toEqual([200, 200, 200, 200])
    expect(again.body).toEqual({
      message: 'Workflow triggered before: it is RUNNING',
      workflow_id: completeOrderId(orderId),
    })
    await until(async () => expect((await releases(orderId)).size).toBe(1))
    at.place.wires.payment.rule(() => 'through')
    expect(await ended(orderId)).toBe('Order Completed')
    expect((await trigger(at.entry, orderId)).body).toEqual({
      message: 'Workflow triggered before: it is COMPLETED',
      workflow_id: completeOrderId(orderId),
    })
    expect((await releases(orderId)).size).toBe(1)
    expect(await standing(orderId)).toEqual(['COMPLETED', 'SUCCEEDED'])
    expect(await at.place.shop.problems()).toEqual([])
  })

  test('a workflow that came to nothing may be followed by another, whose commands are new ones', async () => {
    const { order_id } = await at.place.shop.sagaIn('COMPLETED', await at.place.shop.start('cust_123'))
    const orderId = order_id ?? ''
    await call('POST', `${at.place.embedded.urls.order}/verifyAndAcceptOrder`, { json: { orderId, runner_id: runner } })
    await setStatus(orderId, 'PLACED')
    expect((await trigger(at.entry, orderId)).status).toBe(200)
    expect(await ended(orderId)).toEqual({
      type: 'FAILED',
      failed: `complete-order-workflow FAILED after step verify: order ${orderId} is PLACED: only one that is ON_THE_WAY or DELIVERED can be completed`,
    })
    await setStatus(orderId, 'ON_THE_WAY')
    const second = await trigger(at.entry, orderId)
    expect(second.body).toEqual({ message: 'Workflow triggered', workflow_id: completeOrderId(orderId) })
    expect(await ended(orderId)).toBe('Order Completed')
    expect(await standing(orderId)).toEqual(['COMPLETED', 'SUCCEEDED'])
  })

  test('one that was undone, whose cause is mended, pays under keys of its own', async () => {
    const made = await call('POST', `${at.place.embedded.urls.user}/api/user/temp`, {
      json: { email: 'cyd@example.com' },
    })
    const poor = (made.body as { readonly user: { readonly clerk_user_id: string } }).user.clerk_user_id
    const orderId = await carried('cust_123', poor)
    await trigger(at.entry, orderId, poor)
    expect(await ended(orderId)).toMatchObject({ type: 'COMPENSATED' })
    await call('PUT', `${at.place.embedded.urls.user}/api/user/${poor}/connect-account`, {
      json: { stripe_connect_account_id: 'acct_cyd' },
    })
    expect((await trigger(at.entry, orderId, poor)).status).toBe(200)
    expect(await ended(orderId)).toBe('Order Completed')
    const delivered = at.place.wires.order.passed.filter(
      ({ body, key }) => key !== null && body.includes(orderId) && body.includes('DELIVERED'),
    )
    expect(new Set(delivered.map(({ key }) => key)).size).toBe(2)
    expect(await standing(orderId)).toEqual(['COMPLETED', 'SUCCEEDED'])
  })

  test.each(['order', 'user', 'payment'] as const)(
    'the %s service is away for a while: the workflow waits, and goes on when it is back',
    async (service) => {
      const orderId = await carried()
      let tries = 0
      at.place.wires[service].rule(() => {
        tries += 1
        return 'away'
      })
      expect((await trigger(at.entry, orderId)).status).toBe(200)
      await until(() => expect(tries).toBeGreaterThan(3))
      expect(await listed(orderId)).toBe('RUNNING')
      at.place.wires[service].rule(() => 'through')
      expect(await ended(orderId)).toBe('Order Completed')
      expect(await standing(orderId)).toEqual(['COMPLETED', 'SUCCEEDED'])
    },
  )

  describe('cancelled in Temporal', () => {
    /** While the service does not answer what is named, which it then does. */
    async function cancelled(
      customer: string,
      service: 'order' | 'user' | 'payment',
      isAsked: (call: Passed, orderId: string) => boolean,
    ): Promise<string> {
      const orderId = await carried(customer)
      let tries = 0
      at.place.wires[service].rule((asked) => {
        if (!isAsked(asked, orderId)) return 'through'
        tries += 1
        return 'away'
      })
      expect((await trigger(at.entry, orderId)).status).toBe(200)
      await until(() => expect(tries).toBeGreaterThan(0))
      await at.cancel(orderId)
      at.place.wires[service].rule(() => 'through')
      return orderId
    }
    const changes =
      (status: string) =>
      ({ path, body }: Passed, orderId: string): boolean =>
        path === '/updateOrderStatus' && body.includes(orderId) && body.includes(status)

    test.each([
      ['its runner is looked up', 'order', ({ method }: Passed) => method === 'GET'],
      ['it is delivered', 'order', changes('DELIVERED')],
      ['the account is asked for', 'user', ({ path }: Passed) => path.endsWith('/connect-account')],
      ['the payment is asked for', 'payment', ({ path }: Passed) => path.endsWith('/status')],
    ] as const)('while %s: nothing is taken, and the order is ON_THE_WAY', async (_when, service, isAsked) => {
      const orderId = await cancelled('cust_123', service, isAsked)
      await until(async () => expect(await listed(orderId)).toBe('CANCELLED'))
      expect(await standing(orderId)).toEqual(['ON_THE_WAY', 'AUTHORIZED'])
      expect((await releases(orderId)).size).toBe(0)
      // It may be completed after all.
      expect((await trigger(at.entry, orderId)).body).toMatchObject({ message: 'Workflow triggered' })
      expect(await ended(orderId)).toBe('Order Completed')
    })

    test.each([
      ['the money is released', 'payment', ({ path }: Passed) => path.endsWith('/release')],
      ['the order is completed', 'order', changes('COMPLETED')],
    ] as const)('while %s: it comes too late, and the runner keeps his money', async (_when, service, isAsked) => {
      const orderId = await cancelled('cust_123', service, isAsked)
      expect(await ended(orderId)).toBe('Order Completed')
      expect([...(await standing(orderId)), (await releases(orderId)).size]).toEqual(['COMPLETED', 'SUCCEEDED', 1])
    })

    test.each([
      ['the money is given back', 'payment', ({ path }: Passed) => path.endsWith('/revert')],
      ['the order goes back', 'order', changes('ON_THE_WAY')],
    ] as const)('while %s: it is undone all the same', async (_when, service, isAsked) => {
      const orderId = await cancelled('cust_release_fails', service, isAsked)
      await until(async () => expect(['FAILED', 'CANCELLED']).toContain(await listed(orderId)))
      expect(await standing(orderId)).toEqual(['ON_THE_WAY', 'REVERTED'])
    })

    test('after its end it changes nothing, and the books are right after all of these', async () => {
      const orderId = await carried()
      await trigger(at.entry, orderId)
      expect(await ended(orderId)).toBe('Order Completed')
      await at.cancel(orderId).catch(() => undefined)
      expect(await standing(orderId)).toEqual(['COMPLETED', 'SUCCEEDED'])
      expect(await at.place.shop.problems()).toEqual([])
    })
  })

  test('a start is not refused for an Order Service that is away: the workflow looks itself', async () => {
    const orderId = await carried()
    const blind = await completeOrderTrigger(at.space.target, 'http://127.0.0.1:1')
    try {
      expect((await trigger(blind, orderId)).status).toBe(200)
    } finally {
      await blind.close()
    }
    expect(await ended(orderId)).toBe('Order Completed')
    const other = await carried()
    const again = await completeOrderTrigger(at.space.target, 'http://127.0.0.1:1')
    try {
      expect((await trigger(again, other, otherRunner)).status).toBe(200)
    } finally {
      await again.close()
    }
    expect(await ended(other)).toEqual({
      type: 'FAILED',
      failed: `complete-order-workflow FAILED after step verify: order ${other} is carried by another runner`,
    })
    expect(await standing(other)).toEqual(['ON_THE_WAY', 'AUTHORIZED'])
  })

  test('Temporal does not answer: 500 with what to do, and how the workflow stands cannot be said', async () => {
    const orderId = await carried()
    const cut = await completeOrderTrigger(
      { address: '127.0.0.1:1', namespace: 'default' },
      at.place.embedded.urls.order,
    )
    try {
      const [started, asked, live, ready] = await Promise.all([
        trigger(cut, orderId),
        call('GET', `${cut.url}/triggerCompleteOrderWorkflow/${orderId}`),
        call('GET', `${cut.url}/health/live`),
        call('GET', `${cut.url}/health/ready`),
      ])
      expect([started.status, started.headers.get('retry-after'), started.body]).toEqual([
        500,
        '2',
        {
          error:
            'The workflow could not be started, or Temporal did not say whether it was: Temporal does not answer now. Send the request again in a moment; it starts one workflow for an order, however often it is sent.',
        },
      ])
      expect([asked.status, asked.headers.get('retry-after'), asked.body]).toEqual([
        503,
        '2',
        { error: 'Temporal does not answer now: ask again in a moment' },
      ])
      expect([live.status, ready.status]).toEqual([200, 503])
    } finally {
      await cut.close()
    }
    expect((await trigger(at.entry, orderId)).status).toBe(200)
    expect(await ended(orderId)).toBe('Order Completed')
  })

  test('the trigger is healthy, and its worker ready', async () => {
    const healthy = await call('GET', `${at.entry.url}/health`)
    expect([healthy.status, healthy.body]).toEqual([200, { status: 'healthy' }])
    expect((await call('GET', `${at.worker.url}/health/ready`)).body).toEqual({
      status: 'ready',
      parts: { worker: true },
    })
  })
})
