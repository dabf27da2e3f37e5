/** The Payment Service over HTTP (docs/wire-contract.md): reads, and commands for those who have no broker. */
import { v7 as uuid } from 'uuid'
import { commandChannel, type Transport } from 'ordersaga/transport'
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import type { Database } from '../shared/database/database.ts'
import { storableText } from '../shared/database/text.ts'
import { errorShape } from '../shared/http/error-shapes.ts'
import { HttpError } from '../shared/http/http-error.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { auditPayments, AuditView } from './audit.ts'
import { findByOrder, findPayment, historyOf, isMarker } from './rows.ts'
import type { PaymentRow, PaymentTables } from './schema.ts'
import { paymentJson, PaymentView } from './view.ts'

const tags = ['payments']

const paymentId = storableText.meta({ example: exampleIds.payment })
const byPayment = z.object({ payment_id: paymentId })
const byOrder = z.object({ order_id: storableText.meta({ example: exampleIds.order }) })
const byUser = z.object({ user_id: storableText.meta({ example: exampleIds.customer }) })

const Shown = z.object({ success: z.literal(true), payment: PaymentView })
const AskedFor = z.object({
  success: z.literal(true),
  message: z.string().meta({ example: 'The revert was asked for.' }),
  correlation_id: z.string().meta({ description: 'Of the answer on `payment_events`', example: exampleIds.message }),
})
const Totals = z.object({
  userId: z.string().meta({ example: exampleIds.customer }),
  totalSpent: z.number().meta({ description: 'Decimal SGD', example: 25.98 }),
  totalEarned: z.number().meta({ description: 'Decimal SGD', example: 0 }),
  spentCount: z.int().meta({ example: 2 }),
  earnedCount: z.int().meta({ example: 0 }),
})

export interface RouteParts {
  readonly database: Database<PaymentTables>
  readonly transport: Transport
  readonly source: string
  readonly now: () => number
}

export function paymentRoutes(server: HttpServer, { database, transport, source, now }: RouteParts): void {
  const { db } = database
  const audit = oneAtATime(() => auditPayments(database))

  /** The wire contract calls whatever carries the commands Kafka. */
  async function command(type: string, payload: unknown): Promise<string> {
    const correlationId = uuid()
    const message = { id: uuid(), type, correlationId, timestamp: new Date(now()).toISOString(), source, payload }
    try {
      await transport.publish(commandChannel('payment'), [message])
      return correlationId
    } catch (error) {
      server.log.warn({ err: error, sagaId: correlationId }, `${type} could not be published`)
      throw new HttpError(503, `${type} may not have been taken: nothing carries commands now. Send it again.`, 1)
    }
  }

  server.get(
    '/payment/:order_id/status',
    {
      schema: {
        operationId: 'get_payment_of_order',
        tags,
        summary: 'The payment of an order',
        params: byOrder,
        response: { 200: Shown },
      },
      config: { refuses: [404] },
    },
    async ({ params: { order_id } }) => shown(await findByOrder(db, order_id), `for order ${order_id}`),
  )

  server.get(
    '/payment/:payment_id/details',
    {
      schema: { operationId: 'get_payment', tags, summary: 'One payment', params: byPayment, response: { 200: Shown } },
      config: { refuses: [404] },
    },
    async ({ params: { payment_id } }) => shown(await findPayment(db, payment_id), payment_id),
  )

  server.post(
    '/payment/:payment_id/release',
    {
      schema: {
        operationId: 'release_payment',
        tags,
        summary: 'Asks for the money to be taken and given to the runner',
        params: byPayment,
        body: z.object({
          runner_id: storableText.meta({ example: exampleIds.runner }),
          runner_connect_account_id: storableText.meta({ example: 'acct_123' }),
        }),
        response: { 202: AskedFor },
      },
    },
    async ({ params: { payment_id }, body }, reply) => {
      const correlation_id = await command('release_payment', { payment_id, ...body })
      return reply.code(202).send({ success: true as const, message: 'The release was asked for.', correlation_id })
    },
  )

  server.post(
    '/payment/:payment_id/revert',
    {
      schema: {
        operationId: 'revert_payment',
        tags,
        summary: 'Asks for the money to be given back to the customer',
        params: byPayment,
        body: z.object({ reason: z.string().nullish().meta({ example: 'requested_by_customer' }) }).nullish(),
        response: { 202: AskedFor },
      },
    },
    async ({ params: { payment_id }, body }, reply) => {
      const correlation_id = await command('revert_payment', { payment_id, reason: body?.reason ?? null })
      return reply.code(202).send({ success: true as const, message: 'The revert was asked for.', correlation_id })
    },
  )

  server.get(
    '/history/:user_id',
    {
      schema: {
        operationId: 'get_payment_history',
        tags,
        summary: 'What a user has spent as a customer and earned as a runner',
        params: byUser,
        response: { 200: Totals },
      },
    },
    ({ params: { user_id } }) => historyOf(db, user_id),
  )

  server.get(
    '/ledger/audit',
    {
      schema: {
        operationId: 'audit_ledger',
        tags: ['operations'],
        summary: 'Whether payments, books and sandbox gateway agree; in cents',
        response: { 200: AuditView },
      },
    },
    () => audit(),
  )
}

/** Whoever asks while one is at work shares the next: it sees all that was there when they asked. */
function oneAtATime<T>(work: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  let next: Promise<T> | null = null
  return () => {
    next ??= last.then(() => {
      const running = work()
      last = running.catch(() => undefined)
      next = null
      return running
    })
    return next
  }
}

function shown(row: PaymentRow | undefined, which: string) {
  if (row === undefined || isMarker(row)) throw new HttpError(404, `There is no payment ${which}.`)
  return { success: true as const, payment: paymentJson(row) }
}

const codes: Readonly<Record<number, 'BAD_REQUEST' | 'NOT_FOUND' | 'KAFKA_ERROR'>> = {
  400: 'BAD_REQUEST',
  404: 'NOT_FOUND',
  503: 'KAFKA_ERROR',
}

/** As docs/wire-contract.md has it. */
export const paymentErrors = errorShape(
  z.object({
    success: z.literal(false),
    error: z.enum(['BAD_REQUEST', 'NOT_FOUND', 'KAFKA_ERROR', 'SERVER_ERROR']),
    message: z.string().meta({ example: 'There is no payment 42.' }),
  }),
  (status, message) => ({
    success: false,
    error: codes[status] ?? (status < 500 ? 'BAD_REQUEST' : 'SERVER_ERROR'),
    message,
  }),
)
