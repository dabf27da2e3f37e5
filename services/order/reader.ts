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
 * @throws UnavailableError where the Order Service does not answer, or not as the contract says
 */
export type OrderReader = (orderId: string) => Promise<OrderRead | null>

/** How long the Order Service may take, in milliseconds. */
const patienceMs = 5_000

/** @param address where the Order Service is, such as `http://127.0.0.1:3002`; asked for at each read */
export function orderReader(address: () => string): OrderReader {
  return async (orderId) => {
    try {
      const response = await fetch(
        `${address().replace(/\/+$/, '')}/getOrderDetails?orderId=${encodeURIComponent(orderId)}`,
        { signal: AbortSignal.timeout(patienceMs), redirect: 'error' },
      )
      if (response.status === 404) return null
      if (response.status !== 200) throw new Error(`it answered ${response.status}`)
      const { runnerId = null, orderStatus } = Order.parse(await response.json())
      return { orderId, runnerId, status: orderStatus }
    } catch (cause) {
      throw new UnavailableError(
        'the Order Service does not answer: see that it runs, and that ORDER_SERVICE_URL says where',
        { cause },
      )
    }
  }
}
