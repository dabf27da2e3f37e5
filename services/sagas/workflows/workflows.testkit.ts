/** For tests of sagas on Temporal: our services, worker and trigger in this process, with wires between worker and services. */
import type { Client, WorkflowExecutionDescription } from '@temporalio/client'
import { pino } from 'pino'
import { expect, vi } from 'vitest'
import { orderReader } from '../../order/reader.ts'
import type { OpenService } from '../../shared/service.ts'
import { call, type Answered } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { openAcceptOrderTrigger } from '../accept-order-workflow/trigger.ts'
import { openAcceptOrderWorker } from '../accept-order-workflow/worker.ts'
import { deliveriesOf, type Deliveries } from '../complete-order/delivery.testkit.ts'
import { openCompleteOrderTrigger } from '../complete-order-workflow/trigger.ts'
import { openCompleteOrderWorker } from '../complete-order-workflow/worker.ts'
import type { TemporalTarget } from './temporal.ts'
import { wireTo, type Wire } from './wire.testkit.ts'

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

const at = ({ order, user, payment, timer }: Urls) => ({
  order: () => order,
  user: () => user,
  payment: () => payment,
  timer: () => timer,
})

/** How long what runs on a busy machine is waited for. */
const patience = { timeout: 60_000, interval: 50 }

export const until = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, patience)

/** One that works once Temporal is there. */
export async function waitingWorker(temporal: TemporalTarget, urls: Urls): Promise<OpenService> {
  const worker = await openCompleteOrderWorker({ ...here, ...at(urls), temporal })
  worker.begin()
  return worker
}

async function working(worker: OpenService): Promise<OpenService> {
  worker.begin()
  await until(async () => expect((await call('GET', `${worker.url}/health/ready`)).status).toBe(200))
  return worker
}

/** @param only for tests: which activities it leaves to others */
export const completeOrderWorker = async (
  temporal: TemporalTarget,
  urls: Urls,
  only?: { readonly enableNonLocalActivities: boolean },
): Promise<OpenService> =>
  working(await openCompleteOrderWorker({ ...here, ...at(urls), temporal, ...(only === undefined ? {} : { only }) }))

export const acceptOrderWorker = async (temporal: TemporalTarget, urls: Urls): Promise<OpenService> =>
  working(await openAcceptOrderWorker({ ...here, ...at(urls), temporal }))

export const completeOrderTrigger = (temporal: TemporalTarget, order: string): Promise<OpenService> =>
  openCompleteOrderTrigger({ ...here, temporal, orders: orderReader(() => order) })

export const acceptOrderTrigger = (temporal: TemporalTarget, order: string): Promise<OpenService> =>
  openAcceptOrderTrigger({ ...here, temporal, orders: orderReader(() => order) })

export const completeOrderId = (orderId: string): string => `complete-order-workflow-${orderId}`

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
