/** Complete Order among programs of others (docs/wire-contract.md 3.2, 3.3): their client, their worker, their activities, their services. */
import { fileURLToPath } from 'node:url'
import { ApplicationFailure } from '@temporalio/activity'
import { NativeConnection, Worker } from '@temporalio/worker'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { suiteOn, temporalAddress } from '../../../tests/kit/parts.ts'
import type { OpenService } from '../../shared/service.ts'
import { call } from '../../shared/testing/call.ts'
import { freshNamespace, type Namespace } from '../workflows/namespace.testkit.ts'
import {
  completeOrderId,
  completeOrderTrigger,
  completeOrderWorker,
  endOf,
  opening,
  statusOf,
  trigger,
  until,
} from '../workflows/workflows.testkit.ts'
import { foreignServices, type ForeignServices } from './foreign-services.testkit.ts'

const queue = 'complete-order-queue'
const workflowType = 'CompleteOrderWorkflow'
/** What the original's frontend sends. */
const argument = { order_id: 'order_1', clerk_user_id: 'runner_1' }

suiteOn('Temporal', await temporalAddress(), 'Complete Order among programs of others', (address) => {
  /** Each test has a namespace of its own, and they mostly wait: they go side by side. What one opens ends with it. */
  function opened({ onTestFinished }: TestContext) {
    const { kept, closeAll } = opening()
    onTestFinished(closeAll)
    return {
      space: (): Promise<Namespace> => kept(freshNamespace(address)),
      services: (): Promise<ForeignServices> => kept(foreignServices()),
      trigger: ({ target }: Namespace, served: ForeignServices): Promise<OpenService> =>
        kept(completeOrderTrigger(target, served.url)),
      ours: ({ target }: Namespace, served: ForeignServices, only?: { readonly enableNonLocalActivities: boolean }) =>
        kept(completeOrderWorker(target, everywhere(served), only)),
      /** A worker as anybody writes one. */
      async theirs({ target }: Namespace, parts: { activities?: object; workflowsPath?: string }): Promise<void> {
        const connection = await NativeConnection.connect({ address: target.address })
        const worker = await Worker.create({ connection, namespace: target.namespace, taskQueue: queue, ...parts })
        const running = worker.run()
        onTestFinished(async () => {
          worker.shutdown()
          await running
          await connection.close()
        })
      },
    }
  }
  const everywhere = ({ url }: ForeignServices) => ({ order: url, user: url, payment: url, timer: url })

  const start = ({ client }: Namespace, workflowId: string, args: unknown[]) =>
    client.workflow.start(workflowType, { workflowId, taskQueue: queue, args })

  describe('their client, our worker', () => {
    const { kept, closeAll } = opening()
    let space: Namespace
    let served: ForeignServices
    beforeAll(async () => {
      space = await kept(freshNamespace(address))
      served = await kept(foreignServices())
      await kept(completeOrderWorker(space.target, everywhere(served)))
    })
    afterAll(closeAll)

    test("the original's argument gives the original's result", async () => {
      served.payment.status = 'SUCCEEDED'
      const handle = await start(space, completeOrderId('order_1'), [argument])
      expect(await handle.result()).toBe('Order Completed')
      expect(served.order.status).toBe('COMPLETED')
    })

    test.each([
      ['nothing', []],
      ['null', [null]],
      ['a number', [7]],
      ['a text', ['order_1']],
      ['a list', [[argument]]],
      ['no order', [{ clerk_user_id: 'runner_1' }]],
      ['an order that is no text', [{ order_id: 7, clerk_user_id: 'runner_1' }]],
      ['no runner', [{ order_id: 'order_1' }]],
      ['two runners', [{ ...argument, runner_id: 'runner_2' }]],
      ['what looks like a run that goes on', [{ carried: null, structure: 'x', ...argument, order_id: 7 }]],
    ])('%s as its argument fails the workflow at once, with a sentence', async (what, args) => {
      const handle = await start(space, `garbage ${what}`, args)
      expect(await endOf(space.client, handle.workflowId)).toEqual({
        type: 'invalid_input',
        failed: expect.stringMatching(/^The workflow's arguments do not fit complete-order-workflow: ./) as unknown,
      })
    })
  })

  test.concurrent(
    'our trigger, their worker: it starts the workflow that they have, and tells how it stands',
    async (context) => {
      const { space: open, services, theirs, trigger: triggerTo } = opened(context)
      const space = await open()
      const served = await services()
      await theirs(space, { workflowsPath: fileURLToPath(import.meta.resolve('./foreign-workflows.testkit.ts')) })
      const entry = await triggerTo(space, served)
      const standing = async () =>
        (await call('GET', `${entry.url}/triggerCompleteOrderWorkflow/order_1`)).body as { readonly status: string }
      const again = () => trigger(entry, 'order_1', 'runner_1')
      const handle = space.client.workflow.getHandle(completeOrderId('order_1'))

      const first = await again()
      expect([first.status, first.body]).toEqual([
        200,
        { message: 'Workflow triggered', workflow_id: completeOrderId('order_1') },
      ])
      expect(await standing()).toMatchObject({ status: 'RUNNING', runner_id: 'runner_1' })
      expect((await again()).body).toMatchObject({ message: 'Workflow triggered before: it is RUNNING' })
      await handle.signal('end', 'badly')
      await until(async () => expect((await standing()).status).toBe('FAILED'))
      expect((await again()).body).toMatchObject({ message: 'Workflow triggered' })
      await handle.signal('end', 'nothing')
      await until(async () => expect((await standing()).status).toBe('COMPLETED'))
      expect((await again()).body).toMatchObject({ message: 'Workflow triggered' })
      await handle.signal('end', 'Order Completed')
      expect(await endOf(space.client, handle.workflowId)).toBe('Order Completed')
      expect((await again()).body).toMatchObject({ message: 'Workflow triggered before: it is COMPLETED' })
      const input = (await handle.fetchHistory()).events?.[0]?.workflowExecutionStartedEventAttributes?.input
      expect(JSON.parse(String(input?.payloads?.[0]?.data))).toEqual({ order_id: 'order_1', runner_id: 'runner_1' })
      expect(input?.payloads).toHaveLength(1)
    },
  )

  test.concurrent(
    'our trigger, a workflow that somebody else has started: it is theirs, and no second one is started',
    async (context) => {
      const { space: open, services, trigger: triggerTo } = opened(context)
      const space = await open()
      const served = await services()
      const entry = await triggerTo(space, served)
      await start(space, completeOrderId('order_1'), [argument])
      expect((await trigger(entry, 'order_1', 'runner_1')).body).toEqual({
        message: 'Workflow triggered before: it is RUNNING',
        workflow_id: completeOrderId('order_1'),
      })
    },
  )

  describe.concurrent('our workflow, their activities', () => {
    type Says = (...args: readonly string[]) => unknown

    /** What an activity of theirs was asked for, with its arguments by their places. */
    async function completed(context: TestContext, says: Readonly<Record<string, Says>>) {
      const { space: open, services, theirs, ours } = opened(context)
      const space = await open()
      const served = await services()
      const asked: (readonly string[])[] = []
      const usual: Readonly<Record<string, Says>> = {
        update_order_status: () => true,
        get_user_stripe_connect: () => 'acct_1',
        get_payment_status: () => 'pay_1',
        release_funds: () => true,
        rollback_release_funds: () => true,
      }
      const activities = Object.fromEntries(
        Object.entries({ ...usual, ...says }).map(([name, say]) => [
          name,
          async (...args: readonly string[]) => {
            asked.push([name, ...args])
            return say(...args)
          },
        ]),
      )
      await theirs(space, { activities })
      await ours(space, served, { enableNonLocalActivities: false })
      const { workflowId } = await start(space, completeOrderId('order_1'), [argument])
      return { space, workflowId, asked, ended: () => endOf(space.client, workflowId) }
    }

    const delivered = ['update_order_status', 'order_1', 'DELIVERED']
    const connect = ['get_user_stripe_connect', 'runner_1']
    const payment = ['get_payment_status', 'order_1']
    const release = ['release_funds', 'pay_1', 'runner_1', 'acct_1']
    const rollback = ['rollback_release_funds', 'pay_1']
    const back = ['update_order_status', 'order_1', 'ON_THE_WAY']
    const complete = ['update_order_status', 'order_1', 'COMPLETED']

    test.concurrent('all goes well', async (context) => {
      const { asked, ended } = await completed(context, {})
      expect(await ended()).toBe('Order Completed')
      expect(asked).toEqual([delivered, connect, payment, release, complete])
    })

    test.concurrent(
      'an empty object for the account: nothing is released, and the order goes back',
      async (context) => {
        const { asked, ended } = await completed(context, { get_user_stripe_connect: () => ({}) })
        expect(await ended()).toMatchObject({ type: 'COMPENSATED' })
        expect(asked).toEqual([delivered, connect, back])
      },
    )

    test.concurrent('null for the payment: nothing is released, and the order goes back', async (context) => {
      const { asked, ended } = await completed(context, { get_payment_status: () => null })
      expect(await ended()).toMatchObject({
        failed: 'complete-order-workflow COMPENSATED after step payment: the order has no payment',
      })
      expect(asked).toEqual([delivered, connect, payment, back])
    })

    test.concurrent('false for the release: it is rolled back, and the order goes back', async (context) => {
      const { asked, ended } = await completed(context, { release_funds: () => false })
      expect(await ended()).toMatchObject({
        failed: 'complete-order-workflow COMPENSATED after step release: it said false',
      })
      expect(asked).toEqual([delivered, connect, payment, release, rollback, back])
    })

    test.concurrent('one that raises is asked again, as is the last status where it is refused', async (context) => {
      const times: Record<string, number> = {}
      const { asked, ended } = await completed(context, {
        update_order_status(_order, status = '') {
          times[status] = (times[status] ?? 0) + 1
          if (status === 'DELIVERED' && times[status] === 1) throw new Error('the Order Service is busy')
          return status !== 'COMPLETED' || times[status] > 1
        },
      })
      expect(await ended()).toBe('Order Completed')
      expect(asked).toEqual([delivered, delivered, connect, payment, release, complete, complete])
    })

    test.concurrent('one that fails for good has refused, with its own words', async (context) => {
      const { asked, ended } = await completed(context, {
        get_user_stripe_connect() {
          throw ApplicationFailure.nonRetryable('no such runner', 'NotFound')
        },
      })
      expect(await ended()).toMatchObject({
        failed: 'complete-order-workflow COMPENSATED after step connect: no such runner',
      })
      expect(asked).toEqual([delivered, connect, back])
    })

    test.concurrent(
      'false for the rollback: it is asked for again until it is done, and only then the order goes back',
      async (context) => {
        let times = 0
        const { asked, ended } = await completed(context, {
          release_funds: () => false,
          rollback_release_funds: () => (times += 1) > 2,
        })
        expect(await ended()).toMatchObject({ type: 'COMPENSATED' })
        expect(asked).toEqual([delivered, connect, payment, release, rollback, rollback, rollback, back])
      },
    )
  })

  describe.concurrent('our worker, a payment service that only queues', () => {
    async function begun(context: TestContext) {
      const { space: open, services, ours } = opened(context)
      const space = await open()
      const served = await services()
      await ours(space, served)
      const { workflowId } = await start(space, completeOrderId('order_1'), [argument])
      await until(() => expect(served.asked).toContain('release'))
      return { ...served, workflowId, space, ended: () => endOf(space.client, workflowId) }
    }
    const releases = (asked: readonly string[]): number => asked.filter((what) => what === 'release').length

    test.concurrent(
      'the order is completed once the money has moved, however often that must be asked for, and not before',
      async (context) => {
        const { order, payment, asked, space, workflowId, ended } = await begun(context)
        await until(() => expect(releases(asked)).toBe(2))
        expect([await statusOf(space.client, workflowId), order.status]).toEqual(['RUNNING', 'DELIVERED'])
        payment.status = 'SUCCEEDED'
        expect(await ended()).toBe('Order Completed')
        expect([order.status, releases(asked)]).toEqual(['COMPLETED', 2])
      },
    )

    test.concurrent('money that could not be moved is given back, and the order goes back', async (context) => {
      const { order, payment, asked, ended } = await begun(context)
      payment.status = 'FAILED'
      await until(() => expect(asked).toContain('revert'))
      expect(order.status).toBe('DELIVERED')
      payment.status = 'REVERTED'
      expect(await ended()).toMatchObject({
        failed: 'complete-order-workflow COMPENSATED after step release: the payment is FAILED',
      })
      expect(asked).toEqual(['DELIVERED', 'release', 'revert', 'ON_THE_WAY'])
    })
  })
})
