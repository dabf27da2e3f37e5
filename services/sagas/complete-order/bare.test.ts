/** Complete Order's commands without an orchestrator of ours: as the contract's originals send them, and as they do not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Message } from 'ordersaga/transport'
import { completeOrderChannels } from '../../shared/complete-order.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { deliveriesOf, type Deliveries } from './delivery.testkit.ts'

const saga = 'saga-of-somebody-else'
const patience = { timeout: 30_000 }

let system: Embedded
let runner: Deliveries
const heard: Message[] = []
let sent = 0

beforeAll(async () => {
  system = await startEmbedded()
  runner = deliveriesOf(system)
  await system.transport.subscribe(completeOrderChannels.events, 'bare', (batch) =>
    Promise.resolve(void heard.push(...batch)),
  )
})
afterAll(() => system.close())

/** As transports hand over what has no ids: under their place. */
const send = (...commands: readonly (readonly [type: string, payload: unknown])[]): Promise<void> =>
  system.transport.publish(
    completeOrderChannels.commands,
    commands.map(([type, payload]) => ({
      id: `${completeOrderChannels.commands}:0:${(sent += 1)}`,
      type,
      correlationId: saga,
      timestamp: '2025-04-08T03:09:11.123456',
      payload,
    })),
  )

async function ask(type: string, payload: unknown): Promise<Message> {
  const before = heard.length
  await send([type, payload])
  await expect.poll(() => heard.length, patience).toBe(before + 1)
  return heard[before] as Message
}

const info = { runner_id: 'runner_123', stripeConnectAccountId: 'acct_sandbox_runner_123' }

test('an order is walked through, and its runner is paid once however often it is asked for', async () => {
  const order_id = await runner.carried()
  for (let time = 0; time < 2; time++)
    expect(await ask('update_order_status', { order_id, status: 'DELIVERED' })).toMatchObject({
      type: 'order.status_updated_to_delivered',
      correlationId: saga,
      payload: { order_id, status: 'DELIVERED' },
    })
  expect(await ask('get_runner_payment_info', { order_id })).toMatchObject({
    type: 'runner.payment_info_retrieved',
    payload: { order_id, payment_info: info },
  })
  for (let time = 0; time < 2; time++)
    expect(await ask('release_funds', { order_id, runnerPaymentInfo: info })).toMatchObject({
      type: 'funds_released',
      payload: { order_id, status: 'SUCCESS' },
    })
  for (let time = 0; time < 2; time++)
    expect(await ask('update_order_status', { order_id, status: 'COMPLETED' })).toMatchObject({
      type: 'order.status_updated_to_completed',
      payload: { order_id },
    })
  expect(await runner.orderStatus(order_id)).toBe('COMPLETED')
  expect(await runner.payment(order_id)).toMatchObject({ status: 'SUCCEEDED', runnerId: 'runner_123' })
  expect(await runner.problems()).toEqual([])
})

test('two that deliver one order at once are told apart: it was DELIVERED already for one of them', async () => {
  const order_id = await runner.carried()
  const before = heard.length
  await system.transport.publish(
    completeOrderChannels.commands,
    ['saga-a', 'saga-b'].map((correlationId) => ({
      id: `${correlationId}:deliver`,
      type: 'update_order_status',
      correlationId,
      timestamp: '',
      payload: { order_id, status: 'DELIVERED' },
    })),
  )
  await expect.poll(() => heard.length, patience).toBe(before + 2)
  const former = heard
    .slice(before)
    .map(({ payload }) => (payload as { readonly previous_status: string }).previous_status)
  expect(former.toSorted()).toEqual(['DELIVERED', 'ON_THE_WAY'])
})

describe('what cannot be obeyed is refused, and keeps nobody waiting', () => {
  const odd = ['/', '?orderId=x&', '%00', '€'.repeat(500), '😀'.repeat(250), '\ud800', '__proto__', 'constructor', ' ']

  test.each(odd)('an order id %j', async (order_id) => {
    for (const [type, payload] of [
      ['update_order_status', { order_id, status: 'DELIVERED' }],
      ['get_runner_payment_info', { order_id }],
      ['update_order_status', { order_id, status: 'COMPLETED' }],
      ['update_order_status', { order_id, status: 'ON_THE_WAY' }],
    ] as const)
      expect(await ask(type, payload)).toMatchObject({
        type: 'complete_order_failed',
        payload: { error: expect.any(String) as string },
      })
    expect(await ask('release_funds', { order_id, runnerPaymentInfo: info })).toMatchObject({
      type: 'payment.release_failed',
      payload: { order_id, error: expect.any(String) as string },
    })
  })

  test.each([
    null,
    [],
    'x',
    {},
    { order_id: 7 },
    { order_id: '' },
    { order_id: 'x'.repeat(501) },
    { order_id: 'a\u0000' },
  ])('the payload %j', async (payload) => {
    for (const type of ['update_order_status', 'get_runner_payment_info'])
      expect((await ask(type, payload)).type).toBe('complete_order_failed')
    expect((await ask('release_funds', payload)).type).toBe('payment.release_failed')
  })

  test('a release without how the runner is paid names its order', async () => {
    expect(await ask('release_funds', { order_id: 'o-1' })).toMatchObject({
      type: 'payment.release_failed',
      payload: { order_id: 'o-1', error: expect.stringContaining('INVALID_PAYLOAD') as string },
    })
  })

  test.each(['delivered', 'CANCELLED', 'PENDING', 'toString', 'x'.repeat(500)])('the status %s', async (status) => {
    const order_id = await runner.carried()
    expect((await ask('update_order_status', { order_id, status })).type).toBe('complete_order_failed')
    expect(await runner.orderStatus(order_id)).toBe('ON_THE_WAY')
  })
})
