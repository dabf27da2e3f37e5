/**
 * Changes of an order that somebody's saga asks for over HTTP, under a key: each is made once and told of as those of people are,
 * and can be taken back by its key as far as the order still stands where it left it.
 */
import type { Transaction } from 'kysely'
import { participantContract, type CommandContract } from 'ordersaga/contract'
import { done, handle, rejected, type Answer, type Handled, type ReceivedCommand } from 'ordersaga/participant'
import { eventChannel } from 'ordersaga/transport'
import { z } from 'zod'
import type { Tell } from '../shared/database/outbox.ts'
import { storableText } from '../shared/database/text.ts'
import { orderStatuses, whyNot } from './domain.ts'
import { orderEvent } from './events.ts'
import type { Happening } from './messages.ts'
import { accept, giveBack, setStatus, setStatuses, type Change } from './rows.ts'
import type { OrderTables } from './schema.ts'

/** Its channels are nobody's: what is asked comes by routes alone. */
const requests = participantContract('order', {
  tombstones: true,
  commandChannel: 'order_requests',
  eventChannel: 'order_request_answers',
})

const Made = z.object({
  order_id: z.string(),
  /** False where it was so already, or is not to be taken back. */
  changed: z.boolean(),
  status: z.enum(orderStatuses).nullable(),
  runner_id: z.string().nullable(),
  /** What was asked for, as JSON: a key is for one request. */
  asked: z.string(),
})
const Refused = z.object({ error: z.string() })
const made = ['made', Made] as const
const refused = ['refused', Refused] as const

const StatusRequest = z.object({ order_id: storableText, status: z.enum(orderStatuses) })
const RunnerRequest = z.object({ order_id: storableText, runner_id: storableText })
/** Which of the two ways of giving an order back it is. */
const BackRequest = z.object({ order_id: storableText, happening: z.enum(['runnerCleared', 'acceptanceCancelled']) })

export const requestStatus = requests.command('status', { payload: StatusRequest, done: made, rejected: refused })
export const takeStatusBack = requests.command('status_back', {
  payload: StatusRequest,
  done: made,
  rejected: refused,
  safeOnNothing: true,
})
export const requestRunner = requests.command('runner', { payload: RunnerRequest, done: made, rejected: refused })
export const takeRunnerBack = requests.command('runner_back', {
  payload: BackRequest,
  done: made,
  rejected: refused,
  safeOnNothing: true,
})

type Tx = Transaction<OrderTables>
type Made = z.infer<typeof Made>
type Outcome = Omit<Made, 'asked'>

export function orderRequests(tellIn: (tx: Tx) => Tell, now: () => number): readonly Handled<Tx>[] {
  /** Tells of the change, and answers; `why` says why the order is not as asked, null where it is. */
  async function answer(
    tx: Tx,
    orderId: string,
    happening: Happening,
    { order, changed }: Change,
    why: (order: NonNullable<Change['order']>) => string | null,
  ): Promise<Answer<Outcome>> {
    if (order === undefined) return noOrder(orderId)
    const reason = why(order)
    if (reason !== null) return rejected(reason, { order_id: orderId })
    if (changed) await tellIn(tx)(eventChannel('order'), orderEvent(happening, order, now()))
    return done({ order_id: orderId, changed, status: order.status, runner_id: order.runner_id })
  }

  return [
    handleAsked(requestStatus, async (tx: Tx, { payload: { order_id, status } }) =>
      answer(tx, order_id, 'updated', await setStatus(tx, order_id, status, now()), (order) =>
        order.status === status ? null : whyNot(order.status, status),
      ),
    ),
    handleAsked(takeStatusBack, async (tx: Tx, { payload: { order_id, status: to }, original }) => {
      const before = original?.kind === 'done' ? (original.payload as Made) : null
      if (before !== null && before.order_id !== order_id) return ofAnother(before, order_id)
      if (before?.changed !== true) return done(nothingDone(order_id))
      if (to !== 'ON_THE_WAY') return rejected(`a delivery is taken back to ON_THE_WAY, not to ${to}`, { order_id })
      if (before.status !== 'DELIVERED')
        return rejected(`only a delivery can be taken back, not that the order became ${before.status}`, { order_id })
      const change = await setStatuses(tx, [order_id], 'ON_THE_WAY', now(), { from: ['DELIVERED'] })
      return answer(tx, order_id, 'updated', change.get(order_id) ?? none, ({ status }) =>
        status === 'ON_THE_WAY' ? null : whyNot(status, 'ON_THE_WAY'),
      )
    }),
    handleAsked(requestRunner, async (tx: Tx, { payload: { order_id, runner_id } }) =>
      answer(
        tx,
        order_id,
        'accepted',
        await accept(tx, order_id, runner_id, now()),
        ({ status, runner_id: runner }) => {
          if (status === 'ACCEPTED' && runner === runner_id) return null
          return `the order is ${status}${status === 'ACCEPTED' ? ' by another runner' : ''}: only one that is CREATED can be accepted`
        },
      ),
    ),
    handleAsked(takeRunnerBack, async (tx: Tx, { payload: { order_id, happening }, original, undoes }) => {
      const before = original?.kind === 'done' ? (original.payload as Made) : null
      if (before !== null && before.order_id !== order_id) return ofAnother(before, order_id)
      // Not given by this saga's request: whoever has it now keeps it.
      if (undoes !== null && before?.changed !== true) return done(nothingDone(order_id))
      const change = await giveBack(tx, order_id, now(), before?.runner_id ?? undefined)
      return answer(tx, order_id, happening, change, ({ status, runner_id }) =>
        status === 'CREATED' || status === 'CANCELLED' || (before !== null && runner_id !== before.runner_id)
          ? null
          : `the order is ${status}: only one that is ACCEPTED can be taken from its runner`,
      )
    }),
  ]
}

/** Each answer has what was asked for. */
function handleAsked<Payload>(
  contract: CommandContract<Payload, Made, Payload, Made>,
  work: (tx: Tx, command: ReceivedCommand<Payload>) => Promise<Answer<Outcome>>,
): Handled<Tx> {
  return handle(contract, async (tx: Tx, command: ReceivedCommand<Payload>): Promise<Answer<Made>> => {
    const asked = JSON.stringify(command.payload)
    const answer = await work(tx, command)
    if (answer.kind === 'done') return done({ ...answer.data, asked })
    return rejected(answer.reason, { ...answer.details, asked })
  })
}

const ofAnother = ({ order_id: other }: Made, order_id: string): Answer<never> =>
  rejected(`what is to be taken back was done to order ${other}, not to this one`, { order_id })

const nothingDone = (order_id: string): Outcome => ({ order_id, changed: false, status: null, runner_id: null })

const none: Change = { order: undefined, changed: false }

const noOrder = (orderId: string): Answer<never> =>
  rejected(`there is no order ${orderId}`, { order_id: orderId, status: 404 })
