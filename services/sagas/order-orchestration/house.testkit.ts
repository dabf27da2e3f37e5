/** For tests of the Order Orchestration: its service, participants that answer as they are told, and who may ask. */
import type { Engine } from 'ordersaga/engine'
import { done, handle, participant, rejected, type Handled } from 'ordersaga/participant'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { memoryStore } from 'ordersaga/stores/memory'
import type { Store } from 'ordersaga/store'
import type { Message, Subscription, Transport } from 'ordersaga/transport'
import { memoryTransport } from 'ordersaga/transports/memory'
import { pino } from 'pino'
import { expect } from 'vitest'
import type { User } from '../../shared/auth/access-token.ts'
import type { Verify } from '../../shared/auth/verifier.ts'
import { orderOrchestrationChannels } from '../../shared/order-orchestration.ts'
import { call, type Answered, type Asked } from '../../shared/testing/call.ts'
import { shopOrderCommands } from '../../shop-order/messages.ts'
import { shopPaymentCommands } from '../../shop-payment/messages.ts'
import { stockCommands } from '../../stock/messages.ts'
import type { ProductReader } from '../../stock/reader.ts'
import type { Part } from './saga.ts'
import { openOrderOrchestrationService } from './service.ts'

export const lamp = '66a1f0c2b3d4e5f601020304'
export const chair = '66a1f0c2b3d4e5f601020305'

/** An order that is taken: two lamps at 4.50 and a chair at 19.99. */
export const order = {
  user_email: 'ada@example.com',
  vendor_email: 'vendor@example.com',
  delivery_address: '12 Orchard Road',
  items: [
    { product_id: lamp, quantity: 2, unit_price: 4.5 },
    { product_id: chair, quantity: 1, unit_price: 19.99 },
  ],
  payment_method: 'Credit Card',
}

export interface OrderBody {
  readonly saga_id: string
  readonly order_id: string | null
  readonly payment_id: string | null
  readonly status: string
  readonly current_step: string
  readonly error: string | null
  readonly amount: number
  readonly cancel: { readonly by: string; readonly reason: string } | null
}

export interface House {
  readonly url: string
  readonly engine: Engine
  readonly store: Store
  readonly transport: Transport
  /** What is refused from now on, and with what reason. */
  readonly refused: Map<string, string>
  /** What nobody answers from now on. */
  readonly lost: Set<string>
  /** What the participants were sent, in order. */
  readonly sent: Message[]
  readonly types: () => readonly string[]
  /** As the Stock Service answers; an error is thrown. */
  readonly prices: Map<string, number | Error>
  /** Called when a product is asked for, before it is looked up. */
  onAsked: (productId: string) => Promise<void>
  /** Whose products they are; nobody tells where none is given. */
  vendor: string | null
  /** With the token of `ada`, unless told otherwise. */
  call(method: string, path: string, asked?: Asked): Promise<Answered>
  /** Orders what must be taken; gives the saga's id. */
  place(more?: object, headers?: Readonly<Record<string, string>>): Promise<string>
  order(id: string): Promise<OrderBody>
  reaches(status: string, id: string): Promise<OrderBody>
  close(): Promise<void>
}

/** The token is the name. */
const people: Readonly<Record<string, Awaited<ReturnType<Verify>>>> = {
  ada: { kind: 'user', user: user('ada', 'customer') },
  bob: { kind: 'user', user: user('bob', 'customer') },
  root: { kind: 'user', user: user('root', 'admin') },
  unnamed: { kind: 'somebody', role: 'customer' },
  nobody: { kind: 'unknown', why: 'the auth server does not answer: try again in a moment' },
}

function user(name: string, role: User['roles'][number]): User {
  return { subject: name, email: `${name}@example.com`, roles: [role] }
}

const verify: Verify = async (authorization) =>
  people[authorization ?? ''] ?? { kind: 'refused', why: 'send a token in the header Authorization' }

export interface HouseOptions {
  readonly foreign?: readonly Part[]
  readonly acceptUnnamed?: boolean
  readonly attemptMs?: number
  readonly foreignMs?: number
  readonly patienceMs?: number
  /** Between the service and its store. */
  readonly over?: (store: Store) => Store
}

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const { foreign = [], acceptUnnamed = false, over = (kept) => kept, ...timing } = options
  const transport = memoryTransport()
  const refused = new Map<string, string>()
  const lost = new Set<string>()
  const sent: Message[] = []
  const prices = new Map<string, number | Error>([
    [lamp, 4.5],
    [chair, 19.99],
  ])
  const products: ProductReader = async (id) => {
    await house.onAsked(id)
    const price = prices.get(id)
    if (price instanceof Error) throw price
    return price === undefined ? null : { name: id, price, vendor: house.vendor }
  }
  const seen = listening(transport, sent, lost)
  const attached: Subscription[] = []
  for (const [name, handlers] of Object.entries(participants(refused)))
    attached.push(
      await participant({ name, source: name, inbox: memoryInbox(), handlers, onProblem: () => undefined }).attach(
        seen,
      ),
    )
  const store = over(memoryStore())
  const service = await openOrderOrchestrationService({
    store,
    transport,
    host: '127.0.0.1',
    port: 0,
    log: pino({ level: 'silent' }),
    verify,
    acceptUnnamed,
    foreign,
    products,
    ...timing,
  })
  const { url } = service
  const ask: House['call'] = (method, path, { headers, ...asked } = {}) =>
    call(method, url + path, { ...asked, headers: { authorization: 'ada', ...headers } })
  const orderOf = async (id: string): Promise<OrderBody> =>
    (await ask('GET', `/orders/${id}`, { headers: { authorization: 'root' } })).body as OrderBody
  const house: House = {
    url,
    engine: service.engine,
    store,
    transport,
    refused,
    lost,
    sent,
    types: () => sent.map(({ type }) => type),
    prices,
    onAsked: async () => undefined,
    vendor: null,
    call: ask,
    async place(more = {}, headers = {}) {
      const { status, body, text } = await ask('POST', '/orders/create_order', { json: { ...order, ...more }, headers })
      expect([status, text]).toEqual([200, expect.stringContaining('saga_id')])
      return (body as { readonly saga_id: string }).saga_id
    },
    order: orderOf,
    async reaches(status, id) {
      await expect.poll(async () => (await orderOf(id)).status, { timeout: 30_000, interval: 10 }).toBe(status)
      return orderOf(id)
    },
    async close() {
      await service.close()
      for (const each of attached) await each.close()
      await transport.close()
    },
  }
  return house
}

/** Answer with ids of their own, and refuse what they are told to refuse. */
function participants(refused: ReadonlyMap<string, string>): Readonly<Record<string, readonly Handled<unknown>[]>> {
  const { reduceStock, rollbackStock } = stockCommands.ours
  const { takePayment, rollbackPayment, updatePaymentOrderId } = shopPaymentCommands.ours
  const { createOrder, rollbackOrder, updateOrderPaymentId } = shopOrderCommands.ours
  let count = 0
  const answer = <Data>(type: string, data: Data) => {
    const reason = refused.get(type)
    return reason === undefined ? done(data) : rejected(reason)
  }
  return {
    stock: [
      handle(reduceStock, async () => answer('reduce_stock', null)),
      handle(rollbackStock, async () => answer('rollback_stock', null)),
    ],
    'shop-payment': [
      handle(takePayment, async () => answer('take_payment', { payment_id: `payment-${++count}` })),
      handle(rollbackPayment, async () => answer('rollback_payment', null)),
      handle(updatePaymentOrderId, async () => answer('update_payment_order_id', null)),
    ],
    'shop-order': [
      handle(createOrder, async () => answer('create_order', { order_id: `order-${++count}` })),
      handle(rollbackOrder, async () => answer('rollback_order', null)),
      handle(updateOrderPaymentId, async () => answer('update_order_payment_id', null)),
    ],
  }
}

const { replies } = orderOrchestrationChannels

/** Notes what is sent to participants, and loses what is to be lost. */
function listening(inner: Transport, sent: Message[], lost: ReadonlySet<string>): Transport {
  return {
    publish: (channel, messages) => inner.publish(channel, messages),
    subscribe: (channel, group, handler) =>
      inner.subscribe(channel, group, (batch) => {
        if (channel !== replies) sent.push(...batch)
        return handler(batch.filter(({ type }) => !lost.has(type)))
      }),
    ready: () => inner.ready(),
    close: () => inner.close(),
  }
}
