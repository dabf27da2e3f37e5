/** For tests of the Order Service: orders made and moved as people do it, over HTTP. */
import type { Message, Transport } from 'ordersaga/transport'
import { expect } from 'vitest'
import { openDatabase } from '../shared/database/database.ts'
import { running, type Place, type Running } from '../shared/testing/running.ts'
import type { OrderStatus } from './domain.ts'
import { orderMigrations, type OrderTables } from './schema.ts'
import { openOrderService, type OrderServiceOptions } from './service.ts'

export const burger = { name: 'Burger', price: 12.99, quantity: 1 }

export const order_details = {
  foodItems: [{ ...burger, quantity: 2 }],
  deliveryFee: '3.99',
  deliveryLocation: 'North Campus',
}

/** The way of an order that ends well. */
const path: readonly OrderStatus[] = ['CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY', 'DELIVERED', 'COMPLETED']

export interface RunningOrders extends Running {
  /** What moves its messages. */
  readonly transport: Transport
  /** Makes an order over HTTP and moves it on to this status. */
  orderAt(status: OrderStatus): Promise<string>
  details(orderId: string): Promise<unknown>
}

export async function runningOrders(
  place: Place,
  now: () => number = Date.now,
  more: Partial<OrderServiceOptions> & { readonly publish?: (transport: Transport) => Transport['publish'] } = {},
): Promise<RunningOrders> {
  let transport: Transport | undefined
  const order = await running(
    place,
    'order',
    (options) => {
      const inner = options.transport
      transport = inner
      const publish = more.publish?.(inner) ?? ((channel, messages) => inner.publish(channel, messages))
      return openOrderService({ ...options, ...more, transport: { ...inner, publish } })
    },
    now,
  )
  if (transport === undefined) throw new Error('the service was not started')

  const must = async (route: string, body: unknown): Promise<unknown> => {
    const answer = await order.send('POST', route, body)
    if (answer.status >= 300) throw new Error(`${route}: ${JSON.stringify(answer)}`)
    return answer.body
  }
  return {
    ...order,
    transport,
    async orderAt(status) {
      const made = await must('/createOrder', { customer_id: 'cust_123', order_details })
      const { order_id: orderId } = made as { order_id: string }
      if (status === 'CANCELLED') {
        await must('/updateOrderStatus', { orderId, status: 'CREATED' })
        await must('/cancelOrder', { orderId })
      } else {
        for (const next of path.slice(0, path.indexOf(status) + 1)) {
          if (next === 'ACCEPTED') await must('/verifyAndAcceptOrder', { orderId, runner_id: 'runner_123' })
          else await must('/updateOrderStatus', { orderId, status: next })
        }
      }
      return orderId
    },
    details: async (orderId) => (await order.get(`/getOrderDetails?orderId=${orderId}`)).body,
  }
}

/** Why orders were cancelled, as far as anybody said; no route shows it. */
export async function cancelReasons({ target }: Place): Promise<readonly (string | null)[]> {
  const { db, close } = await openDatabase<OrderTables>(target, orderMigrations(target.kind))
  const rows = await db
    .selectFrom('orders')
    .select('cancel_reason')
    .where('cancel_reason', 'is not', null)
    .orderBy('cancel_reason')
    .execute()
  await close()
  return rows.map(({ cancel_reason }) => cancel_reason)
}

export interface BareCommands {
  send(...commands: readonly (readonly [type: string, correlationId: string, payload: unknown])[]): Promise<void>
  /** Everything answered to this correlation id, once there are so many answers. */
  answers(correlationId: string, count: number): Promise<readonly Message[]>
  /** The answer to one command. */
  ask(type: string, correlationId: string, payload: unknown): Promise<Message>
}

/** Commands as transports hand over those of foreign producers: no causation, and an id that is only their place. */
export function bareCommands({ heard, transport }: RunningOrders): BareCommands {
  let offset = 0
  const about = (correlationId: string) => heard.filter((message) => message.correlationId === correlationId)

  const send: BareCommands['send'] = (...commands) =>
    transport.publish(
      'order_commands',
      commands.map(([type, correlationId, payload]) => ({
        id: `order_commands:0:${(offset += 1)}`,
        type,
        correlationId,
        timestamp: '2026-01-01T12:00:00.123456',
        payload,
      })),
    )
  const answers: BareCommands['answers'] = async (correlationId, count) => {
    await expect.poll(() => about(correlationId).length, { timeout: 20_000 }).toBe(count)
    return about(correlationId)
  }
  return {
    send,
    answers,
    async ask(type, correlationId, payload) {
      const before = about(correlationId).length
      await send([type, correlationId, payload])
      return (await answers(correlationId, before + 1))[before] as Message
    },
  }
}
