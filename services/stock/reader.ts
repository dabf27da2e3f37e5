/** Reads products as any client of an inventory does, ours or a foreign one: over HTTP (docs/wire-contract.md 6.7). */
import { UnavailableError } from 'ordersaga/transport'
import { z } from 'zod'

const Answer = z.looseObject({
  status: z.string(),
  data: z.looseObject({ Name: z.string().optional(), Price: z.number() }).nullish(),
})

export interface ProductRead {
  readonly name: string
  /** As a decimal, as it stands there. */
  readonly price: number
}

/**
 * Null where there is no such product.
 *
 * @throws UnavailableError where the inventory does not answer now, or not as its contract says
 */
export type ProductReader = (productId: string, signal: AbortSignal) => Promise<ProductRead | null>

/** With these it says that there is no such product: foreign ones know an id that is not of their form as a bad request. */
const unknown: ReadonlySet<number> = new Set([400, 404])

/** @param address where the Stock Service is, such as `http://127.0.0.1:9292`; asked for at each read */
export function productReader(address: () => string): ProductReader {
  return async (productId, signal) => {
    const url = `${address().replace(/\/+$/, '')}/product/${encodeURIComponent(productId)}`
    const { status, body } = await get(url, signal)
    if (unknown.has(status)) return null
    const answer = status === 200 ? Answer.safeParse(body) : null
    if (answer?.success === true && /error/i.test(answer.data.status)) return null
    const product = answer?.data?.data
    if (product == null)
      throw new UnavailableError(
        `the Stock Service does not tell of product ${productId} as its contract says, but answers ${status}`,
      )
    return { name: product.Name ?? productId, price: product.Price }
  }
}

async function get(url: string, signal: AbortSignal): Promise<{ readonly status: number; readonly body: unknown }> {
  try {
    const response = await fetch(url, { signal, redirect: 'error' })
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
