/** Reads an order as any client of the Order Service does, ours or another: over HTTP (docs/wire-contract.md 4.3). */
import { UnavailableError } from 'ordersaga/transport'
import { z } from 'zod'

const Order = z.looseObject({ orderId: z.string(), runnerId: z.string().nullish(), orderStatus: z.string() })

export interface OrderRead {
  readonly orderId: string
  readonly runnerId: string | null
  readonly status: string
}

/**
 * Null where there is no such order.
 *
 * @throws UnavailableError where the Order Service does not answer now, whatever it is asked
 * @throws Error where it does not answer this question as the contract says; it may well answer the next
 */
export type OrderReader = (orderId: string) => Promise<OrderRead | null>

/** How long the Order Service may take, in milliseconds. */
const patienceMs = 5_000

/** With these it says that it cannot answer now, or what stands before it does. */
const notNow: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** @param address where the Order Service is, such as `http://127.0.0.1:3002`; asked for at each read */
export function orderReader(address: () => string): OrderReader {
  return async (orderId) => {
    const url = `${address().replace(/\/+$/, '')}/getOrderDetails?orderId=${encodeURIComponent(orderId)}`
    const { status, body } = await get(url)
    if (status === 404) return null
    const order = status === 200 ? Order.safeParse(body) : null
    if (order?.success !== true)
      throw new Error(`the Order Service does not answer about order ${orderId} as its contract says, but ${status}`)
    const { runnerId = null, orderStatus } = order.data
    return { orderId, runnerId, status: orderStatus }
  }
}

async function get(url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(patienceMs), redirect: 'error' })
    const { status } = response
    if (notNow.has(status)) throw new Error(`it answered ${status}`)
    const text = await response.text()
    return { status, body: status === 200 ? jsonOf(text) : null }
  } catch (cause) {
    throw new UnavailableError(
      'the Order Service does not answer: see that it runs, and that ORDER_SERVICE_URL says where',
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
