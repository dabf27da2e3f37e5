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
  const order = await follow(urls, 'cust_123', 'COMPLETED', print, followMs)
  print('')
  print('2. An order that undoes itself: the card of cust_declined is declined.')
  await follow(urls, 'cust_declined', 'COMPENSATED', print, followMs)
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

async function follow(
  { sagas }: FirstRunUrls,
  customer: string,
  expected: string,
  print: Print,
  followMs: number,
): Promise<string> {
  const began = performance.now()
  const { saga_id: id } = await json<{ readonly saga_id: string }>(`${sagas}/api/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(burger(customer)),
  })
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
async function showUpdates(url: string, began: number, print: Print, followMs: number): Promise<boolean> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), followMs)
  try {
    for await (const line of linesOf(await fetched(url, { signal: late.signal }))) {
      if (!line.startsWith('data: ')) continue
      for (const event of (JSON.parse(line.slice(6)) as Update).events) {
        const text = tell(event)
        if (text !== null) print(`   ${String(Math.round(performance.now() - began)).padStart(5)} ms  ${text}`)
      }
    }
    return true
  } catch (error) {
    if (late.signal.aborted) return false
    throw error
  } finally {
    clearTimeout(timer)
  }
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
  const response = await fetch(url, { signal: AbortSignal.timeout(60_000), redirect: 'error', ...init })
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
