/** What an order says before a workflow is started for it. The saga looks again: this only tells a client at once. */
import type { OrderRead, OrderReader } from '../../order/reader.ts'
import { HttpError } from '../../shared/http/http-error.ts'

/** @throws HttpError 404, or what `check` throws; where the Order Service does not answer, the saga waits for it */
export async function checkRunner(
  orders: OrderReader,
  orderId: string,
  check: (order: OrderRead) => void,
): Promise<void> {
  const order = await orders(orderId).catch(() => undefined)
  if (order === null) throw new HttpError(404, `There is no order ${orderId}.`)
  if (order !== undefined) check(order)
}
