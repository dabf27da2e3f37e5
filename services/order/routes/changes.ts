/**
 * Changes of an order over HTTP (docs/wire-contract.md). Each is one transaction: the change, and the event that tells
 * of it.
 *
 * Invariants:
 * - an order moves only along the table of `domain.ts`, as it does by commands;
 * - where nothing changed, nothing is told. A status that the order has already is no conflict: who lost the first answer
 *   asks again.
 */
import type { Kysely, Transaction } from 'kysely'
import type { CommandContract } from 'ordersaga/contract'
import type { Participant } from 'ordersaga/participant'
import { eventChannel } from 'ordersaga/transport'
import { z } from 'zod'
import type { Outbox } from '../../shared/database/outbox.ts'
import { storableText } from '../../shared/database/text.ts'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { checkSameAs, keyedBy, KeyedHeaders, obeyKeyed, type Keyed } from '../../shared/http/keyed.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import { cancellable, orderStatuses, whyNot, whyNotCancelled, type OrderStatus } from '../domain.ts'
import { orderEvent } from '../events.ts'
import type { Happening } from '../messages.ts'
import { requestRunner, requestStatus, takeRunnerBack, takeStatusBack } from '../requests.ts'
import { accept, cancel, findOrder, giveBack, setStatus, type Change } from '../rows.ts'
import { noOrder } from './reads.ts'
import type { OrderRow, OrderTables } from '../schema.ts'
import { OrderView, viewOf } from '../view.ts'

const tags = ['orders']

const named = { orderId: storableText.meta({ example: exampleIds.order }) }
const Changed = z.object({ message: z.string().meta({ example: 'Order is CREATED' }), order: OrderView })
const Accepted = z.object({
  success: z.literal(true),
  message: z.string().meta({ example: 'Order accepted' }),
  order_id: z.string().meta({ example: exampleIds.order }),
})
const config = { refuses: [404] } as const
/** Of routes that take a key. */
const keyed = { refuses: [404, 422] } as const

export interface ChangeOptions {
  readonly db: Kysely<OrderTables>
  readonly outbox: Outbox<OrderTables>
  readonly now: () => number
  /** Obeys what is asked for under a key. */
  readonly obey: Participant['obey']
}

/** Makes one change and tells of it. @throws HttpError where there is no such order */
type Make = (
  orderId: string,
  happening: Happening,
  change: (tx: Transaction<OrderTables>, now: number) => Promise<Change>,
) => Promise<{ readonly order: OrderRow; readonly changed: boolean }>

/** Makes one change under its key; a repeat makes none. @throws HttpError where it is refused */
type MakeKeyed = <Payload extends { readonly order_id: string }>(
  contract: CommandContract<Payload, unknown, Payload, { readonly asked: string }>,
  undone: string,
  keyed: Keyed,
  payload: Payload,
) => Promise<OrderRow>

export function orderChanges(server: HttpServer, { db, outbox, now, obey }: ChangeOptions): void {
  const make: Make = (orderId, happening, change) =>
    outbox.transaction(async (tx, tell) => {
      const { order, changed } = await change(tx, now())
      if (order === undefined) throw noOrder(orderId)
      if (changed) await tell(eventChannel('order'), orderEvent(happening, order, now()))
      return { order, changed }
    })
  const makeKeyed: MakeKeyed = async (contract, undone, asked, payload) => {
    const said = await obeyKeyed(obey, contract, undone, asked, payload, now())
    outbox.nudge()
    const about = 'done' in said ? said.done : said.details
    checkSameAs(JSON.stringify(payload), about['asked' as keyof typeof about])
    if ('refused' in said) throw new HttpError(said.details['status'] === 404 ? 404 : 400, said.refused)
    const order = await findOrder(db, payload.order_id)
    if (order === undefined) throw noOrder(payload.order_id)
    return order
  }
  addStatus(server, make, makeKeyed)
  addAcceptance(server, make, makeKeyed)
  addGivingBack(server, make, makeKeyed, {
    path: '/cancelAcceptance',
    operationId: 'cancel_acceptance',
    happening: 'acceptanceCancelled',
    summary: 'A runner gives an order back',
  })
  addGivingBack(server, make, makeKeyed, {
    path: '/clearRunner',
    operationId: 'clear_runner',
    happening: 'runnerCleared',
    summary: 'Takes an order from its runner',
  })
  addCancel(server, make)
  addCompletion(server, make)
}

function addStatus(server: HttpServer, make: Make, makeKeyed: MakeKeyed): void {
  server.post(
    '/updateOrderStatus',
    {
      config: keyed,
      schema: {
        operationId: 'update_order_status',
        tags,
        headers: KeyedHeaders,
        summary: 'Moves an order to the status that comes next',
        body: z.object({ ...named, status: z.enum(orderStatuses).meta({ example: 'ACCEPTED' }) }),
        response: { 200: Changed },
      },
    },
    async ({ body: { orderId, status }, headers }) => {
      const asked = keyedBy(headers)
      if (asked !== null) {
        const contract = asked.undoes === null ? requestStatus : takeStatusBack
        const order = await makeKeyed(contract, requestStatus.type, asked, { order_id: orderId, status })
        return { message: `Order is ${order.status}`, order: viewOf(order) }
      }
      const { order } = await make(orderId, 'updated', (tx, now) => setStatus(tx, orderId, status, now))
      if (order.status !== status) throw conflict(order, status)
      return { message: `Order is ${status}`, order: viewOf(order) }
    },
  )
}

function addAcceptance(server: HttpServer, make: Make, makeKeyed: MakeKeyed): void {
  server.post(
    '/verifyAndAcceptOrder',
    {
      config: keyed,
      schema: {
        operationId: 'accept_order',
        tags,
        headers: KeyedHeaders,
        summary: 'A runner takes an order; of several at once exactly one gets it',
        body: z.object({ ...named, runner_id: storableText.meta({ example: exampleIds.runner }) }),
        response: { 200: Accepted },
      },
    },
    async ({ body: { orderId, runner_id }, headers }) => {
      const asked = keyedBy(headers)
      if (asked !== null) {
        await makeKeyed(requestRunner, requestRunner.type, asked, { order_id: orderId, runner_id })
        return { success: true as const, message: 'Order accepted', order_id: orderId }
      }
      const { order, changed } = await make(orderId, 'accepted', (tx, now) => accept(tx, orderId, runner_id, now))
      if (!changed) throw new HttpError(400, whyNotAccepted(order, runner_id))
      return { success: true as const, message: 'Order accepted', order_id: orderId }
    },
  )
}

function whyNotAccepted({ status, runner_id }: OrderRow, runnerId: string): string {
  if (status === 'ACCEPTED' && runner_id === runnerId) return 'the order is ACCEPTED already, by this runner'
  return `the order is ${status}: only one that is CREATED can be accepted`
}

interface GivingBack {
  readonly path: string
  readonly operationId: string
  readonly happening: 'acceptanceCancelled' | 'runnerCleared'
  readonly summary: string
}

function addGivingBack(server: HttpServer, make: Make, makeKeyed: MakeKeyed, route: GivingBack): void {
  const { path, operationId, happening, summary } = route
  server.post(
    path,
    {
      config: keyed,
      schema: { operationId, tags, summary, headers: KeyedHeaders, body: z.object(named), response: { 200: Changed } },
    },
    async ({ body: { orderId }, headers }) => {
      const asked = keyedBy(headers)
      if (asked !== null) {
        const order = await makeKeyed(takeRunnerBack, requestRunner.type, asked, { order_id: orderId, happening })
        return { message: `Order is ${order.status}`, order: viewOf(order) }
      }
      const { order, changed } = await make(orderId, happening, (tx, now) => giveBack(tx, orderId, now))
      if (changed) return { message: 'Order is CREATED, without a runner', order: viewOf(order) }
      throw new HttpError(400, `the order is ${order.status}: only one that is ACCEPTED can be taken from its runner`)
    },
  )
}

function addCancel(server: HttpServer, make: Make): void {
  server.post(
    '/cancelOrder',
    {
      config,
      schema: {
        operationId: 'cancel_order',
        tags,
        summary: 'Cancels an order that waits for a runner',
        body: z.object({ ...named, reason: storableText.nullish().meta({ example: 'changed my mind' }) }),
        response: { 200: Changed },
      },
    },
    async ({ body: { orderId, reason = null } }) => {
      const { order, changed } = await make(orderId, 'cancelled', (tx, now) =>
        cancel(tx, orderId, { from: cancellable.byRoute, reason }, now),
      )
      if (!changed) throw new HttpError(400, whyNotCancelled(order.status, cancellable.byRoute))
      return { message: 'Order cancelled', order: viewOf(order) }
    },
  )
}

function addCompletion(server: HttpServer, make: Make): void {
  server.post(
    '/completeOrder',
    {
      config,
      schema: {
        operationId: 'complete_order',
        tags,
        summary: 'Completes an order that was delivered',
        body: z.object(named),
        response: { 200: Changed },
      },
    },
    async ({ body: { orderId } }) => {
      const { order } = await make(orderId, 'completed', (tx, now) => setStatus(tx, orderId, 'COMPLETED', now))
      if (order.status !== 'COMPLETED') throw conflict(order, 'COMPLETED')
      return { message: 'Order completed', order: viewOf(order) }
    },
  )
}

/** The contract has 400 for it where others would send 409. */
const conflict = (order: OrderRow, next: OrderStatus): HttpError => new HttpError(400, whyNot(order.status, next))
