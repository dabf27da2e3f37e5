/** The second half of a first run: a runner takes an order, carries it, and says that it was delivered. */
import { at, eachEvent, json, post, type Print } from './first-run-client.ts'

export interface DeliveryUrls {
  /** Of the Create Order saga. */
  readonly sagas: string
  readonly order: string
  /** Where `/saga/complete` is: the front door, or the service itself. */
  readonly deliveries: string
}

const runner = 'runner_123'

/** The order of a saga, once it waits for a runner; null where it does not. */
export async function orderOf({ sagas }: DeliveryUrls, saga: string): Promise<string | null> {
  const { order_id, status } = await json<{ readonly order_id: string | null; readonly status: string }>(
    `${sagas}/api/sagas/${saga}`,
  )
  return status === 'COMPLETED' ? order_id : null
}

export async function carry({ order }: DeliveryUrls, orderId: string, print: Print): Promise<void> {
  await post(`${order}/verifyAndAcceptOrder`, { orderId, runner_id: runner })
  for (const status of ['PLACED', 'ON_THE_WAY']) await post(`${order}/updateOrderStatus`, { orderId, status })
  print(`   order ${orderId}, accepted by ${runner}, is ON_THE_WAY`)
}

interface Told {
  readonly status: string
  readonly currentStep: string | null
  readonly error?: string
}

export async function complete(
  { order, deliveries }: DeliveryUrls,
  orderId: string,
  print: Print,
  followMs: number,
): Promise<void> {
  const began = performance.now()
  const { sagaId } = await post<{ readonly sagaId: string }>(`${deliveries}/saga/complete/completeOrder`, { orderId })
  print(`   saga ${sagaId}; what its stream tells:`)
  let last: Told | null = null
  const ended = await eachEvent(`${deliveries}/saga/complete/orderUpdateStream/${sagaId}`, followMs, (told) => {
    last = told as Told
    print(at(performance.now() - began, `${last.status.padEnd(12)} ${last.currentStep ?? ''}`))
  })
  const { error } = (last ?? {}) as Partial<Told>
  if (error !== undefined) print(`   ${error}`)
  const { orderStatus } = await json<{ readonly orderStatus: string }>(`${order}/getOrderDetails?orderId=${orderId}`)
  print(ended ? `   the order is ${orderStatus}` : '   it goes on by itself')
}
