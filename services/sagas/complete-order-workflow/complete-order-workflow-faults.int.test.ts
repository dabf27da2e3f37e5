/**
 * Complete Order where workers and Temporal's server die: each order ends, nobody is paid twice, and payments, books and orders agree.
 */
import { fileURLToPath } from 'node:url'
import { Client, Connection } from '@temporalio/client'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startChild, type Child } from '../../../tests/kit/child.ts'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { installedPart, startPrivatePart, type PrivatePart } from '../../../tests/kit/private-part.ts'
import type { OpenService } from '../../shared/service.ts'
import { newFolder } from '../../shared/testing/ask.ts'
import { call } from '../../shared/testing/call.ts'
import type { TemporalTarget } from '../workflows/temporal.ts'
import type { Passed } from '../workflows/wire.testkit.ts'
import {
  completeOrderId,
  completeOrderTrigger,
  completeOrderWorker,
  endOf,
  opening,
  otherRunner,
  runner,
  startPlace,
  trigger,
  until,
  waitingWorker,
  wiredUrls,
  type Place,
} from '../workflows/workflows.testkit.ts'

const main = fileURLToPath(new URL('../../app/main.ts', import.meta.url))

suiteOn('Temporal', await installedPart('temporal'), 'Complete Order where workers and servers die', () => {
  const { kept, closeAll } = opening()
  let place: Place
  let server: PrivatePart
  let entry: OpenService
  let client: Client
  let temporal: TemporalTarget

  beforeAll(async () => {
    place = await kept(startPlace())
    server = await startPrivatePart('temporal')
    temporal = { address: server.url, namespace: 'default' }
    entry = await kept(completeOrderTrigger(temporal, place.embedded.urls.order))
    client = new Client({ connection: Connection.lazy({ address: server.url }) })
  })
  afterAll(async () => {
    await closeAll()
    await client.connection.close()
    await server.remove()
  })
  afterEach(() => {
    for (const wire of Object.values(place.wires)) wire.rule(() => 'through')
  })

  /** A worker in a process of its own. */
  async function workerProcess(): Promise<Child> {
    const { order, user, payment } = wiredUrls(place)
    const lines: string[] = []
    const child = startChild(
      main,
      ['complete-order-worker'],
      {
        TEMPORAL_GRPC_ENDPOINT: server.url,
        COMPLETE_ORDER_WORKER_PORT: '0',
        ORDERSAGA_DIR: newFolder(),
        ORDER_SERVICE_URL: order,
        USER_SERVICE_URL: user,
        PAYMENT_SERVICE_URL: payment,
      },
      (line) => void lines.push(line),
    )
    onTestFinished(() => child.kill())
    await until(() => expect(lines.join('\n'), child.tail()).toContain('ready: workflows are taken'))
    return child
  }

  interface Carried {
    readonly orderId: string
    readonly paymentId: string
    readonly carriedBy: string
  }

  async function carried(customer = 'cust_123', carriedBy = runner): Promise<Carried> {
    const orderId = await place.shop.carried(customer, carriedBy)
    const { paymentId } = (await place.shop.payment(orderId)) as unknown as { readonly paymentId: string }
    return { orderId, paymentId, carriedBy }
  }
  async function begun(order: Carried): Promise<void> {
    const { status, text } = await trigger(entry, order.orderId, order.carriedBy)
    expect([status, text]).toEqual([200, expect.stringContaining('Workflow triggered')])
  }
  const ended = ({ orderId }: Carried): Promise<unknown> => endOf(client, completeOrderId(orderId))
  const standing = async ({ orderId }: Carried): Promise<readonly string[]> => [
    await place.shop.orderStatus(orderId),
    (await place.shop.payment(orderId)).status,
  ]
  /** The keys of the changes that were asked for; the same one for each, however often. */
  const keysOf = (paymentId: string, what: string): number =>
    new Set(
      place.wires.payment.passed.filter(({ path }) => path === `/payment/${paymentId}/${what}`).map(({ key }) => key),
    ).size
  async function allPaid(orders: readonly Carried[]): Promise<void> {
    for (const order of orders) {
      expect(await ended(order)).toBe('Order Completed')
      expect([...(await standing(order)), keysOf(order.paymentId, 'release')]).toEqual(['COMPLETED', 'SUCCEEDED', 1])
    }
    expect(await place.shop.problems()).toEqual([])
  }

  type Step = (order: Carried) => (call: Passed) => boolean
  const status =
    (next: string, undo = false): Step =>
    ({ orderId }) =>
    ({ path, body, undoes }) =>
      path === '/updateOrderStatus' && body.includes(orderId) && body.includes(next) && (undoes !== null) === undo
  const post =
    (what: string): Step =>
    ({ paymentId }) =>
    ({ path }) =>
      path === `/payment/${paymentId}/${what}`
  const steps: Readonly<Record<string, Step>> = {
    verify:
      ({ orderId }) =>
      ({ method, path }) =>
        method === 'GET' && path.includes(orderId),
    deliver: status('DELIVERED'),
    connect:
      ({ carriedBy }) =>
      ({ path }) =>
        path === `/api/user/${carriedBy}/connect-account`,
    payment:
      ({ orderId }) =>
      ({ path }) =>
        path === `/payment/${orderId}/status`,
    release: post('release'),
    complete: status('COMPLETED'),
    revert: post('revert'),
    back: status('ON_THE_WAY', true),
  }
  const fails = new Set(['revert', 'back'])
  const reads = new Set(['verify', 'connect', 'payment'])

  test('a worker killed at every step, before and after its effect: another goes on, and nothing is done twice', async () => {
    const first = await workerProcess()
    const points = Object.keys(steps).flatMap((step) =>
      (reads.has(step) ? (['held before'] as const) : (['held before', 'held after'] as const)).map((fate) => ({
        step,
        fate,
      })),
    )
    const held = new Set<object>()
    const orders = await Promise.all(
      points.map(async (point) => ({
        point,
        // What asks about a runner does not name the order.
        ...(await carried(
          fails.has(point.step) ? 'cust_release_fails' : 'cust_123',
          point.step === 'connect' ? otherRunner : runner,
        )),
      })),
    )
    for (const wire of Object.values(place.wires))
      wire.rule((asked) => {
        const order = orders.find((each) => !held.has(each.point) && steps[each.point.step]?.(each)(asked) === true)
        if (order === undefined) return 'through'
        held.add(order.point)
        return order.point.fate
      })
    for (const order of orders) await begun(order)
    await until(() =>
      expect([...held].map((point) => JSON.stringify(point)).toSorted(), first.tail()).toEqual(
        points.map((point) => JSON.stringify(point)).toSorted(),
      ),
    )
    await first.kill()
    await workerProcess()
    for (const order of orders) {
      const undone = fails.has(order.point.step)
      expect([order.point, await ended(order)]).toEqual([
        order.point,
        undone
          ? { type: 'COMPENSATED', failed: expect.stringContaining('not activated') as unknown }
          : 'Order Completed',
      ])
      expect([order.point, ...(await standing(order)), keysOf(order.paymentId, 'release')]).toEqual([
        order.point,
        ...(undone ? ['ON_THE_WAY', 'REVERTED'] : ['COMPLETED', 'SUCCEEDED']),
        1,
      ])
    }
    expect(await place.shop.problems()).toEqual([])
  }, 180_000)

  test("Temporal's server killed in the middle, and started again on its file: workflows and workers go on by themselves", async () => {
    const worker = await completeOrderWorker(temporal, wiredUrls(place))
    onTestFinished(() => worker.close())
    const orders = await Promise.all([1, 2, 3, 4, 5].map(() => carried()))
    const at = ['deliver', 'payment', 'release', 'complete'] as const
    const seen = new Set<string>()
    for (const wire of Object.values(place.wires))
      wire.rule((asked) => {
        const index = at.findIndex((step, number) => steps[step]?.(orders[number] as Carried)(asked) === true)
        if (index < 0) return 'through'
        seen.add(at[index] as string)
        return 'away'
      })
    for (const order of orders) await begun(order)
    await until(() => expect(seen.size).toBe(at.length))
    await server.kill()
    const refused = await trigger(entry, orders[0]?.orderId ?? '')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([500, '2'])
    for (const wire of Object.values(place.wires)) wire.rule(() => 'through')
    await server.start()
    await allPaid(orders)
    const later = await carried()
    await until(async () => expect((await trigger(entry, later.orderId)).status).toBe(200))
    await allPaid([later])
  }, 180_000)

  test('no server at the start of worker and trigger: they wait for it, and serve once it is there', async () => {
    await server.kill()
    const worker = await waitingWorker(temporal, wiredUrls(place))
    onTestFinished(() => worker.close())
    const early = await completeOrderTrigger(temporal, place.embedded.urls.order)
    onTestFinished(() => early.close())
    const order = await carried()
    const health = async (what: string) => (await call('GET', `${worker.url}/health/${what}`)).status
    expect([await health('live'), await health('ready')]).toEqual([200, 503])
    expect((await trigger(early, order.orderId)).status).toBe(500)
    await server.start()
    await until(async () => expect(await health('ready')).toBe(200))
    await until(async () => expect((await trigger(early, order.orderId)).status).toBe(200))
    await allPaid([order])
  }, 180_000)

  test('two workers, the answer to every change lost once after its effect: each order is paid once', async () => {
    const [one, other] = await Promise.all([1, 2].map(() => completeOrderWorker(temporal, wiredUrls(place))))
    onTestFinished(() => other?.close())
    const lost = new Set<string>()
    for (const wire of Object.values(place.wires))
      wire.rule(({ method, path, key, body }) => {
        const change = `${path} ${key} ${body}`
        if (method === 'GET' || lost.has(change)) return 'through'
        lost.add(change)
        return 'lost'
      })
    const orders = await Promise.all(Array.from({ length: 12 }, () => carried()))
    await Promise.all(orders.map(begun))
    await one?.close()
    await allPaid(orders)
    expect(lost.size).toBe(3 * orders.length)
  }, 180_000)
})
