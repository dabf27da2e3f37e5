/**
 * What Accept Order sagas must have left, order by order: where one has completed, the order is its runner's; where all came to
 * nothing, it is nobody's of theirs. An order that its runner gave back by himself is not told from one that was lost.
 */
import { hasEnded, type SagaState } from 'ordersaga/state'
import { orderOf, type OrderRow } from './deliveries.ts'
import { groupBy } from './group-by.ts'

const runnerOf = ({ input }: SagaState): string => (input as { readonly runner_id: string }).runner_id

/** What an order may be that a runner has. */
const carried: ReadonlySet<string> = new Set(['ACCEPTED', 'PLACED', 'ON_THE_WAY', 'DELIVERED', 'COMPLETED'])

export const isAccepted = (sagas: readonly SagaState[]): boolean => sagas.some(({ status }) => status === 'COMPLETED')

/** A sentence for each problem. */
export function acceptanceProblems(sagas: readonly SagaState[], orders: readonly OrderRow[]): readonly string[] {
  const orderNamed = new Map(orders.map((order) => [order.order_id, order]))
  return [...groupBy(sagas, orderOf)].flatMap(([id, ofOrder]) => problemsOf(id, ofOrder, orderNamed.get(id)))
}

function problemsOf(orderId: string, sagas: readonly SagaState[], order: OrderRow | undefined): readonly string[] {
  if (order === undefined)
    return sagas
      .filter(({ status }) => status !== 'FAILED' && status !== 'CANCELLED')
      .map(({ id, status }) => `saga ${id} is ${status}, but there is no order ${orderId}`)
  const winners = [...new Set(sagas.filter(({ status }) => status === 'COMPLETED').map(runnerOf))]
  const [winner] = winners
  const found = `order ${orderId} is ${order.status}, of runner ${order.runner_id}`
  if (winners.length > 1) return [`order ${orderId} was accepted by ${winners.length} runners: ${winners.join(', ')}`]
  if (winner !== undefined)
    return order.runner_id === winner && carried.has(order.status)
      ? []
      : [`a saga has accepted it for ${winner}, but ${found}`]
  // Of one that is parked a person decides; one that has not ended is a problem by itself.
  if (!sagas.every(({ status }) => hasEnded(status))) return []
  return sagas
    .filter((saga) => order.runner_id === runnerOf(saga))
    .map(({ id, status }) => `saga ${id} is ${status}, but ${found}`)
}
