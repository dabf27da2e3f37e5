/** Cancels by customer, timer and operator, in every status. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Store, StoredSaga } from 'ordersaga/store'
import { transition } from '../../../saga/core/decide.ts'
import { call } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { createOrderSaga } from './saga.ts'
import { burger, shopOf, type Shop } from './shop.testkit.ts'

const parked = ['parked-1', 'parked-2', 'parked-3'] as const

let system: Embedded
let shop: Shop
let sagas: string
const holding = new Set<string>()

beforeAll(async () => {
  system = await startEmbedded({ prepare: parkSagas })
  shop = shopOf(system)
  sagas = system.urls.sagas
})
afterEach(() => {
  for (const type of holding) system.gate.release(type)
  holding.clear()
})
afterAll(async () => {
  expect(await shop.problems()).toEqual([])
  await system.close()
})

/** As the engine parks a saga whose move it could not store. */
async function parkSagas(store: Store): Promise<void> {
  const definition = createOrderSaga({ timerMs: 60_000 })
  for (const id of parked) {
    const input = { customer_id: 'cust_123', order_details: burger, amount: 1299 }
    const at = Date.now()
    const begun = transition(definition, null, { type: 'start', id, input, seed: 1 }, at)
    const fault = { type: 'fault', reason: 'its last move could not be stored' } as const
    const { state, events } = transition(definition, begun.state, fault, at)
    if (state === null) throw new Error('a start gives a state')
    const saga: StoredSaga = {
      id,
      definition: definition.name,
      version: 1,
      seq: 1,
      state,
      owner: 'gone',
      key: null,
      fingerprint: id,
      businessKey: input.customer_id,
      createdAt: at,
      updatedAt: at,
    }
    const entry = {
      sagaId: id,
      seq: 1,
      at,
      inputId: `start:${id}`,
      events: [...begun.events, ...events],
      status: state.status,
    }
    await store.commit({ starts: [{ saga, entry, live: false }], moves: [] })
  }
}

const cancel = (id: string, prefix = '') => call('POST', `${sagas}${prefix}/sagas/${id}/cancel`)

/** Keeps messages of this type back until the test is over, or lets them go. */
function hold(type: string): void {
  system.gate.hold(type)
  holding.add(type)
}

/** Waits until a message of this type is held, which is where the saga then stands. */
async function stopped(type: string): Promise<void> {
  await expect.poll(() => system.gate.held(type).length, { timeout: 30_000 }).toBeGreaterThan(0)
}

const accepted = [202, { message: 'Cancellation started; the order is being undone.' }]
const byCustomer = { by: 'customer', reason: 'Manual cancellation requested by user' }

describe('a customer cancels', () => {
  test.each(['/api', ''])(
    'a completed order that no runner has accepted, under "%s": all is undone',
    async (prefix) => {
      const id = await shop.start('cust_123')
      const { order_id } = await shop.sagaIn('COMPLETED', id)
      const answer = await cancel(id, prefix)
      expect([answer.status, answer.body]).toEqual(accepted)
      // The reason is no error.
      expect(await shop.sagaIn('CANCELLED', id)).toMatchObject({ error: null, cancel: byCustomer })
      expect(await shop.orderStatus(order_id)).toBe('CANCELLED')
      expect(await shop.payment(order_id)).toMatchObject({ status: 'REVERTED' })
      const timer = await call('POST', `${system.urls.timer}/stop-request-timer`, {
        json: { orderId: order_id, runnerId: 'runner_123' },
      })
      expect([timer.status, timer.text]).toEqual([404, expect.stringContaining('CANCELLED')])
    },
  )

  test('a completed order that a runner has accepted: 409 says why, nothing changes, also the second time', async () => {
    const id = await shop.start('cust_123')
    const before = await shop.sagaIn('COMPLETED', id)
    const taken = await call('POST', `${system.urls.order}/verifyAndAcceptOrder`, {
      json: { orderId: before.order_id, runner_id: 'runner_123' },
    })
    expect(taken.status).toBe(200)
    for (const prefix of ['/api', '']) {
      const answer = await cancel(id, prefix)
      expect([answer.status, answer.body]).toEqual([
        409,
        {
          error:
            'The order cannot be cancelled any more (saga COMPLETED): the order is ACCEPTED: only one that is PENDING or CREATED can be cancelled in this way',
        },
      ])
      const { updated_at: _, ...after } = await shop.saga(id)
      expect(before).toMatchObject(after)
    }
    expect(await shop.orderStatus(before.order_id)).toBe('ACCEPTED')
    expect(await shop.payment(before.order_id)).toMatchObject({ status: 'AUTHORIZED' })
  })

  test('before the order is created: the answer is waited for, then undone; the order never revives', async () => {
    hold('create_order')
    const id = await shop.start('cust_123')
    await stopped('create_order')
    expect((await cancel(id)).status).toBe(202)
    expect(await shop.saga(id)).toMatchObject({
      status: 'CANCELLING',
      current_step: 'CREATE_ORDER',
      cancel: byCustomer,
    })
    system.gate.release('create_order')
    const saga = await shop.sagaIn('CANCELLED', id)
    expect(saga.payment_id).toBeNull()
    const { items } = (await call('GET', `${system.urls.order}/orders?limit=100`)).body as {
      readonly items: readonly { readonly sagaId: string; readonly orderStatus: string }[]
    }
    const orders = items.filter(({ sagaId }) => sagaId === id)
    expect(orders.map(({ orderStatus }) => orderStatus)).not.toContain('CREATED')
    expect(orders.map(({ orderStatus }) => orderStatus)).not.toContain('PENDING')
  })

  test('while the payment is asked for: money that is held meanwhile is given back', async () => {
    hold('payment.authorized')
    const id = await shop.start('cust_123')
    await stopped('payment.authorized') // the money is held, the saga does not know
    const { order_id } = await shop.saga(id)
    expect(await shop.payment(order_id)).toMatchObject({ status: 'AUTHORIZED' })
    expect((await cancel(id)).status).toBe(202)
    await shop.sagaIn('CANCELLING', id)
    system.gate.release('payment.authorized')
    await shop.sagaIn('CANCELLED', id)
    expect(await shop.payment(order_id)).toMatchObject({ status: 'REVERTED' })
    expect(await shop.orderStatus(order_id)).toBe('CANCELLED')
  })

  test('while the order is being confirmed: it is confirmed first, then undone', async () => {
    hold('order.status_updated')
    const id = await shop.start('cust_123')
    await stopped('order.status_updated')
    expect((await cancel(id)).status).toBe(202)
    expect((await shop.saga(id)).status).toBe('STARTED')
    system.gate.release('order.status_updated')
    const { order_id } = await shop.sagaIn('CANCELLED', id)
    expect(await shop.orderStatus(order_id)).toBe('CANCELLED')
    expect(await shop.payment(order_id)).toMatchObject({ status: 'REVERTED' })
  })

  test('while the order is undone already: 202, and it stays COMPENSATED with its error', async () => {
    hold('cancel_order')
    const id = await shop.start('cust_declined')
    await stopped('cancel_order')
    expect(await shop.saga(id)).toMatchObject({ status: 'COMPENSATING', cancel: null })
    const answer = await cancel(id)
    expect([answer.status, answer.body]).toEqual(accepted)
    system.gate.release('cancel_order')
    const { error, cancel: cancelled } = await shop.sagaIn('COMPENSATED', id)
    expect([error, cancelled]).toEqual([expect.stringMatching(/^Payment authorization failed: /), null])
  })

  test('two at the same moment: one undoes the order, the other is told', async () => {
    const id = await shop.start('cust_123')
    await shop.sagaIn('COMPLETED', id)
    const answers = await Promise.all([cancel(id), cancel(id), cancel(id)])
    expect(answers.map(({ status }) => status).toSorted()).toEqual([202, 409, 409])
    const { order_id } = await shop.sagaIn('CANCELLED', id)
    expect(await shop.payment(order_id)).toMatchObject({ status: 'REVERTED' })
  })

  test.each<readonly [status: string, reach: () => Promise<string>, why: string]>([
    [
      'CANCELLING',
      async () => {
        hold('create_order')
        const id = await shop.start('cust_123')
        await stopped('create_order')
        await cancel(id)
        return id
      },
      'it is CANCELLING already',
    ],
    [
      'CANCELLED',
      async () => {
        const id = await shop.start('cust_123')
        await shop.sagaIn('COMPLETED', id)
        await cancel(id)
        return id
      },
      'it has ended CANCELLED',
    ],
    ['COMPENSATED', () => shop.start('cust_declined'), 'it has ended COMPENSATED'],
    [
      'FAILED',
      async () => {
        hold('create_order')
        const id = await shop.start('cust_123')
        await refuseCreation(id)
        return id
      },
      'it has ended FAILED',
    ],
    ['PARKED', async () => parked[0], 'it is parked; an operator must retry, skip or give up first'],
  ])('in %s: 409 names the status, and it stays', async (status, reach, why) => {
    const id = await reach()
    await shop.sagaIn(status, id)
    const answer = await cancel(id)
    expect([answer.status, answer.body]).toEqual([409, { error: `The order cannot be cancelled: ${why}` }])
    expect((await shop.saga(id)).status).toBe(status)
  })

  test('a revert that fails is tried again and keeps the saga CANCELLING', async () => {
    const id = await shop.start('cust_123')
    const { order_id, payment_id } = await shop.sagaIn('COMPLETED', id)
    hold('revert_payment')
    expect((await cancel(id)).status).toBe(202)
    await stopped('revert_payment')
    const [asked] = system.gate.held('revert_payment')
    await system.transport.publish('payment_events', [
      {
        id: `refused-${id}`,
        type: 'payment.failed',
        correlationId: id,
        causationId: asked?.id,
        timestamp: new Date().toISOString(),
        payload: { error: 'stripe_error', payment_id },
      },
    ])
    await expect
      .poll(() => new Set(system.gate.held('revert_payment').map((message) => message.id)).size, { timeout: 30_000 })
      .toBe(2)
    expect((await shop.saga(id)).status).toBe('CANCELLING')
    system.gate.release('revert_payment')
    await shop.sagaIn('CANCELLED', id)
    expect(await shop.payment(order_id)).toMatchObject({ status: 'REVERTED' })
  })
})

function refuseCreation(id: string): Promise<void> {
  const payload = { error: 'the kitchen is closed' }
  const message = { id: `refused-${id}`, type: 'order.creation_failed', correlationId: id, payload }
  return system.transport.publish('order_events', [{ ...message, timestamp: new Date().toISOString() }])
}

describe.each(['/api/timer-callback', '/timer-callback'])('%s', (path) => {
  const callback = (json: unknown) => call('POST', sagas + path, { json })

  test('cancels the order of the saga, and says that the timer did it', async () => {
    const id = await shop.start('cust_123')
    const { order_id } = await shop.sagaIn('COMPLETED', id)
    const answer = await callback({ saga_id: id, order_id, timer_id: 'timer-1' })
    expect([answer.status, answer.body]).toEqual([
      200,
      { success: true, message: 'Timeout taken in; the order is being cancelled.' },
    ])
    const reason = 'Order timed out (30 minutes)'
    expect(await shop.sagaIn('CANCELLED', id)).toMatchObject({ error: null, cancel: { by: 'timer', reason } })
    expect(await shop.orderStatus(order_id)).toBe('CANCELLED')
  })

  test('that comes again, or after a runner has accepted, changes nothing and is answered 200 with why', async () => {
    const id = await shop.start('cust_123')
    const { order_id } = await shop.sagaIn('COMPLETED', id)
    await call('POST', `${system.urls.order}/verifyAndAcceptOrder`, {
      json: { orderId: order_id, runner_id: 'runner_123' },
    })
    const late = await callback({ saga_id: id })
    expect([late.status, late.text]).toEqual([200, expect.stringContaining('the order is ACCEPTED')])
    expect((await shop.saga(id)).status).toBe('COMPLETED')

    const other = await shop.start('cust_declined')
    await shop.sagaIn('COMPENSATED', other)
    const again = await callback({ saga_id: other })
    expect([again.status, again.text]).toEqual([200, expect.stringContaining('it has ended COMPENSATED')])
  })

  test.each([
    ['no body', undefined, 400, 'the body is missing: send an object'],
    ['no saga_id', {}, 400, 'saga_id: send saga_id, a text'],
    ['a saga_id that is no text', { saga_id: 5 }, 400, 'saga_id: send saga_id, a text'],
    ['a saga that is not there', { saga_id: 'nowhere' }, 404, 'There is no saga nowhere.'],
  ])('%s is answered in the shape of the contract', async (_name, json, status, error) => {
    const answer = await callback(json)
    expect([answer.status, answer.body]).toEqual([status, { success: false, error }])
  })
})

test('a timer that expires cancels the order by itself, once', async () => {
  const quick = await startEmbedded({ timerMs: 300 })
  try {
    const other = shopOf(quick)
    const id = await other.start('cust_123')
    const saga = await other.sagaIn('CANCELLED', id)
    expect(saga.cancel).toEqual({ by: 'timer', reason: 'Order timed out (30 minutes)' })
    expect(await other.orderStatus(saga.order_id)).toBe('CANCELLED')
    expect(await other.payment(saga.order_id)).toMatchObject({ status: 'REVERTED' })
    const { body } = await call('GET', `${quick.urls.sagas}/sagas/${id}/history`)
    const events = (body as readonly { readonly events: readonly { readonly type: string }[] }[]).flatMap(
      (move) => move.events,
    )
    expect(events.filter(({ type }) => type === 'CancelRequested')).toHaveLength(1)
  } finally {
    await quick.close()
  }
})

describe('an operator', () => {
  const act = (id: string, kind: string, more: object = {}, prefix = '/api') =>
    call('POST', `${sagas}${prefix}/sagas/${id}/actions`, {
      json: { action: { kind, ...more }, by: 'ops', reason: 'looked into it' },
    })

  test('sees what a saga is parked for', async () => {
    expect(await shop.saga(parked[1])).toMatchObject({
      status: 'PARKED',
      current_step: 'CREATE_ORDER',
      error: 'CREATE_ORDER needs an operator: its last move could not be stored',
      completed_at: null,
    })
  })

  test('retries a parked saga, and it goes on to its end', async () => {
    const answer = await act(parked[1], 'retry')
    expect([answer.status, answer.body]).toEqual([202, { message: 'Done; the saga is STARTED.' }])
    expect(await shop.sagaIn('COMPLETED', parked[1])).toMatchObject({ error: null })
  })

  test('gives a parked saga up, under the other path too, and the saga names what may be left behind', async () => {
    const answer = await act(parked[2], 'giveUp', {}, '')
    expect([answer.status, answer.body]).toEqual([202, { message: 'Done; the saga is FAILED.' }])
    expect(await shop.sagaIn('FAILED', parked[2])).toMatchObject({
      error: 'Given up; may be left behind: CREATE_ORDER',
      completed_at: expect.any(String),
    })
    const { text } = await call('GET', `${sagas}/sagas/${parked[2]}/history`)
    expect(text).toContain('"leftBehind":["CREATE_ORDER"],"reason":"ops gave up: looked into it"')
  })

  test('can do nothing to a saga that is not parked: 409 says so', async () => {
    const id = await shop.start('cust_123')
    await shop.sagaIn('COMPLETED', id)
    for (const [kind, more] of [
      ['retry', {}],
      ['skip', {}],
      ['giveUp', {}],
      ['resolve', { reply: {} }],
    ] as const) {
      const answer = await act(id, kind, more)
      expect([answer.status, answer.body], kind).toEqual([
        409,
        { success: false, error: 'it is not parked but COMPLETED' },
      ])
    }
  })

  test.each([
    [
      'an unknown saga',
      'nowhere',
      { action: { kind: 'retry' }, by: 'ops', reason: 'r' },
      404,
      'There is no saga nowhere.',
    ],
    [
      'nothing',
      parked[0],
      {},
      400,
      'action is missing: send an object; by is missing: send a text; reason is missing: send a text',
    ],
    [
      'an action that there is not',
      parked[0],
      { action: { kind: 'delete' }, by: 'ops', reason: 'r' },
      400,
      "action.kind: invalid discriminator value. Expected 'retry' | 'skip' | 'giveUp' | 'resolve'",
    ],
    [
      'an answer that is missing',
      parked[0],
      { action: { kind: 'resolve' }, by: 'ops', reason: 'r' },
      400,
      'action.reply is missing: send a value',
    ],
    ['nobody', parked[0], { action: { kind: 'retry' }, by: '', reason: 'r' }, 400, 'by must have at least 1 character'],
  ])('who sends %s is told, and nothing changes', async (_name, id, json, status, error) => {
    const answer = await call('POST', `${sagas}/api/sagas/${id}/actions`, { json })
    expect([answer.status, answer.body]).toEqual([status, { success: false, error }])
    expect((await shop.saga(parked[0])).status).toBe('PARKED')
  })
})
