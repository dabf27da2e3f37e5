/**
 * How the Order Service obeys its commands.
 *
 * Invariants:
 * - a saga has one order, also where its `create_order` comes again under another id;
 * - every command is answered: refusals with a reason, and with the order and the correlation id where the command has
 *   them, also where its payload cannot be read;
 * - a cancel that is asked for only without a runner never takes an order from one.
 */
import type { Transaction } from 'kysely'
import type { CommandContract } from 'ordersaga/contract'
import {
  done,
  handleAll,
  rejected,
  type Answer,
  type Handled,
  type ReceivedCommand,
  type Refuse,
} from 'ordersaga/participant'
import { readOrderDetails } from '../shared/order-details.ts'
import { cancellable, isOrderStatus, orderStatuses, whyNot, whyNotCancelled } from './domain.ts'
import {
  cancelOrder,
  completeOrder,
  createOrder,
  deliverOrder,
  takeDeliveryBack,
  updateOrderStatus,
} from './messages.ts'
import { cancel, findOrderOfSaga, insertOrdersOfSagas, setStatuses, type Change } from './rows.ts'
import type { OrderRow, OrderTables } from './schema.ts'

type Tx = Transaction<OrderTables>

export function orderCommands(now: () => number): readonly Handled<Tx>[] {
  return [
    obey(createOrder, async (tx, asked) => {
      const read = asked.map(({ command, about }) => ({
        command,
        about,
        content: readOrderDetails(command.payload.order_details),
      }))
      const wanted = read.flatMap(({ command: { payload, sagaId }, content }) =>
        content.ok
          ? [{ sagaId: payload.saga_id ?? sagaId, customerId: payload.customer_id, content: content.value }]
          : [],
      )
      const orders = wanted.length === 0 ? new Map<string, OrderRow>() : await insertOrdersOfSagas(tx, wanted, now())
      return read.map(({ command: { payload, sagaId }, about, content }) => {
        if (!content.ok) return rejected(content.why, about)
        const { customer_id } = payload
        const saga_id = payload.saga_id ?? sagaId
        const order = orders.get(saga_id)
        if (order === undefined) throw new Error(`the order of saga ${saga_id} vanished in this moment; asked again`)
        if (order.customer_id !== customer_id) return rejected('the saga has an order of another customer', about)
        if (order.status === 'CANCELLED') return rejected('the order of this saga is cancelled already', about)
        return done({ ...about, order_id: order.order_id, customer_id, status: order.status, saga_id })
      })
    }),

    obey(updateOrderStatus, async (tx, asked) => {
      const changed = new Map<string, ReadonlyMap<string, Change>>()
      for (const status of new Set(asked.map(({ command }) => command.payload.status).filter(isOrderStatus))) {
        const orders = asked.filter(({ command }) => command.payload.status === status)
        changed.set(status, await setStatuses(tx, ordersOf(orders), status, now()))
      }
      return asked.map(({ command: { payload }, about }) => {
        const { order_id, status } = payload
        if (!isOrderStatus(status))
          return rejected(`there is no status ${status}: use one of ${orderStatuses.join(', ')}`, about)
        const order = changed.get(status)?.get(order_id)?.order
        if (order === undefined) return rejected(whyNone(payload), about)
        // Also where it had this status before: a producer that gives no ids asks twice.
        if (order.status === status) return done({ ...about, status, saga_id: order.saga_id })
        return rejected(whyNot(order.status, status), about)
      })
    }),

    obey(deliverOrder, async (tx, asked) => {
      const anew = asked.filter(({ command }) => command.undoes === null)
      const changes = await setStatuses(tx, ordersOf(anew), 'DELIVERED', now(), deliverable)
      const delivered = new Set<string>()
      return asked.map(({ command: { payload, undoes }, about }) => {
        if (undoes !== null) return done(about) // it was DELIVERED before: what it is now is not this saga's doing
        const { order, changed } = changes.get(payload.order_id) ?? {}
        if (order === undefined) return rejected(whyNone(payload), about)
        if (order.runner_id === null) return rejected(`the order is ${order.status} and has no runner`, about)
        if (order.status !== 'DELIVERED') return rejected(whyNot(order.status, 'DELIVERED'), about)
        // Of several who deliver it at once one has done so: the others leave it as it is when they are undone.
        const previous_status = changed === true && !delivered.has(payload.order_id) ? 'ON_THE_WAY' : order.status
        delivered.add(payload.order_id)
        return done({ ...about, status: order.status, previous_status, runner_id: order.runner_id })
      })
    }),

    obey(completeOrder, async (tx, asked) => {
      const changes = await setStatuses(tx, ordersOf(asked), 'COMPLETED', now())
      return asked.map(({ command: { payload }, about }) => {
        const order = changes.get(payload.order_id)?.order
        if (order === undefined) return rejected(whyNone(payload), about)
        if (order.status !== 'COMPLETED') return rejected(whyNot(order.status, 'COMPLETED'), about)
        return done({ ...about, status: order.status })
      })
    }),

    obey(takeDeliveryBack, async (tx, asked) => {
      const known = asked.map(({ command, about }) => withoutChange(command, about))
      const left = asked.filter((_each, index) => known[index] === null)
      const changes = await setStatuses(tx, ordersOf(left), 'ON_THE_WAY', now(), { from: ['DELIVERED'] })
      return asked.map(({ command: { payload }, about }, index) => {
        const answer = known[index]
        if (answer != null) return answer
        const order = changes.get(payload.order_id)?.order
        if (order === undefined) return rejected(whyNone(payload), about)
        if (order.status !== 'ON_THE_WAY') return rejected(whyNot(order.status, 'ON_THE_WAY'), about)
        return done({ ...about, status: order.status })
      })
    }),

    obey(cancelOrder, async (tx, asked) => {
      const answers: Answer<Cancelled>[] = []
      for (const { command, about } of asked) answers.push(await cancelled(tx, command, about, now()))
      return answers
    }),
  ]
}

/** One that nobody carries was not delivered either, whatever its status. */
const deliverable = { from: ['ON_THE_WAY'], withRunner: true } as const

const ordersOf = (asked: readonly Asked<{ readonly order_id: string }>[]): readonly string[] =>
  asked.map(({ command }) => command.payload.order_id)

const whyNone = ({ order_id }: { readonly order_id: string }): string => `there is no order ${order_id}`

/** What is answered to the undo of a delivery without a change: null where the order is to be changed. */
function withoutChange(
  { payload: { status }, undoes, original }: ReceivedCommand<{ readonly status: string }>,
  about: About,
): Answer<About> | null {
  if (status !== 'ON_THE_WAY')
    return rejected(`an order does not become ${status} in this way: say DELIVERED, COMPLETED or ON_THE_WAY`, about)
  if (undoes === null) return null
  const before = (original?.payload as { readonly previous_status?: unknown } | undefined)?.previous_status
  // It was never delivered here (what is left now keeps the command out), was refused, or was DELIVERED before.
  return original?.kind !== 'done' || before === 'DELIVERED' ? done(about) : null
}

interface Cancelled extends About {
  readonly reason: string
}

type CancelPayload = {
  readonly order_id?: string | null | undefined
  readonly reason?: string | undefined
  readonly only_without_runner?: boolean | undefined
}

async function cancelled(
  tx: Tx,
  command: ReceivedCommand<CancelPayload>,
  { correlation_id }: About,
  now: number,
): Promise<Answer<Cancelled>> {
  const reason = command.payload.reason ?? ''
  const orderId = await orderToCancel(tx, command)
  const about = { order_id: orderId ?? null, correlation_id }
  if (orderId === undefined) {
    // Nothing was made: the order was refused, or the tombstone that is left now keeps it out.
    if (command.undoes !== null) return done({ ...about, reason })
    return rejected('no order is named, and the saga has none: send its order_id', about)
  }
  const from = command.payload.only_without_runner === true ? cancellable.withoutRunner : cancellable.byCommand
  const { order } = await cancel(tx, orderId, { from, reason }, now)
  if (order === undefined) return rejected(`there is no order ${orderId}`, about)
  if (order.status === 'CANCELLED') return done({ ...about, reason })
  return rejected(whyNotCancelled(order.status, from), about)
}

/** What every answer names. */
interface About extends Readonly<Record<string, unknown>> {
  readonly order_id: string | null
  readonly correlation_id: string
}

/** A command whose payload can be read, and what its answer names. */
interface Asked<Payload> {
  readonly command: ReceivedCommand<Payload>
  readonly about: About
}

/** As `handleAll`, with what every answer names. */
function obey<Payload, Data, Received, Given>(
  contract: CommandContract<Payload, Data, Received, Given>,
  work: (tx: Tx, asked: readonly Asked<Received>[]) => Promise<readonly Answer<NoInfer<Given>>[]>,
): Handled<Tx> {
  return handleAll(contract, (tx: Tx, commands) =>
    work(
      tx,
      commands.map((command) => ({ command, about: aboutOf(command) })),
    ),
  )
}

/** What no handler sees is refused like everything else. */
export const refuseOrder: Refuse = ({ why, command }) => rejected(why, aboutOf(command))

const aboutOf = ({ payload, sagaId }: ReceivedCommand<unknown>): About => ({
  order_id: orderNamed(payload),
  correlation_id: sagaId,
})

function orderNamed(payload: unknown): string | null {
  const { order_id: named } = Object(payload) as { readonly order_id?: unknown }
  return typeof named === 'string' ? named : null
}

/** The order that is named, else the one that the undone `create_order` made here, else the one of the saga. */
async function orderToCancel(
  tx: Tx,
  { payload, original, sagaId }: ReceivedCommand<CancelPayload>,
): Promise<string | undefined> {
  if (payload.order_id != null) return payload.order_id
  if (original?.kind === 'done') return (original.payload as { readonly order_id: string }).order_id
  return (await findOrderOfSaga(tx, sagaId))?.order_id
}
