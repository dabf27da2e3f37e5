/**
 * What a newcomer sees: one order that finishes, one that undoes itself; the first delivered and its runner paid, another
 * whose runner cannot be paid; the books, and how to go on.
 */
import type { Event } from 'ordersaga/events'
import { at, eachEvent, json, post, type Print } from './first-run-client.ts'
import { carry, complete, orderOf, type DeliveryUrls } from './first-run-delivery.ts'

export interface FirstRunUrls extends DeliveryUrls {
  readonly payment: string
}

/** The documented curl line, but for the line breaks. */
const burger = (customer: string) => ({
  customer_id: customer,
  order_details: {
    foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }],
    deliveryLocation: 'North Campus',
  },
})

/** How long an order is followed, in milliseconds. After a crash under load it waits behind many earlier ones. */
const patienceMs = 60_000

/**
 * An order that ends otherwise than it should, or not in time, is told of and no failure: the services go on.
 *
 * @throws Error where the services do not answer, or the books are wrong
 */
export async function firstRun(urls: FirstRunUrls, print: Print, followMs = patienceMs): Promise<void> {
  await showEarlier(urls, print)
  print('')
  print('1. An order that finishes: cust_123 pays with a good card.')
  const saga = await follow(urls, 'cust_123', 'COMPLETED', print, followMs)
  print('')
  print('2. An order that undoes itself: the card of cust_declined is declined.')
  await follow(urls, 'cust_declined', 'COMPENSATED', print, followMs)
  print('')
  print('3. A delivery: runner_123 carries the first order to its customer, and is paid.')
  await deliver(urls, saga, print, followMs)
  print('')
  print('4. A delivery that undoes itself: the runner cannot be paid, so the order is on its way again.')
  const unpaid = await placed(urls, 'cust_release_fails', followMs)
  await deliver(urls, unpaid, print, followMs)
  print('')
  await showBooks(urls, print)
  print('')
  const waiting = await orderOf(urls, await placed(urls, 'cust_123', followMs))
  if (waiting !== null) await carry(urls, waiting, () => undefined)
  showNext(urls, { saga, order: waiting ?? 'your-order-id' }, print)
}

/** The saga of an order that is not shown. */
async function placed({ sagas }: FirstRunUrls, customer: string, followMs: number): Promise<string> {
  const { saga_id: id } = await post<{ readonly saga_id: string }>(`${sagas}/api/orders`, burger(customer))
  await eachEvent(`${sagas}/api/sagas/${id}/updates`, followMs, () => undefined)
  return id
}

async function deliver(urls: FirstRunUrls, saga: string, print: Print, followMs: number): Promise<void> {
  const order = await orderOf(urls, saga)
  if (order === null) return print('   its order does not wait for a runner: there is nothing to deliver')
  await carry(urls, order, print)
  await complete(urls, order, print, followMs)
}

async function showEarlier({ sagas }: FirstRunUrls, print: Print): Promise<void> {
  const earlier = await json<readonly { readonly status: string }[]>(`${sagas}/api/sagas?limit=1000`)
  const counts = new Map<string, number>()
  for (const { status } of earlier) counts.set(status, (counts.get(status) ?? 0) + 1)
  const list = [...counts].map(([status, count]) => `${count} ${status}`).join(', ')
  if (earlier.length > 0)
    print(`Found ${earlier.length === 1000 ? 'the newest 1000' : earlier.length} earlier orders: ${list}.`)
}

async function follow(
  { sagas }: FirstRunUrls,
  customer: string,
  expected: string,
  print: Print,
  followMs: number,
): Promise<string> {
  const began = performance.now()
  const { saga_id: id } = await post<{ readonly saga_id: string }>(`${sagas}/api/orders`, burger(customer))
  print(`   saga ${id}`)
  const ended = await showUpdates(`${sagas}/api/sagas/${id}/updates`, began, print, followMs)
  const after = `after ${Math.round(performance.now() - began)} ms`
  const { status, error } = await json<Saga>(`${sagas}/api/sagas/${id}`)
  if (!ended) print(`   still ${status} ${after}: earlier orders go first; it goes on by itself`)
  else print(`   ${status} ${after}${status === expected || error === null ? '' : `: ${error}`}`)
  return id
}

interface Saga {
  readonly status: string
  readonly error: string | null
}

interface Update {
  readonly events: readonly (Event & { readonly step?: string })[]
}

/** Prints the saga's moves as the event stream brings them; false where it has not ended in time. */
const showUpdates = (url: string, began: number, print: Print, followMs: number): Promise<boolean> =>
  eachEvent(url, followMs, (update) => {
    for (const event of (update as Update).events) {
      const text = tell(event)
      if (text !== null) print(at(performance.now() - began, text))
    }
  })

function tell(event: Event): string | null {
  switch (event.type) {
    case 'StepAsked':
      return `${event.step} asked${event.attempt > 1 ? ` (attempt ${event.attempt})` : ''}`
    case 'StepDone':
      return `${event.step} done`
    case 'StepRejected':
      return `${event.step} rejected: ${event.reason}`
    case 'StepUnknown':
      return `${event.step} unknown: ${event.reason}`
    case 'CompensationStarted':
      return 'undo begins, newest step first'
    case 'UndoAsked':
      return `undo of ${event.step} asked`
    case 'UndoDone':
      return `undo of ${event.step} done`
    case 'SagaParked':
      return `parked at ${event.step}: ${event.reason}`
    default:
      return null
  }
}

interface Audit {
  readonly ok: boolean
  readonly problems: readonly unknown[]
}

async function showBooks({ payment }: FirstRunUrls, print: Print): Promise<void> {
  const audit = await json<Audit>(`${payment}/ledger/audit`)
  if (!audit.ok) throw new Error(`the books of the payment ledger are wrong: ${JSON.stringify(audit.problems)}`)
  print('The books balance: every cent is held for an order, was given back, or is with the runner who earned it.')
}

function showNext(
  { sagas, order, deliveries }: FirstRunUrls,
  shown: { readonly saga: string; readonly order: string },
  print: Print,
): void {
  const { saga } = shown
  print('Go on with:')
  print(`  curl -X POST ${sagas}/api/orders -H 'Content-Type: application/json' \\`)
  print(`    -d '${JSON.stringify(burger('cust_123'))}'`)
  print(`  curl ${sagas}/api/sagas/${saga}`)
  print(`  curl ${sagas}/api/sagas/${saga}/history`)
  print(`  curl -X POST ${sagas}/sagas/${saga}/cancel   # too late for this one: a runner has it`)
  print(`  curl '${order}/orders?limit=5'`)
  print('Deliver an order that is on its way, and follow it by the sagaId of the answer:')
  print(`  curl -X POST ${deliveries}/saga/complete/completeOrder -H 'Content-Type: application/json' \\`)
  print(`    -d '${JSON.stringify({ orderId: shown.order })}'`)
  print(`  curl -N ${deliveries}/saga/complete/orderUpdateStream/saga-id`)
  print(
    `Other customers: cust_slow, cust_lost_answer (the card takes the money and loses the answer), cust_release_fails.`,
  )
  print(`API pages: ${sagas}/docs and the same on each service's port.`)
}
