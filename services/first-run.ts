/**
 * What a newcomer sees: one order that finishes, one that undoes itself, the books, and how to go on. Talks to the
 * services as any client would, over HTTP.
 */
import type { Event } from 'ordersaga/events'

export interface FirstRunUrls {
  readonly sagas: string
  readonly payment: string
  readonly order: string
}

export type Print = (line: string) => void

/** The curl line of seed 001, but for the line breaks. */
const burger = (customer: string) => ({
  customer_id: customer,
  order_details: {
    foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }],
    deliveryLocation: 'North Campus',
  },
})

/** @throws Error where a saga does not end as it should, or the books are wrong */
export async function firstRun(urls: FirstRunUrls, print: Print): Promise<void> {
  await showEarlier(urls, print)
  print('')
  print('1. An order that finishes: cust_123 pays with a good card.')
  const order = await follow(urls, 'cust_123', 'COMPLETED', print)
  print('')
  print('2. An order that undoes itself: the card of cust_declined is declined.')
  await follow(urls, 'cust_declined', 'COMPENSATED', print)
  print('')
  await showBooks(urls, print)
  print('')
  showNext(urls, order, print)
}

async function showEarlier({ sagas }: FirstRunUrls, print: Print): Promise<void> {
  const earlier = await json<readonly { readonly status: string }[]>(`${sagas}/api/sagas?limit=1000`)
  const counts = new Map<string, number>()
  for (const { status } of earlier) counts.set(status, (counts.get(status) ?? 0) + 1)
  const list = [...counts].map(([status, count]) => `${count} ${status}`).join(', ')
  if (earlier.length > 0)
    print(`Found ${earlier.length === 1000 ? 'the newest 1000' : earlier.length} earlier orders: ${list}.`)
}

async function follow({ sagas }: FirstRunUrls, customer: string, expected: string, print: Print): Promise<string> {
  const began = performance.now()
  const started = await json<{ readonly saga_id: string }>(`${sagas}/api/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(burger(customer)),
  })
  print(`   saga ${started.saga_id}`)
  const status = await showUpdates(`${sagas}/api/sagas/${started.saga_id}/updates`, began, print)
  print(`   ${status} after ${Math.round(performance.now() - began)} ms`)
  if (status !== expected) throw new Error(`saga ${started.saga_id} ended ${status}; ${expected} was expected`)
  return started.saga_id
}

interface Update {
  readonly status: string
  readonly events: readonly (Event & { readonly step?: string })[]
}

/** Prints the saga's moves as the event stream brings them; gives its last status. */
async function showUpdates(url: string, began: number, print: Print): Promise<string> {
  let status = ''
  for await (const line of linesOf(await fetched(url))) {
    if (!line.startsWith('data: ')) continue
    const update = JSON.parse(line.slice(6)) as Update
    status = update.status
    for (const event of update.events) {
      const text = tell(event)
      if (text !== null) print(`   ${String(Math.round(performance.now() - began)).padStart(5)} ms  ${text}`)
    }
  }
  return status
}

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
  print('The books balance: every cent is held for a confirmed order or was given back.')
}

function showNext({ sagas, order }: FirstRunUrls, saga: string, print: Print): void {
  print('Go on with:')
  print(`  curl -X POST ${sagas}/api/orders -H 'Content-Type: application/json' \\`)
  print(`    -d '${JSON.stringify(burger('cust_123'))}'`)
  print(`  curl ${sagas}/api/sagas/${saga}`)
  print(`  curl ${sagas}/api/sagas/${saga}/history`)
  print(`  curl -X POST ${sagas}/sagas/${saga}/cancel`)
  print(`  curl '${order}/orders?limit=5'`)
  print(
    `Other customers: cust_slow, cust_lost_answer (the card takes the money and loses the answer), cust_release_fails.`,
  )
  print(`API pages: ${sagas}/docs and the same on each service's port.`)
}

async function fetched(url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(60_000), redirect: 'error' })
  if (!response.ok)
    throw new Error(`${init.method ?? 'GET'} ${url} answered ${response.status}: ${await response.text()}`)
  return response
}

const json = async <T>(url: string, init?: RequestInit): Promise<T> => (await (await fetched(url, init)).json()) as T

async function* linesOf({ body }: Response): AsyncGenerator<string, void, undefined> {
  let rest = ''
  for await (const text of (body ?? new ReadableStream<Uint8Array>()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}
