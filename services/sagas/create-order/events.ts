/**
 * What others tell of an order whose saga is complete, and what follows: its timer has expired, it was cancelled at the
 * Order Service, or its runner gave it back.
 *
 * Invariant: no order waits without a runner and without a time (design section 4). One that is given back after its time
 * was over is cancelled at once: its timer has fired, in vain, and fires no more. Before, its timer is asked for again,
 * and a timer that runs on is the answer. Nobody says these things twice, so what cannot be done now is done later.
 */
import type { Engine } from 'ordersaga/engine'
import { EngineError } from 'ordersaga/engine/errors'
import { stepOf } from 'ordersaga/evolve'
import {
  commandChannel,
  eventChannel,
  RefusedError,
  UnavailableError,
  type Message,
  type Subscription,
  type Transport,
} from 'ordersaga/transport'
import { readOrderEvent } from '../../order/messages.ts'
import { orderTimeout, startOrderTimer } from '../../timer/messages.ts'
import { byTimer } from './routes.ts'
import { summaryOf } from './view.ts'

type Sagas = Pick<Engine, 'get' | 'cancel'>

export interface EventsOptions {
  readonly engine: Sagas
  readonly transport: Pick<Transport, 'publish' | 'subscribe'>
  /** The consumer group of the saga's replicas; the events have groups of their own beside it. */
  readonly group: string
  /** How long a runner has to accept, in milliseconds. */
  readonly timerMs: number
}

export async function followOrders(options: EventsOptions): Promise<Subscription> {
  const { engine, transport, group } = options
  const each = (handle: (message: Message) => Promise<void>) => async (batch: readonly Message[]) => {
    try {
      await Promise.all(batch.map(handle))
    } catch (error) {
      throw error instanceof EngineError && passing.has(error.code) ? later(error.message, error) : error
    }
  }
  const subscriptions = [
    await transport.subscribe(
      eventChannel('timer'),
      `${group}-expiries`,
      each((message) => expire(engine, message)),
    ),
    await transport.subscribe(
      eventChannel('order'),
      `${group}-orders`,
      each((message) => follow(options, message)),
    ),
  ]
  return {
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.close()))
    },
  }
}

const passing: ReadonlySet<string> = new Set(['busy', 'stopped'])

const later = (why: string, cause?: unknown): UnavailableError => new UnavailableError(why, { cause })

/** Nobody waits for what the Order Service decides: the saga shows it. */
async function expire(engine: Sagas, message: Message): Promise<void> {
  if (message.type !== orderTimeout.type) return
  const payload = orderTimeout.data.safeParse(message.payload)
  const sagaId = (payload.success ? payload.data.sagaId : null) ?? message.correlationId
  if ((await engine.get(sagaId)) !== null) await engine.cancel(sagaId, ...byTimer)
}

async function follow(options: EventsOptions, message: Message): Promise<void> {
  const event = readOrderEvent(message)
  if (event === null) return
  if (event.happening === 'cancelled') await undo(options.engine, event.sagaId)
  else if (event.happening === 'acceptanceCancelled' || event.happening === 'runnerCleared')
    await waitAgain(options, event.sagaId, message)
}

/** The order is cancelled already; what else its saga did is undone. */
async function undo(engine: Sagas, sagaId: string): Promise<void> {
  if ((await engine.get(sagaId)) !== null)
    await engine.cancel(sagaId, 'order-service', 'The order was cancelled at the Order Service')
}

async function waitAgain({ engine, transport, timerMs }: EventsOptions, sagaId: string, cause: Message): Promise<void> {
  const saga = await engine.get(sagaId)
  if (saga === null) return
  const timer = stepOf(saga.state, 'timer')
  if (timer.phase === 'todo') return
  const expiresAt = timer.since + timerMs
  if (expiresAt <= Date.now()) return cancelOnceDecided(engine, sagaId)
  const { customer_id, order_id } = summaryOf(saga)
  const again: Message = {
    id: `${cause.id}:timer`,
    type: startOrderTimer.type,
    correlationId: sagaId,
    timestamp: new Date().toISOString(),
    payload: { order_id, customer_id, timeout_at: new Date(expiresAt).toISOString(), saga_id: sagaId },
  }
  await transport.publish(commandChannel('timer'), [again]).catch((error: unknown) => {
    throw error instanceof RefusedError ? error : later('the timer of an order could not be asked for', error)
  })
}

/** An earlier cancel, of which the Order Service may have decided while the runner still had the order, proves nothing. */
async function cancelOnceDecided(engine: Sagas, sagaId: string): Promise<void> {
  const { accepted, saga } = await engine.cancel(sagaId, ...byTimer)
  const isUndecided = saga.state.status === 'CANCELLING' && stepOf(saga.state, 'create').phase === 'undoing'
  if (!accepted && isUndecided)
    throw later(`what the Order Service decides of the last cancel of saga ${sagaId} is waited for`)
}
