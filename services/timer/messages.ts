/**
 * What the Timer Service can be asked over messages, and what it says (docs/wire-contract.md).
 */
import { participantContract, type EventContract } from 'ordersaga/contract'
import { z } from 'zod'
import { storableText } from '../shared/database/text.ts'
import { utcMs } from '../shared/time/utc.ts'

const timer = participantContract('timer', { tombstones: true })

export const startOrderTimer = timer.command('start_order_timer', {
  payload: z.object({
    order_id: storableText,
    customer_id: storableText,
    /** ISO 8601; without an offset it is UTC. */
    timeout_at: z.string().refine((value) => utcMs(value) !== null, 'must be an ISO 8601 time'),
    saga_id: storableText.optional(),
  }),
  done: [
    'timer.started',
    z.object({
      order_id: z.string().nullish(),
      timer_id: z.string().nullish(),
      timeout_at: z.string().nullish(),
      timer_set_at: z.string().nullish(),
      status: z.string().nullish(),
    }),
  ],
  rejected: ['timer.failed', z.object({ order_id: z.string().nullish(), error: z.string() })],
})

/** The undo of `start_order_timer`; a timer that has fired or never was counts as cancelled. */
export const cancelOrderTimer = timer.command('cancel_order_timer', {
  payload: z.object({ order_id: storableText.nullish(), reason: z.string().optional() }),
  done: ['timer.cancelled', z.object({ order_id: z.string().nullish(), reason: z.string().nullish() })],
  safeOnNothing: true,
})

const OfSaga = z.object({ sagaId: z.string().nullish() })

/** Said on `timer_events` when a timer expires, at least once and never early. */
export const orderTimeout = {
  type: 'ORDER_TIMEOUT',
  data: z.object({
    timerId: z.string().nullish(),
    orderId: z.string().nullish(),
    customerId: z.string().nullish(),
    sagaId: z.string().nullish(),
    expiresAt: z.string().nullish(),
  }),
  channel: 'timer_events',
  sagaId: (payload, correlationId) => OfSaga.safeParse(payload).data?.sagaId ?? correlationId,
} satisfies EventContract
