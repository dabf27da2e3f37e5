/**
 * The rules of an order: which status may follow which, who may cancel, what an order must look like. Pure.
 *
 * Invariant: a status changes only along `followers`, but for a command to cancel, which ends every order that is not over,
 * and for the one that takes a delivery back (`DELIVERED` to `ON_THE_WAY`), because its runner could not be paid: by name it
 * could be taken back once he is paid, and never be completed; `ACCEPTED` is left towards `CREATED` only together with the
 * runner, so never by naming a status.
 */

const followers = {
  PENDING: ['CREATED', 'CANCELLED'],
  CREATED: ['ACCEPTED', 'CANCELLED'],
  ACCEPTED: ['CREATED', 'PLACED'],
  PLACED: ['ON_THE_WAY'],
  ON_THE_WAY: ['DELIVERED'],
  DELIVERED: ['COMPLETED'],
  COMPLETED: [],
  CANCELLED: [],
} as const

export type OrderStatus = keyof typeof followers

export const orderStatuses = Object.keys(followers) as readonly OrderStatus[]

export function isOrderStatus(value: string): value is OrderStatus {
  return Object.hasOwn(followers, value)
}

/** The statuses that may be left for this one by naming it (`update_order_status`), without its runner going. */
export function statusesBefore(next: OrderStatus): readonly OrderStatus[] {
  return orderStatuses.filter((status) => mayFollow(status, next) && !changesRunner(status, next))
}

/** Who cancels an order, and in which statuses each may. */
export const cancellable = {
  /** A person, by `/cancelOrder`. */
  byRoute: ['CREATED'],
  /** A command that says so: no runner has it. */
  withoutRunner: ['PENDING', 'CREATED'],
  /** Any other command. */
  byCommand: ['PENDING', 'CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY'],
} as const satisfies Readonly<Record<string, readonly OrderStatus[]>>

/** Why an order in this status was not cancelled. */
export const whyNotCancelled = (status: OrderStatus, statuses: readonly OrderStatus[]): string =>
  `the order is ${status}: only one that is ${statuses.join(' or ')} can be cancelled in this way`

function mayFollow(status: OrderStatus, next: OrderStatus): boolean {
  return (followers[status] as readonly OrderStatus[]).includes(next)
}

function changesRunner(status: OrderStatus, next: OrderStatus): boolean {
  return status === 'ACCEPTED' && next === 'CREATED'
}

/** Why an order in this status did not become the next one. */
export function whyNot(status: OrderStatus, next: OrderStatus): string {
  if (changesRunner(status, next)) {
    return `the order is ${status}: it becomes ${next} again only when its runner gives it back (/cancelAcceptance)`
  }
  const possible: readonly OrderStatus[] = followers[status]
  return `the order is ${status}: ${possible.length === 0 ? 'nothing' : possible.join(' or ')} can follow, not ${next}`
}

/** The moment that a status is kept under. */
export const momentOf = {
  ACCEPTED: 'accepted_at',
  PLACED: 'placed_at',
  ON_THE_WAY: 'picked_up_at',
  DELIVERED: 'delivered_at',
  COMPLETED: 'completed_at',
  CANCELLED: 'cancelled_at',
} as const satisfies Partial<Record<OrderStatus, string>>

/**
 * What a payment can be, as the Payment Service shows it. The Order Service is to define it (docs/wire-contract.md 4.2), but an
 * order carries no payment and nothing here is told of one. Its use is `paymentOnceOrderIs`, which the API page shows.
 */
export type PaymentStatus = 'INITIATING' | 'AUTHORIZED' | 'SUCCEEDED' | 'REVERTING' | 'REVERTED' | 'FAILED'

/** What an order's status says about its payment, where sagas made and moved the order. */
export const paymentOnceOrderIs: Readonly<Partial<Record<OrderStatus, readonly PaymentStatus[]>>> = {
  CREATED: ['AUTHORIZED'],
  COMPLETED: ['SUCCEEDED'],
  CANCELLED: ['REVERTED', 'FAILED'],
}
