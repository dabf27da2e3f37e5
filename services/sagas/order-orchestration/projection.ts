/**
 * Orders in Redis under the keys by which other programs know them (docs/wire-contract.md 5.5), made from the moves of the
 * sagas. They are for reading: the sagas themselves are in their store, and nothing here moves one or ends it.
 *
 * Invariants:
 * - a key lives for ten minutes after the last change of its order, and for as long as the order is under way or waits for a
 *   person;
 * - an older state is never written over a newer one, whichever process is slow;
 * - Redis away, or full, holds up nothing but the keys: they are caught up with once it is back.
 */
import { Redis } from 'ioredis'
import { setTimeout as delay } from 'node:timers/promises'
import type { Engine } from 'ordersaga/engine'
import { stepOf } from 'ordersaga/core'
import type { SagaState, SagaStatus } from 'ordersaga/state'
import type { Store, StoredSaga } from 'ordersaga/store'
import type { Logger } from 'pino'
import { decimalOf } from '../../shared/money/money.ts'
import { replyField } from './presenter.ts'
import { OrderOrchestrationInput } from './saga.ts'

export interface ProjectionOptions {
  readonly url: string
  /** Before the key of its own in which it keeps how far it is. */
  readonly prefix: string
  readonly engine: Engine
  readonly store: Pick<Store, 'load'>
  /** Whose sagas. */
  readonly definition: string
  /** How long an order can be found by its id after it was made, in milliseconds; for ever where none is given. */
  readonly retainMs?: number | undefined
  /** How long the other keys live after a change, in milliseconds. */
  readonly ttlMs?: number
  readonly log: Logger
}

export interface Projection {
  begin(): void
  /** Ends after the page in hand. */
  stop(): Promise<void>
}

/** What is said of one saga: each key with its value. */
interface Said {
  readonly order: object
  readonly product: object
  readonly payment: object
  readonly orderId: string | null
}

const usualTtlMs = 600_000
const firstRetryMs = 200
const lastRetryMs = 5_000
/** Sagas that are written at once. */
const portion = 200

const live = ['STARTED', 'COMPENSATING', 'CANCELLING', 'PARKED'] as const satisfies readonly SagaStatus[]

/** Null where the saga was begun with something else. */
function saidOf({ id, seq, state }: StoredSaga): Said | null {
  const input = OrderOrchestrationInput.safeParse(state.input)
  if (!input.success) return null
  const { user_email, vendor_email, delivery_address, description, items, payment_method, amount } = input.data
  const common = { transaction_id: id, saga_status: state.status, seq }
  const orderId = replyField(state, 'order', 'order_id')
  const products = items.map(({ product_id, quantity }) => ({ product_id, quantity }))
  return {
    order: {
      ...common,
      description,
      user_email,
      vendor_email,
      delivery_address,
      status: orderStatus(state),
      items: items.map((item) => ({ ...item, unit_price: decimalOf(item.unit_price) })),
      payment_method,
      payment_id: replyField(state, 'payment', 'payment_id'),
    },
    // The first by itself, for who knows of no more.
    product: { ...common, ...products[0], products },
    payment: {
      ...common,
      user_email,
      order_id: orderId,
      amount: decimalOf(amount),
      payment_method,
      payment_status: paymentStatus(state),
    },
    orderId,
  }
}

/** In the words of those who read it: they know the first two. */
function orderStatus(state: SagaState): string {
  if (state.status === 'CANCELLED' || state.status === 'CANCELLING') return 'cancelled'
  if (state.status === 'COMPENSATED' || state.status === 'COMPENSATING' || state.status === 'FAILED') return 'failed'
  return stepOf(state, 'order').phase === 'done' ? 'success' : 'Pending'
}

function paymentStatus(state: SagaState): string {
  const { phase } = stepOf(state, 'payment')
  if (phase === 'done') return 'success'
  if (phase === 'undone' || phase === 'rejected') return phase === 'undone' ? 'Cancelled' : 'Failed'
  if (phase !== 'todo') return 'Pending'
  // Not begun, and never to be where the order came to nothing.
  const order = orderStatus(state)
  return order === 'cancelled' ? 'Cancelled' : order === 'failed' ? 'Failed' : 'Pending'
}

/** KEYS: order, product, payment, and the one for the order's id. ARGV: seq, milliseconds, the values. */
const write = `
local old = redis.call('GET', KEYS[1])
if old then
  local read, was = pcall(cjson.decode, old)
  local seq = read and type(was) == 'table' and tonumber(was['seq'])
  if seq and seq > tonumber(ARGV[1]) then return 0 end
end
for n = 1, 3 do redis.call('SET', KEYS[n], ARGV[n + 3], 'PX', ARGV[2]) end
if KEYS[4] then
  if ARGV[3] == '' then redis.call('SET', KEYS[4], ARGV[7]) else redis.call('SET', KEYS[4], ARGV[7], 'PX', ARGV[3]) end
end
return 1
`

export function openProjection(options: ProjectionOptions): Projection {
  const { engine, store, definition, retainMs, ttlMs = usualTtlMs, log } = options
  const ending = new AbortController()
  const { signal } = ending
  const place = `${options.prefix}:projection`
  const client = new Redis(options.url, {
    connectionName: 'ordersaga, orders to read',
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(firstRetryMs * times, lastRetryMs),
  })
  client.on('error', () => undefined) // what was asked meanwhile tells it
  let running: Promise<unknown> = Promise.resolve()

  async function writeAll(sagas: readonly StoredSaga[], position: string | null): Promise<void> {
    const batch = client.pipeline()
    for (const saga of sagas) {
      const said = saidOf(saga)
      if (said === null) continue
      const keys = [`order_saga:${saga.id}`, `product_saga:${saga.id}`, `payment_saga:${saga.id}`]
      const values = [said.order, said.product, said.payment].map((value) => JSON.stringify(value))
      const { orderId } = said
      const all = orderId === null ? keys : [...keys, `order_id:${orderId}`]
      batch.eval(write, all.length, ...all, saga.seq, ttlMs, retainMs ?? '', ...values, saga.id)
    }
    if (position !== null) batch.set(place, position)
    for (const [error] of (await batch.exec()) ?? []) if (error !== null) throw error
  }

  /** All sagas that moved, as they are now. */
  async function follow(): Promise<void> {
    const after = await client.get(place)
    for await (const { moves, next } of engine.moves(after, signal)) {
      const ids = new Set(moves.filter((move) => move.definition === definition).map(({ sagaId }) => sagaId))
      // One that is damaged keeps the others from nothing.
      await writeAll((await store.load([...ids])).sagas, next)
    }
  }

  /** What is under way or parked is kept there, also where it does not move. */
  async function renew(): Promise<void> {
    for (const status of live)
      for (let after: string | null | undefined; after !== null;) {
        const { items, next } = await engine.list({ definition, status }, { limit: portion, after })
        if (items.length > 0) await writeAll(items, null)
        after = next
      }
  }

  /** Does the work until the end, and anew after what fails. */
  async function keepDoing(what: string, work: () => Promise<void>): Promise<void> {
    let pauseMs = firstRetryMs
    while (!signal.aborted)
      try {
        await work()
        pauseMs = firstRetryMs
      } catch (error) {
        if (signal.aborted) return
        log.warn({ err: error }, `${what} in Redis failed; it is tried again`)
        // A position of another store, or of one that was restored: all of it once more.
        if (error instanceof RangeError) await client.del(place).catch(() => undefined)
        await pause(pauseMs)
        pauseMs = Math.min(pauseMs * 2, lastRetryMs)
      }
  }

  const pause = (ms: number): Promise<void> => delay(ms, undefined, { signal, ref: false }).catch(() => undefined)

  return {
    begin() {
      const renewing = async (): Promise<void> => {
        await renew()
        await pause(ttlMs / 3)
      }
      running = Promise.all([
        keepDoing('Following orders', follow),
        keepDoing('Keeping orders that are under way', renewing),
      ])
    },
    async stop() {
      ending.abort()
      // Where it does not answer, nothing in hand is lost: it begins again where it was.
      client.disconnect()
      await running
    },
  }
}
