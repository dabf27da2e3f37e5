/**
 * Reads products as any client of an inventory does, ours or a foreign one: over HTTP (docs/wire-contract.md 6.7).
 *
 * A rush of orders is no rush of requests: so many are open at once, and who asks for a product while it waits for its turn
 * gets the same answer, which is never older than his question.
 */
import { UnavailableError } from 'ordersaga/transport'
import { z } from 'zod'

const Answer = z.looseObject({
  status: z.string(),
  data: z.looseObject({ Name: z.string().optional(), Price: z.number(), VendorId: z.string().nullish() }).nullish(),
})

export interface ProductRead {
  readonly name: string
  /** As a decimal, as it stands there. */
  readonly price: number
  /** An e-mail address, or an id; null where it does not tell. */
  readonly vendor: string | null
}

/**
 * Null where there is no such product.
 *
 * @throws UnavailableError where the inventory does not answer now, or not as its contract says
 */
export type ProductReader = (productId: string) => Promise<ProductRead | null>

/** With these it says that there is no such product: foreign ones know an id that is not of their form as a bad request. */
const unknown: ReadonlySet<number> = new Set([400, 404])

/** Requests that are open at once. */
const atOnce = 32

/** How long one may take, in milliseconds. */
const patienceMs = 5_000

/** @param address where the Stock Service is, such as `http://127.0.0.1:9292`; asked for at each read */
export function productReader(address: () => string): ProductReader {
  const waiting = new Map<string, Promise<ProductRead | null>>()
  const turns: (() => void)[] = []
  let open = 0

  async function turn(): Promise<void> {
    if (open < atOnce) open += 1
    else await new Promise<void>((go) => turns.push(go))
  }

  /** Hands the place on to who waits longest. */
  function leave(): void {
    const next = turns.shift()
    if (next === undefined) open -= 1
    else next()
  }

  async function asked(productId: string): Promise<ProductRead | null> {
    await turn()
    waiting.delete(productId)
    try {
      return await readProduct(address(), productId)
    } finally {
      leave()
    }
  }

  return (productId) => {
    const known = waiting.get(productId) ?? asked(productId)
    waiting.set(productId, known)
    return known
  }
}

async function readProduct(address: string, productId: string): Promise<ProductRead | null> {
  const { status, body } = await get(`${address.replace(/\/+$/, '')}/product/${encodeURIComponent(productId)}`)
  if (unknown.has(status)) return null
  const answer = status === 200 ? Answer.safeParse(body) : null
  if (answer?.success === true && /error/i.test(answer.data.status)) return null
  const product = answer?.data?.data
  if (product == null)
    throw new UnavailableError(
      `the Stock Service does not tell of product ${productId}, but answers ${status}${status === 500 ? ', as one that is not ours may for an id that it does not know' : ''}`,
    )
  return { name: product.Name ?? productId, price: product.Price, vendor: product.VendorId ?? null }
}

async function get(url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(patienceMs), redirect: 'error' })
    return { status: response.status, body: jsonOf(await response.text()) }
  } catch (cause) {
    throw new UnavailableError(
      'the Stock Service does not answer: see that it runs, and that STOCK_SERVICE_URL says where',
      { cause },
    )
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
