/** For tests of sagas on Temporal where something fails: orders that go through one of them, and its steps as wires see them. */
import { expect } from 'vitest'
import type { OpenService } from '../../shared/service.ts'
import type { Answered } from '../../shared/testing/call.ts'
import { accepted, acceptOrderNames } from '../accept-order-workflow/saga.ts'
import { completeOrderNames } from '../complete-order-workflow/saga.ts'
import type { WorkflowNames } from './starting.ts'
import type { TemporalTarget } from './temporal.ts'
import type { Fate, Passed } from './wire.testkit.ts'
import {
  accept,
  acceptOrderTrigger,
  completeOrderTrigger,
  endOf,
  orderOf,
  placed,
  runner,
  trigger,
  type Place,
} from './workflows.testkit.ts'
import type { Client } from '@temporalio/client'

export type SagaName = 'complete' | 'accept'

export const sagaNames: Readonly<Record<SagaName, WorkflowNames>> = {
  complete: completeOrderNames,
  accept: acceptOrderNames,
}

/** One order that goes through one of the sagas. */
export interface Run {
  readonly saga: SagaName
  readonly orderId: string
  /** Empty where the saga has nothing to do with it. */
  readonly paymentId: string
  readonly runnerId: string
  /** Its last step but the undo is refused: the release by the gateway, the timer by its wire. */
  readonly isUndone: boolean
}

export async function runOf(place: Place, saga: SagaName, isUndone = false, runnerId = runner): Promise<Run> {
  if (saga === 'accept') return { saga, orderId: await placed(place), paymentId: '', runnerId, isUndone }
  const orderId = await place.shop.carried(isUndone ? 'cust_release_fails' : 'cust_123', runnerId)
  const { paymentId } = (await place.shop.payment(orderId)) as unknown as { readonly paymentId: string }
  return { saga, orderId, paymentId, runnerId, isUndone }
}

export type Triggers = Readonly<Record<SagaName, OpenService>>

export const openTriggers = async (temporal: TemporalTarget, { embedded }: Place): Promise<Triggers> => ({
  complete: await completeOrderTrigger(temporal, embedded.urls.order),
  accept: await acceptOrderTrigger(temporal, embedded.urls.order),
})

export const asked = (triggers: Triggers, { saga, orderId, runnerId }: Run): Promise<Answered> =>
  (saga === 'complete' ? trigger : accept)(triggers[saga], orderId, runnerId)

export async function begin(triggers: Triggers, runs: readonly Run[]): Promise<void> {
  for (const run of runs) {
    const { status, text } = await asked(triggers, run)
    expect([status, text]).toEqual([200, expect.stringContaining('"Workflow triggered"')])
  }
}

type Step = (run: Run) => (call: Passed) => boolean

const post =
  (path: (run: Run) => string): Step =>
  (run) =>
  ({ method, path: called, body }) =>
    method === 'POST' && called === path(run) && (run.saga === 'complete' || body.includes(run.orderId))

const status =
  (next: string, undo = false): Step =>
  ({ orderId }) =>
  ({ path, body, undoes }) =>
    path === '/updateOrderStatus' && body.includes(orderId) && body.includes(next) && (undoes !== null) === undo

const get =
  (path: (run: Run) => string): Step =>
  (run) =>
  ({ method, path: called }) =>
    method === 'GET' && called === path(run)

/** What a wire sees of each step; reads leave nothing, and undos come where the run is undone. */
export const steps: Readonly<
  Record<SagaName, readonly { readonly name: string; readonly kind: 'read' | 'change' | 'undo'; readonly is: Step }[]>
> = {
  complete: [
    { name: 'verify', kind: 'read', is: get(({ orderId }) => `/getOrderDetails?orderId=${orderId}`) },
    { name: 'deliver', kind: 'change', is: status('DELIVERED') },
    { name: 'connect', kind: 'read', is: get(({ runnerId }) => `/api/user/${runnerId}/connect-account`) },
    { name: 'payment', kind: 'read', is: get(({ orderId }) => `/payment/${orderId}/status`) },
    { name: 'release', kind: 'change', is: post(({ paymentId }) => `/payment/${paymentId}/release`) },
    { name: 'complete', kind: 'change', is: status('COMPLETED') },
    { name: 'revert', kind: 'undo', is: post(({ paymentId }) => `/payment/${paymentId}/revert`) },
    { name: 'back', kind: 'undo', is: status('ON_THE_WAY', true) },
  ],
  accept: [
    { name: 'accept', kind: 'change', is: post(() => '/verifyAndAcceptOrder') },
    { name: 'timer', kind: 'change', is: post(() => '/stop-request-timer') },
    { name: 'clear', kind: 'undo', is: post(() => '/clearRunner') },
  ],
}

export const isStep = (run: Run, name: string, call: Passed): boolean =>
  steps[run.saga].find((step) => step.name === name)?.is(run)(call) === true

/** From now on, for all services; what `fate` leaves open goes through, but for timers that are refused. */
export function rule({ wires }: Place, runs: readonly Run[], fate: (call: Passed) => Fate | null): void {
  const refused = runs.filter(({ saga, isUndone }) => saga === 'accept' && isUndone)
  for (const wire of Object.values(wires))
    wire.rule((call) => fate(call) ?? (refused.some((run) => isStep(run, 'timer', call)) ? 'refused' : 'through'))
}

const standing = async (place: Place, { saga, orderId }: Run): Promise<readonly unknown[]> =>
  saga === 'accept'
    ? orderOf(place, orderId)
    : [await place.shop.orderStatus(orderId), (await place.shop.payment(orderId)).status]

const good = {
  complete: () => ['Order Completed', 'COMPLETED', 'SUCCEEDED'],
  accept: ({ orderId, runnerId }: Run) => [accepted(orderId), 'ACCEPTED', runnerId],
}

const failed = (why: string): unknown => ({ type: 'COMPENSATED', failed: expect.stringContaining(why) as unknown })

const undone = {
  complete: () => [failed('not activated'), 'ON_THE_WAY', 'REVERTED'],
  accept: () => [failed('could be accepted is over'), 'CREATED', null],
}

/** Each ends as it is meant to, and its money was released under one key, however often that was asked for. */
export async function endWell(place: Place, client: Client, runs: readonly Run[]): Promise<void> {
  for (const run of runs) {
    const end = await endOf(client, sagaNames[run.saga].idOf(run.orderId))
    const expected = (run.isUndone ? undone : good)[run.saga](run)
    expect([run, end, ...(await standing(place, run))]).toEqual([run, ...expected])
    const releases = place.wires.payment.passed.filter(({ path }) => path === `/payment/${run.paymentId}/release`)
    expect(new Set(releases.map(({ key }) => key)).size).toBe(run.saga === 'complete' ? 1 : 0)
  }
}

/** What an audit counts of runs that ended so. */
export const endsOf = (runs: readonly Run[], saga: SagaName): Readonly<Record<string, number>> => {
  const counted = (isUndone: boolean) => runs.filter((run) => run.saga === saga && run.isUndone === isUndone).length
  const counts = { COMPLETED: counted(false), COMPENSATED: counted(true) }
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}
