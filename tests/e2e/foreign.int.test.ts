/** Each side alone with a hand-written other side: bare records by an independent client. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { installedPart } from '../kit/private-part.ts'
import { until } from '../kit/until.ts'
import { suiteOn } from '../kit/parts.ts'
import { burger, Client } from '../kit/client.ts'
import { eventsIn, type Told } from '../../services/sagas/complete-order/delivery.testkit.ts'
import { ForeignKafka, type Envelope, type Seen } from './foreign-kafka.ts'
import { openHost, type Host } from '../kit/hosts.ts'
import { layOut, type System } from '../kit/system.ts'

const minute = 60_000
const parts = (await Promise.all([installedPart('postgresql'), installedPart('kafka')])).includes(null) ? null : true

/** Each command once: on a busy machine it is sent again. */
function once(commands: readonly Envelope[]): readonly Envelope[] {
  const alike = ({ type, payload }: Envelope): string => JSON.stringify([type, payload])
  const texts = commands.map(alike)
  return commands.filter((command, n) => texts.indexOf(alike(command)) === n)
}

suiteOn('PostgreSQL and Kafka', parts, 'beside services that are not ours, over Kafka', () => {
  let host: Host
  let system: System
  let client: Client
  let foreign: ForeignKafka

  beforeAll(async () => {
    host = await openHost('PostgreSQL and Kafka')
    system = await layOut(host)
    client = new Client(system)
    await Promise.all([system.start('create-order'), system.start('order')])
    await system.kill('order') // its topics exist, and it takes no commands meanwhile
    foreign = new ForeignKafka(host.parts.kafka?.url ?? '')
    await foreign.connect()
  }, 4 * minute)
  afterAll(async () => {
    await foreign?.close()
    await system?.destroy()
    await host?.remove()
  }, minute)

  describe('our orchestrator with a hand-written producer', () => {
    const commands: Envelope[] = []
    const records: Seen[] = []
    /** What the neighbours answer, by command type; null for silence. */
    let answers: (command: Envelope) => readonly [topic: string, type: string, payload: Record<string, unknown>] | null

    beforeAll(async () => {
      const topics = ['order_commands', 'user_commands', 'payment_commands', 'timer_commands']
      await foreign.read(topics, async (record) => {
        records.push(record)
        if (record.envelope === null) return
        commands.push(record.envelope)
        const answer = answers(record.envelope)
        if (answer !== null) await foreign.send(answer[0], answer[1], record.envelope.correlation_id, answer[2])
      })
    }, minute)

    afterAll(() => void (answers = () => null))

    /** The least that known test clients send: no Stripe ids, ids that are no UUIDs, another amount. */
    const least = (command: Envelope): ReturnType<typeof answers> => {
      const order_id = 'order-1744081751'
      switch (command.type) {
        case 'create_order':
          return [
            'order_events',
            'order.created',
            { order_id, customer_id: 'somebody-else', status: 'PENDING_PAYMENT' },
          ]
        case 'get_payment_info':
          return ['user_events', 'user.payment_info_retrieved', { customer: { id: 1 }, order: { id: 2 } }]
        case 'authorize_payment':
          return [
            'payment_events',
            'payment.authorized',
            { payment_id: 'pay-1', order_id, status: 'AUTHORIZED', amount: 1 },
          ]
        case 'update_order_status':
          return ['order_events', 'order.status_updated', { order_id, status: 'CREATED' }]
        case 'start_order_timer':
          return ['timer_events', 'timer.started', { order_id, timeout_at: '2025-04-08T03:39:11', status: 'RUNNING' }]
        default:
          return null
      }
    }
    const order = async (): Promise<string> => client.order('cust_foreign')

    test(
      'completes a saga from minimal events, and its commands are what the contract says',
      { timeout: 2 * minute },
      async () => {
        answers = least
        const id = await order()
        expect(await client.end(id)).toMatchObject({
          status: 'COMPLETED',
          order_id: 'order-1744081751',
          payment_id: 'pay-1',
        })

        const sent = once(commands.filter(({ correlation_id }) => correlation_id === id))
        expect(sent.map(({ type }) => type)).toEqual([
          'create_order',
          'get_payment_info',
          'authorize_payment',
          'update_order_status',
          'start_order_timer',
        ])
        const [create, payer, authorise, confirm, timer] = sent.map(({ payload }) => payload)
        expect(create).toMatchObject({ ...burger('cust_foreign'), saga_id: id })
        expect(payer).toMatchObject({ user_id: 'cust_foreign' })
        expect(authorise).toMatchObject({ order_id: 'order-1744081751', order: { amount: 1299 } })
        expect(confirm).toMatchObject({ order_id: 'order-1744081751', status: 'CREATED' })
        expect(timer).toMatchObject({ order_id: 'order-1744081751', customer_id: 'cust_foreign' })
        // Beside the envelope: the saga as key, our ids and the trace in headers.
        const record = records.find(({ envelope }) => envelope?.correlation_id === id)
        expect(Object.keys(JSON.parse(record?.text ?? '{}') as object).toSorted()).toEqual([
          'correlation_id',
          'payload',
          'timestamp',
          'type',
        ])
        expect(record?.key).toBe(id)
        expect(record?.headers['ordersaga-id']).toContain(id)
        expect(record?.headers['traceparent']).toContain(`00-${id.replaceAll('-', '')}-`)
      },
    )

    test(
      'other types, answers of other sagas and what is no JSON change nothing',
      { timeout: 2 * minute },
      async () => {
        answers = (command) => (command.type === 'authorize_payment' ? null : least(command))
        const id = await order()
        await until('it asks for the payment', minute, () =>
          commands.some(({ type, correlation_id }) => type === 'authorize_payment' && correlation_id === id),
        )
        const before = await client.saga(id)
        await foreign.sendText('payment_events', 'this is no JSON')
        await foreign.sendText('payment_events', '{"type":"payment.authorized"}')
        await foreign.send('payment_events', 'ORDER_CREATED', id, { order_id: 'x' })
        await foreign.send('payment_events', 'payment.authorized', 'no-such-saga', { payment_id: 'p', order_id: 'x' })
        await foreign.send('order_events', 'order.created', id, {
          order_id: 'another',
          customer_id: 'c',
          status: 'PENDING',
        })
        const dead: Seen[] = []
        await foreign.read(['payment_events.dead'], (record) => void dead.push(record))
        await until('what cannot be read is among the dead letters', minute, () => dead.length >= 2)
        expect(dead.map(({ text }) => text).toSorted()).toEqual(
          ['this is no JSON', '{"type":"payment.authorized"}'].toSorted(),
        )
        expect(await client.saga(id)).toMatchObject({ status: 'STARTED', order_id: before.order_id })

        await foreign.send('payment_events', 'payment.authorized', id, {
          payment_id: 'late',
          order_id: 'x',
          status: 'AUTHORIZED',
        })
        answers = least
        expect(await client.end(id)).toMatchObject({ status: 'COMPLETED', payment_id: 'late' })
      },
    )

    test('payment.failed with nothing but an error undoes the order', { timeout: 2 * minute }, async () => {
      answers = (command) => {
        if (command.type === 'authorize_payment')
          return ['payment_events', 'payment.failed', { error: 'card_declined' }]
        if (command.type === 'cancel_order')
          return ['order_events', 'order.cancelled', { order_id: command.payload['order_id'], reason: 'x' }]
        return least(command)
      }
      const saga = await client.end(await order())
      expect(saga).toMatchObject({ status: 'COMPENSATED', error: 'Payment authorization failed: card_declined' })
    })

    test('an order that another client reports as CANCELLED does not complete', { timeout: 2 * minute }, async () => {
      answers = (command) => {
        if (command.type === 'update_order_status')
          return ['order_events', 'order.status_updated', { order_id: 'order-1744081751', status: 'CANCELLED' }]
        if (command.type === 'cancel_order')
          return ['order_events', 'order.cancelled', { order_id: 'order-1744081751' }]
        if (command.type === 'revert_payment')
          return ['payment_events', 'payment.released', { payment_id: 'pay-1', status: 'REVERTED', message: '' }]
        return least(command)
      }
      const id = await order()
      await foreign.send('order_events', 'order.cancellation_requested', id, { order_id: 'order-1744081751' })
      await foreign.send('payment_events', 'payment.cancelled', id, { payment_id: 'pay-1' })
      expect(await client.end(id)).toMatchObject({ status: 'COMPENSATED' })
    })
  })

  describe('our Complete Order saga with hand-written participants', () => {
    const commands: Envelope[] = []
    type Answers = (command: Envelope) => readonly [type: string, payload: Readonly<Record<string, unknown>>] | null
    let answers: Answers

    /** What the contract's originals send, whose payloads are not read. */
    const originals: Answers = ({ type, payload: { order_id, status } }) => {
      switch (type) {
        case 'update_order_status':
          return [`order.status_updated_to_${String(status).toLowerCase()}`, { order_id }]
        case 'get_runner_payment_info':
          return ['runner.payment_info_retrieved', { payment_info: { account: 'anything', last4: 4242 } }]
        case 'release_funds':
          return ['funds_released', { order_id, status: 'SUCCESS' }]
        default:
          return null
      }
    }

    beforeAll(async () => {
      await system.start('complete-order')
      await foreign.read(['complete_order_commands'], async ({ envelope }) => {
        if (envelope === null) return
        commands.push(envelope)
        const answer = answers(envelope)
        if (answer !== null) await foreign.send('complete_order_events', answer[0], envelope.correlation_id, answer[1])
      })
    }, 2 * minute)
    afterAll(() => void (answers = () => null))

    const complete = async (orderId: string): Promise<string> => {
      const url = `${system.url('complete-order')}/saga/complete/completeOrder`
      const { status, text, body } = await client.send('POST', url, { orderId })
      expect([status, text]).toEqual([200, expect.stringContaining('"sagaId"')])
      return String(body['sagaId'])
    }
    const end = async (sagaId: string): Promise<Told | undefined> => {
      const url = `${system.url('complete-order')}/saga/complete/orderUpdateStream/${sagaId}`
      const stream = await fetch(url, { signal: AbortSignal.timeout(minute) })
      return eventsIn(await stream.text()).at(-1)?.data
    }
    const sentTo = (saga: string): readonly unknown[] =>
      once(commands.filter(({ correlation_id }) => correlation_id === saga)).map(({ type, payload }) => [type, payload])

    test('completes from their events, and asks as the contract says', { timeout: 2 * minute }, async () => {
      answers = originals
      const order_id = 'order-1744081751'
      const saga = await complete(order_id)
      expect(await end(saga)).toMatchObject({ status: 'COMPLETED', orderId: order_id })
      expect(sentTo(saga)).toEqual([
        ['update_order_status', { order_id, status: 'DELIVERED' }],
        ['get_runner_payment_info', { order_id }],
        ['release_funds', { order_id, runnerPaymentInfo: { account: 'anything', last4: 4242 } }],
        ['update_order_status', { order_id, status: 'COMPLETED' }],
      ])
    })

    test.each([
      ['release_funds', 'payment.release_failed', { error: 'no funds', order_id: 'order-release_funds' }],
      ['get_runner_payment_info', 'complete_order_failed', { error: 'no account' }],
    ] as const)('is undone where %s is answered by %s', { timeout: 2 * minute }, async (refused, type, payload) => {
      answers = (command) => (command.type === refused ? [type, payload] : originals(command))
      const order_id = `order-${refused}`
      const saga = await complete(order_id)
      expect(await end(saga)).toMatchObject({
        status: 'COMPENSATED',
        error: expect.stringContaining(payload.error) as string,
      })
      expect(sentTo(saga).at(-1)).toEqual(['update_order_status', { order_id, status: 'ON_THE_WAY' }])
    })

    test('ends FAILED where nothing was delivered', { timeout: 2 * minute }, async () => {
      answers = () => ['complete_order_failed', { error: 'unknown order' }]
      const saga = await complete('order-nobody')
      expect(await end(saga)).toMatchObject({
        status: 'FAILED',
        error: expect.stringContaining('unknown order') as string,
      })
      expect(sentTo(saga)).toHaveLength(1)
    })

    test('early, foreign and repeated answers change nothing', { timeout: 2 * minute }, async () => {
      answers = (command) => (command.type === 'release_funds' ? null : originals(command))
      const order_id = 'order-late'
      const saga = await complete(order_id)
      await until('it asks for the release', minute, () =>
        commands.some(({ type, correlation_id }) => type === 'release_funds' && correlation_id === saga),
      )
      const say = (type: string, payload: Readonly<Record<string, unknown>>, correlation = saga) =>
        foreign.send('complete_order_events', type, correlation, payload)
      await say('order.status_updated_to_completed', { order_id })
      await say('order.status_updated_to_delivered', { order_id })
      await say('payment.release_failed', { error: 'no', order_id: 'another' })
      await say('funds_released', { order_id, status: 'SUCCESS' }, 'no-such-saga')
      await say('payment.released', { order_id })
      await foreign.sendText('complete_order_events', 'this is no JSON')
      for (let time = 0; time < 2; time++) await say('funds_released', { order_id, status: 'SUCCESS' })
      expect(await end(saga)).toMatchObject({ status: 'COMPLETED' })
      expect(sentTo(saga)).toHaveLength(4)
    })
  })

  describe('our Order Service with a hand-written orchestrator', () => {
    /** By id, in the order of their coming: any may come twice. */
    const events = new Map<string, Envelope>()

    beforeAll(async () => {
      await system.kill('create-order')
      await system.start('order')
      await foreign.read(['order_events'], ({ envelope, headers }) => {
        const id = headers['ordersaga-id']
        if (envelope !== null && id !== undefined) events.set(id, envelope)
      })
    }, 3 * minute)

    const ask = async (type: string, saga: string, payload: Record<string, unknown>): Promise<Envelope> => {
      const answers = (): readonly Envelope[] =>
        [...events.values()].filter(({ correlation_id }) => correlation_id === saga)
      const heard = answers().length
      await foreign.send('order_commands', type, saga, payload)
      await until(`${type} is answered`, minute, () => answers().length > heard, system.tails)
      return answers()[heard] as Envelope
    }

    test('obeys bare commands, once each however often they come', { timeout: 3 * minute }, async () => {
      const saga = 'saga-of-somebody-else'
      const created = await ask('create_order', saga, { ...burger('cust_9'), saga_id: saga })
      expect(created).toMatchObject({
        type: 'order.created',
        source: 'order-service',
        payload: { customer_id: 'cust_9', status: 'PENDING', saga_id: saga, correlation_id: saga },
      })
      const { order_id } = created.payload as { order_id: string }
      expect(await ask('create_order', saga, { ...burger('cust_9'), saga_id: saga })).toMatchObject({
        type: 'order.created',
        payload: { order_id },
      })
      expect(await ask('update_order_status', saga, { order_id, status: 'CREATED' })).toMatchObject({
        type: 'order.status_updated',
        payload: { order_id, status: 'CREATED', saga_id: saga },
      })
      expect(await ask('cancel_order', saga, { order_id, reason: 'not hungry' })).toMatchObject({
        type: 'order.cancelled',
        payload: { order_id, reason: 'not hungry', correlation_id: saga },
      })
    })

    test('answers what it cannot do with the reason', { timeout: 3 * minute }, async () => {
      const failed = { type: 'order.status_update_failed', payload: { error: expect.any(String) as string } }
      expect(await ask('update_order_status', 's-1', { order_id: 'nobody', status: 'CREATED' })).toMatchObject(failed)
      expect(await ask('update_order_status', 's-1', { order_id: 'nobody', status: 'PAID' })).toMatchObject(failed)
      expect(await ask('update_order_status', 's-1', { status: 'CREATED' })).toMatchObject(failed)
      expect(
        await ask('create_order', 's-2', { customer_id: 'cust_9', order_details: { foodItems: [] } }),
      ).toMatchObject({
        type: 'order.creation_failed',
      })
    })

    test('goes on after a record that is no command', { timeout: 3 * minute }, async () => {
      await foreign.sendText('order_commands', '\u0000\u0001 no command')
      expect(await ask('create_order', 's-3', { ...burger('cust_9'), saga_id: 's-3' })).toMatchObject({
        type: 'order.created',
      })
      const dead: Seen[] = []
      await foreign.read(['order_commands.dead'], (record) => void dead.push(record))
      await until('it is among the dead letters', minute, () => dead.length > 0)
      expect(dead).toMatchObject([{ text: '\u0000\u0001 no command' }])
    })
  })

  describe('our participants of Complete Order with a hand-written producer', () => {
    const events = new Map<string, Envelope>()

    beforeAll(async () => {
      await system.kill('complete-order')
      await Promise.all(['user', 'order', 'payment'].map((service) => system.start(service)))
      const topics = ['order_events', 'payment_events', 'complete_order_events']
      await foreign.read(topics, ({ envelope, headers }) => {
        const id = headers['ordersaga-id']
        if (envelope !== null && id !== undefined) events.set(id, envelope)
      })
    }, 3 * minute)

    const saga = 'walk-of-somebody-else'
    const ask = async (topic: string, type: string, payload: Readonly<Record<string, unknown>>): Promise<Envelope> => {
      const answers = (): readonly Envelope[] =>
        [...events.values()].filter(({ correlation_id }) => correlation_id === saga)
      const heard = answers().length
      await foreign.send(topic, type, saga, payload)
      await until(`${type} is answered`, minute, () => answers().length > heard, system.tails)
      return answers()[heard] as Envelope
    }
    const walk = (type: string, payload: Readonly<Record<string, unknown>>) =>
      ask('complete_order_commands', type, payload)

    test('an order is walked through, and its runner is paid once', { timeout: 4 * minute }, async () => {
      const created = await ask('order_commands', 'create_order', { ...burger('cust_123'), saga_id: saga })
      const { order_id } = created.payload as { readonly order_id: string }
      const authorized = await ask('payment_commands', 'authorize_payment', {
        order_id,
        customer: {
          clerkUserId: 'cust_123',
          stripeCustomerId: 'cus_sandbox',
          userStripeCard: { payment_method_id: 'pm_sandbox' },
        },
        order: { amount: 1299, description: 'lunch' },
      })
      expect(authorized.type).toBe('payment.authorized')
      await ask('order_commands', 'update_order_status', { order_id, status: 'CREATED' })
      const taken = await client.send('POST', `${system.url('order')}/verifyAndAcceptOrder`, {
        orderId: order_id,
        runner_id: 'runner_123',
      })
      expect(taken.status).toBe(200)
      for (const status of ['PLACED', 'ON_THE_WAY'])
        await ask('order_commands', 'update_order_status', { order_id, status })

      expect(await walk('update_order_status', { order_id, status: 'DELIVERED' })).toMatchObject({
        type: 'order.status_updated_to_delivered',
        source: 'order-service',
        payload: { order_id },
      })
      const told = await walk('get_runner_payment_info', { order_id })
      expect(told).toMatchObject({
        type: 'runner.payment_info_retrieved',
        source: 'user-service',
        payload: { order_id, payment_info: { runner_id: 'runner_123' } },
      })
      const runnerPaymentInfo = told.payload['payment_info']
      for (let time = 0; time < 2; time++)
        expect(await walk('release_funds', { order_id, runnerPaymentInfo })).toMatchObject({
          type: 'funds_released',
          source: 'payment-service',
          payload: { order_id, status: 'SUCCESS' },
        })
      expect(await walk('update_order_status', { order_id, status: 'COMPLETED' })).toMatchObject({
        type: 'order.status_updated_to_completed',
      })
      const shown = await client.send('GET', `${system.url('order')}/getOrderDetails?orderId=${order_id}`)
      expect(shown.body).toMatchObject({ orderStatus: 'COMPLETED', runnerId: 'runner_123' })
      const { body } = await client.send('GET', `${system.url('payment')}/payment/${order_id}/status`)
      expect(body['payment']).toMatchObject({ status: 'SUCCEEDED', runnerId: 'runner_123' })
    })

    test('what cannot be done is refused on the same topic', { timeout: 3 * minute }, async () => {
      const order_id = 'nobody'
      for (const [type, payload] of [
        ['update_order_status', { order_id, status: 'DELIVERED' }],
        ['get_runner_payment_info', { order_id }],
      ] as const)
        expect(await walk(type, payload)).toMatchObject({
          type: 'complete_order_failed',
          payload: { error: expect.stringContaining(order_id) as string },
        })
      expect(
        await walk('release_funds', { order_id, runnerPaymentInfo: { runner_id: 'r', stripeConnectAccountId: 'a' } }),
      ).toMatchObject({
        type: 'payment.release_failed',
        payload: { order_id, error: expect.stringContaining(order_id) as string },
      })
    })
  })
})
