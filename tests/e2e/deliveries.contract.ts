/** What the system does for its runners, on whatever it stands. */
import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  deliveriesOf,
  type Deliveries,
  type StreamEvent,
} from '../../services/sagas/complete-order/delivery.testkit.ts'
import type { System } from '../kit/system.ts'
import { urlsOf } from '../kit/urls.ts'
import type { Running } from './system.contract.ts'

const minutes = 60_000

const whole = [
  'STARTED UPDATE_ORDER_STATUS_TO_DELIVERED',
  'STARTED GET_RUNNER_PAYMENT_INFO',
  'STARTED RELEASE_FUNDS',
  'STARTED UPDATE_ORDER_STATUS_TO_COMPLETED',
  'COMPLETED UPDATE_ORDER_STATUS_TO_COMPLETED',
]

/** @param at once it runs; @param orchestrators its processes of the saga */
export function deliveriesContract(at: () => Running, orchestrators: number): void {
  describe('deliveries', () => {
    let system: System
    let processOf: Running['processOf']
    /** A runner for each process of the saga, who asks that one. */
    let runners: readonly Deliveries[]
    let runner: Deliveries

    beforeAll(() => {
      ;({ system, processOf } = at())
      runners = system
        .urls('complete-order')
        .map((url) => deliveriesOf({ urls: { ...urlsOf((service) => system.url(service)), deliveries: url } }))
      runner = runners[0] ?? expect.fail('nobody runs the saga')
    })

    /** Every state that the saga has been in: the first is that of its start, and what came since is told. */
    const told = async (sagaId: string, by = runner): Promise<readonly string[]> => [
      'STARTED UPDATE_ORDER_STATUS_TO_DELIVERED',
      ...(await by.follow(sagaId, 1)).map(shown),
    ]
    const expectPaid = async (orderId: string): Promise<void> => {
      expect(await runner.orderStatus(orderId)).toBe('COMPLETED')
      expect(await runner.payment(orderId)).toMatchObject({
        status: 'SUCCEEDED',
        amount: 12.99,
        runnerId: 'runner_123',
        transferId: expect.stringMatching(/./) as string,
      })
    }
    const expectUnpaid = async (orderId: string): Promise<void> => {
      expect(await runner.orderStatus(orderId)).toBe('ON_THE_WAY')
      expect(await runner.payment(orderId)).toMatchObject({ status: 'AUTHORIZED', transferId: null })
    }
    const carried = (count: number, customer?: string): Promise<readonly string[]> =>
      Promise.all(Array.from({ length: count }, () => runner.carried(customer)))
    const begun = (orders: readonly string[]): Promise<readonly string[]> =>
      Promise.all(orders.map((orderId) => runner.begin(orderId)))

    test(
      'an order is accepted, carried and delivered; the stream tells each change and ends, and the runner is paid',
      { timeout: 3 * minutes },
      async () => {
        const orderId = await runner.carried()
        const sagaId = await runner.begin(orderId)
        const live = (await runner.follow(sagaId)).map(shown)
        // It begins with the state at that moment, and misses nothing from there on.
        expect(live).toEqual(whole.slice(-live.length))
        expect(await told(sagaId)).toEqual(whole)
        await expectPaid(orderId)
        expect(await runner.problems()).toEqual([])
      },
    )

    test('a release that fails is undone, and the order is on its way again', { timeout: 3 * minutes }, async () => {
      const orderId = await runner.carried('cust_release_fails')
      const sagaId = await runner.begin(orderId)
      expect(await told(sagaId)).toEqual([
        ...whole.slice(0, 3),
        'COMPENSATING UPDATE_ORDER_STATUS_TO_DELIVERED',
        'COMPENSATED RELEASE_FUNDS',
      ])
      expect((await runner.follow(sagaId)).at(-1)?.data.error).toMatch(/^The runner could not be paid: /)
      await expectUnpaid(orderId)
      expect(await runner.problems()).toEqual([])
    })

    test('a second start is answered with the same saga, whoever is asked', { timeout: 3 * minutes }, async () => {
      const orderId = await runner.carried()
      const asked = await Promise.all([...runners, ...runners].map((each) => each.begin(orderId)))
      expect(new Set(asked).size).toBe(1)
      await runner.follow(asked[0] ?? '')
      for (const each of runners) expect(await each.begin(orderId)).toBe(asked[0])
      await expectPaid(orderId)
    })

    test(
      'an order that nobody knows ends FAILED, with the reason on the stream',
      { timeout: 3 * minutes },
      async () => {
        const orderId = randomUUID()
        const sagaId = await runner.begin(orderId)
        expect((await runner.follow(sagaId)).at(-1)?.data).toMatchObject({
          orderId,
          status: 'FAILED',
          error: `The order could not be set to DELIVERED: there is no order ${orderId}`,
        })
      },
    )

    test('the saga that created the order is not one to follow here', { timeout: 3 * minutes }, async () => {
      const created = await runner.start('cust_123')
      expect((await runner.follow(created)).map(({ data }) => data)).toEqual([
        { error: `There is no saga ${created}.` },
      ])
    })

    test(
      'services that die in the middle are waited for, and nobody is paid twice',
      { timeout: 4 * minutes },
      async () => {
        const [paid, unpaid] = [await carried(6), await carried(2, 'cust_release_fails')]
        const sagas = await begun([...paid, ...unpaid])
        for (const process of new Set(['order', 'user', 'payment'].map(processOf))) {
          await system.kill(process)
          system.launch(process)
        }
        await system.ready()
        const ends = await Promise.all(sagas.map(async (id) => (await told(id)).at(-1)))
        expect(ends).toEqual([
          ...paid.map(() => 'COMPLETED UPDATE_ORDER_STATUS_TO_COMPLETED'),
          ...unpaid.map(() => 'COMPENSATED RELEASE_FUNDS'),
        ])
        for (const orderId of paid) await expectPaid(orderId)
        for (const orderId of unpaid) await expectUnpaid(orderId)
        expect(await runner.problems()).toEqual([])
      },
    )

    test('the orchestrator dies in the middle and goes on where it was', { timeout: 4 * minutes }, async () => {
      const orders = await carried(6)
      const sagas = await begun(orders)
      await system.kill(processOf('complete-order'))
      await system.start(processOf('complete-order'))
      for (const id of sagas) expect(await told(id)).toEqual(whole)
      expect(await begun(orders)).toEqual(sagas)
      for (const orderId of orders) await expectPaid(orderId)
      expect(await runner.problems()).toEqual([])
    })

    if (orchestrators > 1)
      test(
        'a stream is read from a process that has not begun the saga, also when the one that has dies',
        { timeout: 4 * minutes },
        async () => {
          const other = runners[1] ?? expect.fail('there is no other process')
          const orders = await carried(4)
          const [calm, ...struck] = await begun(orders)
          expect(await told(calm ?? '', other)).toEqual(whole)
          const following = struck.map((id) => told(id, other))
          await system.kill('complete-order')
          for (const states of await Promise.all(following)) expect(states).toEqual(whole)
          await system.start('complete-order')
          for (const orderId of orders) await expectPaid(orderId)
        },
      )
  })
}

const shown = ({ data }: StreamEvent): string => `${data.status} ${data.currentStep}`
