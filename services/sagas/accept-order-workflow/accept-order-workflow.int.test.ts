/** Accept Order on a real Temporal server, with our services: of several runners one gets the order, and keeps it. */
import { expect, test } from 'vitest'
import { suiteOn, temporalAddress } from '../../../tests/kit/parts.ts'
import { call, type Answered } from '../../shared/testing/call.ts'
import {
  accept as asked,
  acceptOrderTrigger,
  acceptOrderWorker,
  orderOf,
  otherRunner,
  placed,
  runner,
  until,
  workflowSuite,
} from '../workflows/workflows.testkit.ts'
import { acceptOrderNames } from './saga.ts'

suiteOn('Temporal', await temporalAddress(), 'Accept Order on a real Temporal server', (address) => {
  const at = workflowSuite(address, acceptOrderNames, acceptOrderWorker, acceptOrderTrigger)
  const { ended, listed } = at
  const { idOf } = acceptOrderNames

  const accept = (orderId: string, who = runner, entry = at.entry): Promise<Answered> => asked(entry, orderId, who)
  const order = (orderId: string): Promise<unknown> => orderOf(at.place, orderId)
  const timer = async (orderId: string): Promise<unknown> => {
    const { body } = await call('GET', `${at.place.embedded.urls.timer}/timers/order/${orderId}`)
    const { runnerAccepted, runnerId } = (body as { readonly timer: Readonly<Record<string, unknown>> }).timer
    return [runnerAccepted, runnerId]
  }
  const won = (orderId: string): string => `Order ${orderId} successfully accepted and timer notified.`

  test('a runner accepts an order: it is his, and its timer stops', async () => {
    const orderId = await placed(at.place)
    const { status, body } = await accept(orderId)
    expect([status, body]).toEqual([200, { message: 'Workflow triggered', workflow_id: idOf(orderId) }])
    expect(await ended(orderId)).toBe(won(orderId))
    expect([await order(orderId), await timer(orderId)]).toEqual([
      ['ACCEPTED', runner],
      [true, runner],
    ])
  })

  test('of many runners at once one gets the order, and the others are told so', async () => {
    const orderId = await placed(at.place)
    const runners = Array.from({ length: 20 }, (_, index) => `runner_${index}`)
    const answers = await Promise.all(runners.map((each) => accept(orderId, each)))
    const winners = runners.filter((_, index) => answers[index]?.status === 200)
    expect(winners).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(19)
    for (const { status, body } of answers)
      if (status === 400)
        expect(body).toEqual({
          error: expect.stringMatching(/has a workflow for another runner|only one that is CREATED can be/) as unknown,
        })
    expect(await ended(orderId)).toBe(won(orderId))
    expect([await order(orderId), await timer(orderId)]).toEqual([
      ['ACCEPTED', winners[0]],
      [true, winners[0]],
    ])
  })

  test('a runner who is refused leaves the first one as he is, wherever he is refused', async () => {
    const orderId = await placed(at.place)
    await accept(orderId)
    expect(await ended(orderId)).toBe(won(orderId))
    const late = await accept(orderId, otherRunner)
    expect([late.status, late.body]).toEqual([
      400,
      { error: `order ${orderId} is ACCEPTED: only one that is CREATED can be accepted` },
    ])
    // One that looked before the first was there: its workflow is refused, and undoes nothing.
    const blind = await acceptOrderTrigger(at.space.target, 'http://127.0.0.1:1')
    try {
      expect((await accept(orderId, otherRunner, blind)).status).toBe(200)
    } finally {
      await blind.close()
    }
    expect(await ended(orderId)).toEqual({
      type: 'FAILED',
      failed: expect.stringMatching(/FAILED after step accept: .*only one that is CREATED can be accepted/) as unknown,
    })
    expect(await listed(orderId)).toBe('FAILED')
    const cleared = at.place.wires.order.passed.filter(
      ({ path, body }) => path === '/clearRunner' && body.includes(orderId),
    )
    expect([await order(orderId), await timer(orderId), cleared]).toEqual([['ACCEPTED', runner], [true, runner], []])
  })

  test('the runner who has it may say so again', async () => {
    const orderId = await placed(at.place)
    await accept(orderId)
    expect(await ended(orderId)).toBe(won(orderId))
    expect((await accept(orderId)).status).toBe(200)
    expect(await ended(orderId)).toBe(won(orderId))
    expect([await order(orderId), await timer(orderId)]).toEqual([
      ['ACCEPTED', runner],
      [true, runner],
    ])
  })

  test('an order that its runner gave back may be accepted by another', async () => {
    const orderId = await placed(at.place)
    await accept(orderId)
    expect(await ended(orderId)).toBe(won(orderId))
    await call('POST', `${at.place.embedded.urls.order}/cancelAcceptance`, { json: { orderId } })
    expect(await order(orderId)).toEqual(['CREATED', null])
    expect((await accept(orderId, otherRunner)).status).toBe(200)
    expect(await ended(orderId)).toBe(won(orderId))
    expect(await order(orderId)).toEqual(['ACCEPTED', otherRunner])
  })

  test('the time to accept is over: the acceptance is undone', async () => {
    const orderId = await placed(at.place)
    let asked = 0
    at.place.wires.timer.rule(() => {
      asked += 1
      return 'away'
    })
    expect((await accept(orderId)).status).toBe(200)
    await until(() => expect(asked).toBeGreaterThan(0))
    expect(await order(orderId)).toEqual(['ACCEPTED', runner])
    await call('POST', `${at.place.embedded.urls.timer}/cancel-timer`, { json: { orderId } })
    at.place.wires.timer.rule(() => 'through')
    expect(await ended(orderId)).toEqual({
      type: 'COMPENSATED',
      failed: `accept-order-workflow COMPENSATED after step timer: the time in which order ${orderId} could be accepted is over`,
    })
    expect(await order(orderId)).toEqual(['CREATED', null])
  })

  test('an order without a timer is accepted: nothing would cancel it', async () => {
    const made = await call('POST', `${at.place.embedded.urls.order}/createOrder`, {
      json: {
        customer_id: 'cust_123',
        order_details: { foodItems: [{ name: 'Tea', price: 2, quantity: 1 }], deliveryLocation: 'North Campus' },
      },
    })
    const { order_id: orderId } = made.body as { readonly order_id: string }
    await call('POST', `${at.place.embedded.urls.order}/updateOrderStatus`, { json: { orderId, status: 'CREATED' } })
    expect((await accept(orderId)).status).toBe(200)
    expect(await ended(orderId)).toBe(won(orderId))
    expect(await order(orderId)).toEqual(['ACCEPTED', runner])
  })

  test('answers that are lost after their effect are asked for again, under the same keys', async () => {
    const orderId = await placed(at.place)
    const lost = new Set<string>()
    for (const wire of [at.place.wires.order, at.place.wires.timer])
      wire.rule(({ method, path }) => {
        if (method === 'GET' || lost.has(path)) return 'through'
        lost.add(path)
        return 'lost'
      })
    expect((await accept(orderId)).status).toBe(200)
    expect(await ended(orderId)).toBe(won(orderId))
    expect([...lost].toSorted()).toEqual(['/stop-request-timer', '/verifyAndAcceptOrder'])
    const keys = at.place.wires.order.passed.filter(
      ({ path, body }) => path === '/verifyAndAcceptOrder' && body.includes(orderId),
    )
    expect([keys.length, new Set(keys.map(({ key }) => key)).size]).toEqual([2, 1])
    expect([await order(orderId), await timer(orderId)]).toEqual([
      ['ACCEPTED', runner],
      [true, runner],
    ])
  })

  test.each(['order', 'timer'] as const)(
    'the %s service is away for a while: the workflow waits, and goes on when it is back',
    async (service) => {
      const orderId = await placed(at.place)
      let tries = 0
      at.place.wires[service].rule(() => {
        tries += 1
        return 'away'
      })
      expect((await accept(orderId)).status).toBe(200)
      await until(() => expect(tries).toBeGreaterThan(3))
      at.place.wires[service].rule(() => 'through')
      expect(await ended(orderId)).toBe(won(orderId))
      expect([await order(orderId), await timer(orderId)]).toEqual([
        ['ACCEPTED', runner],
        [true, runner],
      ])
    },
  )

  /** Cancels it in Temporal while that service does not answer, which then comes back. */
  async function cancelledWhileAway(service: 'order' | 'timer'): Promise<string> {
    const orderId = await placed(at.place)
    let asked = 0
    at.place.wires[service].rule(() => {
      asked += 1
      return 'away'
    })
    await accept(orderId)
    await until(() => expect(asked).toBeGreaterThan(0))
    await at.cancel(orderId)
    at.place.wires[service].rule(() => 'through')
    return orderId
  }

  test('cancelled in Temporal before it is known whether the runner has the order, nobody has it', async () => {
    const orderId = await cancelledWhileAway('order')
    await until(async () => expect(await listed(orderId)).toBe('CANCELLED'))
    expect(await order(orderId)).toEqual(['CREATED', null])
  })

  test('cancelled in Temporal while its timer is being stopped, it comes too late: the order is his', async () => {
    const orderId = await cancelledWhileAway('timer')
    expect(await ended(orderId)).toBe(won(orderId))
    expect([await order(orderId), await timer(orderId)]).toEqual([
      ['ACCEPTED', runner],
      [true, runner],
    ])
  })

  test('cancelled in Temporal while the acceptance is taken back, it is taken back all the same', async () => {
    const orderId = await placed(at.place)
    let tries = 0
    at.place.wires.timer.rule(({ path }) => (path === '/stop-request-timer' ? 'refused' : 'through'))
    at.place.wires.order.rule(({ path }) => {
      if (path !== '/clearRunner') return 'through'
      tries += 1
      return 'away'
    })
    await accept(orderId)
    await until(() => expect(tries).toBeGreaterThan(0))
    expect(await order(orderId)).toEqual(['ACCEPTED', runner])
    await at.cancel(orderId)
    at.place.wires.order.rule(() => 'through')
    await until(async () => expect(['FAILED', 'CANCELLED']).toContain(await listed(orderId)))
    expect(await order(orderId)).toEqual(['CREATED', null])
  })

  test('cancelled in Temporal after its end, nothing changes', async () => {
    const orderId = await placed(at.place)
    await accept(orderId)
    expect(await ended(orderId)).toBe(won(orderId))
    await at.cancel(orderId).catch(() => undefined)
    expect([await listed(orderId), await order(orderId), await timer(orderId)]).toEqual([
      'COMPLETED',
      ['ACCEPTED', runner],
      [true, runner],
    ])
  })

  test('what is wrong is refused at once', async () => {
    const none = await accept('order_none')
    expect([none.status, none.body]).toEqual([404, { error: 'There is no order order_none.' }])
    const carried = await at.place.shop.carried()
    const taken = await accept(carried)
    expect([taken.status, taken.body]).toEqual([
      400,
      { error: `order ${carried} is ON_THE_WAY: only one that is CREATED can be accepted` },
    ])
    for (const body of [
      '[]',
      'null',
      '{}',
      '{"order_id":"o"}',
      '{"runner_id":"r"}',
      '{"order_id":1,"runner_id":"r"}',
    ]) {
      const refused = await call('POST', `${at.entry.url}/acceptOrder`, {
        body,
        headers: { 'content-type': 'application/json' },
      })
      expect([body, refused.status, refused.body]).toEqual([body, 400, { error: expect.any(String) as unknown }])
    }
    const healthy = await call('GET', `${at.entry.url}/health`)
    expect([healthy.status, healthy.body]).toEqual([200, { status: 'healthy' }])
  })
})
