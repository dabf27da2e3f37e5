/** The Timer Service over HTTP (docs/wire-contract.md). */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { storableText } from '../shared/database/text.ts'
import { HttpError } from '../shared/http/http-error.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import type { Worker } from '../shared/worker.ts'
import type { TimerTables } from './schema.ts'
import { endTimerOfOrder, findTimer, findTimerOfOrder, insertTimer } from './rows.ts'
import { timerJson, TimerView } from './view.ts'

const halfAnHourMs = 30 * 60_000
const minuteMs = 60_000
const tags = ['timers']

const orderId = storableText.meta({ example: exampleIds.order })
const runnerId = storableText.meta({ example: exampleIds.runner })
const startBody = z.object({
  orderId,
  customerId: storableText.meta({ example: exampleIds.customer }),
  runnerId: runnerId.nullish(),
})

const Done = z.object({ success: z.literal(true), message: z.string().meta({ example: 'Timer started' }) })
const Started = Done.extend({ timerId: z.string().meta({ example: exampleIds.timer }), expiresAt: UtcText })
const Shown = z.object({ success: z.literal(true), timer: TimerView })
const config = { refuses: [404] } as const

export function timerRoutes(server: HttpServer, db: Kysely<TimerTables>, expiry: Worker, now: () => number): void {
  async function start(body: z.infer<typeof startBody>, afterMs: number) {
    const { orderId, customerId, runnerId = null } = body
    const expiresAt = now() + afterMs
    // The saga of the order's last timer is told of this one too.
    const sagaId = (await findTimerOfOrder(db, orderId))?.saga_id ?? null
    const timer = await insertTimer(db, { orderId, customerId, runnerId, sagaId, expiresAt }, now())
    if (timer === undefined) throw new HttpError(400, `A timer is running for order ${orderId} already.`)
    expiry.nudge()
    return { success: true as const, message: 'Timer started', timerId: timer.timer_id, expiresAt: utcText(expiresAt) }
  }

  server.post(
    '/start-request-timer',
    {
      schema: {
        operationId: 'start_timer',
        tags,
        summary: 'Starts the 30 minutes in which a runner may accept',
        body: startBody,
        response: { 201: Started },
      },
    },
    async ({ body }, reply) => reply.code(201).send(await start(body, halfAnHourMs)),
  )

  server.post(
    '/test-quick-timer',
    {
      schema: {
        operationId: 'start_quick_timer',
        tags,
        summary: 'Starts a timer of one minute',
        body: startBody,
        response: { 201: Started },
      },
    },
    async ({ body }, reply) => reply.code(201).send(await start(body, minuteMs)),
  )

  server.post(
    '/stop-request-timer',
    {
      schema: {
        operationId: 'stop_timer',
        tags,
        summary: 'A runner has accepted',
        body: z.object({ orderId, runnerId }),
        response: { 200: Done },
      },
      config,
    },
    async ({ body: { orderId, runnerId } }) => {
      const stopped = await endTimerOfOrder(db, orderId, { state: 'STOPPED', runner_id: runnerId })
      if (stopped !== undefined) return { success: true as const, message: 'Timer stopped' }
      const timer = found(`for order ${orderId}`, await findTimerOfOrder(db, orderId))
      if (timer.state === 'STOPPED') throw new HttpError(400, `Order ${orderId} was accepted already.`)
      throw notRunning(orderId, timer.state)
    },
  )

  server.post(
    '/cancel-timer',
    {
      schema: {
        operationId: 'cancel_timer',
        tags,
        summary: 'Calls the timer of an order off',
        body: z.object({ orderId }),
        response: { 200: Done },
      },
      config,
    },
    async ({ body: { orderId } }) => {
      const cancelled = await endTimerOfOrder(db, orderId, { state: 'CANCELLED' })
      const timer = cancelled ?? found(`for order ${orderId}`, await findTimerOfOrder(db, orderId))
      if (timer.state !== 'CANCELLED') throw notRunning(orderId, timer.state)
      return { success: true as const, message: 'Timer cancelled' }
    },
  )

  server.get(
    '/check-order-timeout',
    {
      schema: {
        operationId: 'look_for_expired_timers',
        tags,
        summary: 'Looks for expired timers now',
        response: { 200: Done },
      },
    },
    async () => {
      await expiry.look()
      return { success: true as const, message: 'Expired timers were looked for' }
    },
  )

  server.get(
    '/timers/:timer_id',
    {
      schema: {
        operationId: 'get_timer',
        tags,
        summary: 'One timer',
        params: z.object({ timer_id: storableText.meta({ example: exampleIds.timer }) }),
        response: { 200: Shown },
      },
      config,
    },
    async ({ params: { timer_id } }) => ({
      success: true as const,
      timer: timerJson(found(timer_id, await findTimer(db, timer_id))),
    }),
  )

  server.get(
    '/timers/order/:order_id',
    {
      schema: {
        operationId: 'get_timer_of_order',
        tags,
        summary: 'The timer of an order',
        params: z.object({ order_id: orderId }),
        response: { 200: Shown },
      },
      config,
    },
    async ({ params: { order_id } }) => ({
      success: true as const,
      timer: timerJson(found(`for order ${order_id}`, await findTimerOfOrder(db, order_id))),
    }),
  )
}

function found<Row>(which: string, timer: Row | undefined): Row {
  if (timer === undefined) throw new HttpError(404, `There is no timer ${which}.`)
  return timer
}

function notRunning(orderId: string, state: string): HttpError {
  return new HttpError(404, `No timer is running for order ${orderId}: the last one is ${state}.`)
}
