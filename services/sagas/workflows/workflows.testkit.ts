/** For tests of sagas on Temporal: our services, worker and trigger in this process, with wires between worker and services. */
import { cpSync } from 'node:fs'
import type { Client, WorkflowExecutionDescription } from '@temporalio/client'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest'
import { auditServices, type Finding } from '../../../tests/kit/auditor.ts'
import { readWorkflows } from '../../../tests/kit/workflow-sagas.ts'
import { orderReader } from '../../order/reader.ts'
import type { OpenService } from '../../shared/service.ts'
import { newFolder } from '../../shared/testing/ask.ts'
import { call, type Answered } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { acceptOrderNames } from '../accept-order-workflow/saga.ts'
import { acceptOrderActivities } from '../accept-order-workflow/activities.ts'
import { openAcceptOrderTrigger } from '../accept-order-workflow/trigger.ts'
import { openAcceptOrderWorker } from '../accept-order-workflow/worker.ts'
import { deliveriesOf, type Deliveries } from '../complete-order/delivery.testkit.ts'
import { completeOrderNames } from '../complete-order-workflow/saga.ts'
import { completeOrderActivities } from '../complete-order-workflow/activities.ts'
import { openCompleteOrderTrigger } from '../complete-order-workflow/trigger.ts'
import { openCompleteOrderWorker } from '../complete-order-workflow/worker.ts'
import { freshNamespace, type Namespace } from './namespace.testkit.ts'
import type { WorkflowNames } from './starting.ts'
import type { TemporalTarget } from './temporal.ts'
import { wireTo, type Wire } from './wire.testkit.ts'
import { openWorker } from './worker.ts'

export const runner = 'runner_123'
export const otherRunner = 'runner_456'

export type Wired = 'order' | 'user' | 'payment' | 'timer'

export interface Place {
  readonly embedded: Embedded
  readonly shop: Deliveries
  readonly wires: Readonly<Record<Wired, Wire>>
  close(): Promise<void>
}

/** Our services, with a wire to each. */
export async function startPlace(): Promise<Place> {
  const embedded = await startEmbedded()
  const wires = {
    order: await wireTo(embedded.urls.order),
    user: await wireTo(embedded.urls.user),
    payment: await wireTo(embedded.urls.payment),
    timer: await wireTo(embedded.urls.timer),
  }
  return {
    embedded,
    shop: deliveriesOf(embedded),
    wires,
    async close() {
      for (const wire of Object.values(wires)) await wire.close()
      await embedded.close()
    },
  }
}

type Urls = Readonly<Record<Wired, string>>

export const wiredUrls = ({ wires }: Place): Urls => ({
  order: wires.order.url,
  user: wires.user.url,
  payment: wires.payment.url,
  timer: wires.timer.url,
})

const here = { host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) }

const addressesOf = ({ order, user, payment, timer }: Urls) => ({
  order: () => order,
  user: () => user,
  payment: () => payment,
  timer: () => timer,
})

/** How long what runs on a busy machine is waited for. */
const patience = { timeout: 120_000, interval: 50 }

export const until = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, patience)

async function begun(worker: OpenService): Promise<OpenService> {
  worker.begin()
  return worker
}

/** Workers that work once Temporal is there. */
export const waitingWorkers = (temporal: TemporalTarget, urls: Urls): Promise<readonly OpenService[]> =>
  Promise.all(
    [openCompleteOrderWorker, openAcceptOrderWorker].map(async (open) =>
      begun(await open({ ...here, ...addressesOf(urls), temporal })),
    ),
  )

export const works = (worker: OpenService): Promise<void> =>
  until(async () => expect((await call('GET', `${worker.url}/health/ready`)).status).toBe(200))

async function working(worker: OpenService): Promise<OpenService> {
  await begun(worker)
  await works(worker)
  return worker
}

/** @param only for tests: which activities it leaves to others */
export const completeOrderWorker = async (
  temporal: TemporalTarget,
  urls: Urls,
  only?: { readonly enableNonLocalActivities: boolean },
): Promise<OpenService> =>
  working(
    await openCompleteOrderWorker({ ...here, ...addressesOf(urls), temporal, ...(only === undefined ? {} : { only }) }),
  )

export const acceptOrderWorker = async (temporal: TemporalTarget, urls: Urls): Promise<OpenService> =>
  working(await openAcceptOrderWorker({ ...here, ...addressesOf(urls), temporal }))

/** Workers of both sagas, which ask for a person after seconds. */
export async function hastyWorkers(temporal: TemporalTarget, urls: Urls): Promise<readonly OpenService[]> {
  const addresses = addressesOf(urls)
  const workflows = new URL('./hasty-workflows.testkit.ts', import.meta.url)
  const activities = { ...completeOrderActivities(addresses), ...acceptOrderActivities(addresses) }
  const about = { name: 'hasty', title: 'Hasty', description: '', portVariable: 'PORT', workflows, activities }
  return Promise.all(
    [completeOrderNames, acceptOrderNames].map(async ({ taskQueue }) =>
      working(await openWorker({ ...here, temporal }, { ...about, taskQueue })),
    ),
  )
}

export const completeOrderTrigger = (temporal: TemporalTarget, order: string): Promise<OpenService> =>
  openCompleteOrderTrigger({ ...here, temporal, orders: orderReader(() => order) })

export const acceptOrderTrigger = (temporal: TemporalTarget, order: string): Promise<OpenService> =>
  openAcceptOrderTrigger({ ...here, temporal, orders: orderReader(() => order) })

export const completeOrderId = completeOrderNames.idOf

/** As a runner's app does. */
export const accept = ({ url }: OpenService, order_id: string, runner_id = runner): Promise<Answered> =>
  call('POST', `${url}/acceptOrder`, { json: { order_id, runner_id } })

/** As a runner's app does. */
export const trigger = ({ url }: OpenService, order_id: string, runner_id = runner): Promise<Answered> =>
  call('POST', `${url}/triggerCompleteOrderWorkflow`, { json: { order_id, runner_id } })

/** What a workflow returned, or the reason of its failure. */
export async function endOf(client: Client, workflowId: string, runId?: string): Promise<unknown> {
  const handle = client.workflow.getHandle(workflowId, runId)
  try {
    return await handle.result()
  } catch (error) {
    const { cause, message } = error as Error
    return {
      failed: cause instanceof Error ? cause.message : message,
      type: (cause as { type?: string })?.type ?? null,
    }
  }
}

const described = (client: Client, workflowId: string): Promise<WorkflowExecutionDescription> =>
  client.workflow.getHandle(workflowId).describe()

/** As Temporal's own list has it. */
export const statusOf = async (client: Client, workflowId: string): Promise<string> =>
  (await described(client, workflowId)).status.name

interface Closed {
  close(): Promise<void>
}

/** What a suite opens, to be closed the other way round. */
export function opening() {
  const opened: Closed[] = []
  return {
    async kept<T extends Closed>(one: Promise<T>): Promise<T> {
      const open = await one
      opened.push(open)
      return open
    },
    async closeAll(): Promise<void> {
      for (const each of opened.splice(0).toReversed()) await each.close()
    },
  }
}

/** An order that waits for a runner, with the timer that would cancel it. */
export async function placed({ shop }: Place): Promise<string> {
  const { order_id } = await shop.sagaIn('COMPLETED', await shop.start('cust_123'))
  return order_id ?? ''
}

/** Its status, and who has it. */
export async function orderOf({ embedded }: Place, orderId: string): Promise<readonly [string, string | null]> {
  const { body } = await call('GET', `${embedded.urls.order}/getOrderDetails?orderId=${orderId}`)
  const { orderStatus, runnerId } = body as { readonly orderStatus: string; readonly runnerId: string | null }
  return [orderStatus, runnerId]
}

/** What an audit finds of all that ran here: on a copy of the files, since the services go on. Workers must be there to tell. */
export async function audited({ embedded }: Place, client: Client): Promise<Finding> {
  const folder = newFolder()
  cpSync(embedded.folder, folder, { recursive: true })
  return auditServices(
    { kind: 'sqlite', folder },
    {
      deliveries: await readWorkflows(client, completeOrderNames.workflowType),
      acceptances: await readWorkflows(client, acceptOrderNames.workflowType),
    },
  )
}

export interface WorkflowSuite {
  readonly place: Place
  readonly space: Namespace
  readonly worker: OpenService
  readonly entry: OpenService
  /** What the workflow of an order returned, or the reason of its failure. */
  ended(orderId: string): Promise<unknown>
  /** As Temporal's own list has the workflow of an order. */
  listed(orderId: string): Promise<string>
  cancel(orderId: string): Promise<unknown>
}

/** What a suite of one saga runs on: our services, a namespace of its own, a worker and a trigger. Wires are mended after each test. */
export function workflowSuite(
  address: string,
  names: WorkflowNames,
  openWorker: typeof acceptOrderWorker,
  openTrigger: typeof acceptOrderTrigger,
): WorkflowSuite {
  const { kept, closeAll } = opening()
  let parts: Pick<WorkflowSuite, 'place' | 'space' | 'worker' | 'entry'> | null = null
  const opened = (): NonNullable<typeof parts> => {
    if (parts === null) throw new Error('the suite has not begun')
    return parts
  }
  beforeAll(async () => {
    const [place, space] = [await kept(startPlace()), await kept(freshNamespace(address))]
    const worker = await kept(openWorker(space.target, wiredUrls(place)))
    const entry = await kept(openTrigger(space.target, place.embedded.urls.order))
    parts = { place, space, worker, entry }
  })
  afterAll(closeAll)
  afterEach(() => {
    for (const wire of Object.values(opened().place.wires)) wire.rule(() => 'through')
  })
  return {
    get place() {
      return opened().place
    },
    get space() {
      return opened().space
    },
    get worker() {
      return opened().worker
    },
    get entry() {
      return opened().entry
    },
    ended: (orderId) => endOf(opened().space.client, names.idOf(orderId)),
    listed: (orderId) => statusOf(opened().space.client, names.idOf(orderId)),
    cancel: (orderId) => opened().space.client.workflow.getHandle(names.idOf(orderId)).cancel(),
  }
}
