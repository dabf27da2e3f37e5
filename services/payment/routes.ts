/** The Payment Service over HTTP (docs/wire-contract.md): reads, and commands for those who have no broker. */
import { v7 as uuid } from 'uuid'
import type { CommandContract } from 'ordersaga/contract'
import type { Participant } from 'ordersaga/participant'
import { commandChannel, type Transport } from 'ordersaga/transport'
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import type { Database } from '../shared/database/database.ts'
import { storableText } from '../shared/database/text.ts'
import { errorShape } from '../shared/http/error-shapes.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { checkSameAs, keyedBy, keyedCommand, KeyedHeaders, obeyKeyed, type Keyed } from '../shared/http/keyed.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { auditPayments, AuditView } from './audit.ts'
import { releasePayment, revertPayment } from './messages.ts'
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
/** To those who wait for it. */
const Settled = Shown.extend({ message: z.string().meta({ example: 'It is done.' }) })
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
  /** Obeys what is waited for. */
  readonly obey: Participant['obey']
}

/** RFC 7240: how many seconds the client waits for the outcome; told at once where none is given. */
const Waiting = KeyedHeaders.extend({
  prefer: z.string().max(200).optional().meta({ example: 'wait=10' }),
})

/** A client that waits longer asks again. */
const longestWaitMs = 30_000

function waitOf(prefer: string | undefined): number | null {
  const [, seconds] = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/i.exec(prefer ?? '') ?? []
  return seconds === undefined ? null : Math.min(Number(seconds) * 1000, longestWaitMs)
}

export function paymentRoutes(server: HttpServer, { database, transport, source, now, obey }: RouteParts): void {
  const { db } = database
  const audit = oneAtATime(() => auditPayments(database))

  /** The wire contract calls whatever carries the commands Kafka. */
  async function command({ type }: CommandContract, keyed: Keyed | null, payload: unknown): Promise<string> {
    const own = { id: uuid(), correlationId: uuid(), type, payload, timestamp: new Date(now()).toISOString() }
    const message = {
      ...(keyed === null ? own : keyedCommand({ type, undone: releasePayment.type }, keyed, payload, now())),
      source,
    }
    const { correlationId } = message
    try {
      await transport.publish(commandChannel('payment'), [message])
      return correlationId
    } catch (error) {
      server.log.warn({ err: error, sagaId: correlationId }, `${type} could not be published`)
      throw new HttpError(503, `${type} may not have been taken: nothing carries commands now. Send it again.`, 1)
    }
  }

  /** Null where it is not done in time: it goes on, and the same request tells what became of it. */
  async function outcome<
    Payload extends { readonly payment_id?: string | null | undefined; readonly runner_id?: string },
    Data,
    Received,
    Given,
  >(
    contract: CommandContract<Payload, Data, Received, Given>,
    keyed: Keyed,
    payload: NoInfer<Payload>,
    waitMs: number,
  ): Promise<z.infer<typeof Settled> | null> {
    const obeyed = obeyKeyed(obey, contract, releasePayment.type, keyed, payload, now())
    const said = await within(waitMs, obeyed)
    if (said === null) {
      obeyed.catch((err: unknown) =>
        server.log.warn({ err }, `${contract.type} of unknown outcome: asked again under its key`),
      )
      return null
    }
    const about = 'done' in said ? said.done : said.details
    const { payment_id, runner_id } = about as { readonly payment_id?: unknown; readonly runner_id?: unknown }
    checkSameAs(payload.payment_id ?? '', payment_id)
    if (payload.runner_id !== undefined && runner_id != null) checkSameAs(payload.runner_id, runner_id)
    if ('refused' in said) throw new HttpError(said.refused.startsWith('not_found') ? 404 : 400, said.refused)
    return {
      ...shown(await findPayment(db, payload.payment_id ?? ''), payload.payment_id ?? ''),
      message: 'It is done.',
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
        headers: Waiting,
        params: byPayment,
        body: z.object({
          runner_id: storableText.meta({ example: exampleIds.runner }),
          runner_connect_account_id: storableText.meta({ example: 'acct_123' }),
        }),
        response: { 200: Settled, 202: AskedFor },
      },
      config: keyedRefusals,
    },
    async ({ params: { payment_id }, body, headers }, reply) => {
      const keyed = keyedBy(headers)
      const waitMs = waitOf(headers.prefer)
      const asked = { payment_id, ...body }
      if (keyed !== null && waitMs !== null) {
        const settled = await outcome(releasePayment, keyed, asked, waitMs)
        if (settled !== null) return settled
        return reply.code(202).send(stillAsked('release', keyed))
      }
      const correlation_id = await command(releasePayment, keyed, asked)
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
        headers: Waiting,
        params: byPayment,
        body: z.object({ reason: z.string().nullish().meta({ example: 'requested_by_customer' }) }).nullish(),
        response: { 200: Settled, 202: AskedFor },
      },
      config: keyedRefusals,
    },
    async ({ params: { payment_id }, body, headers }, reply) => {
      const keyed = keyedBy(headers)
      const waitMs = waitOf(headers.prefer)
      const asked = { payment_id, reason: body?.reason ?? null }
      if (keyed !== null && waitMs !== null) {
        const settled = await outcome(revertPayment, keyed, asked, waitMs)
        if (settled !== null) return settled
        return reply.code(202).send(stillAsked('revert', keyed))
      }
      const correlation_id = await command(revertPayment, keyed, asked)
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

const keyedRefusals = { refuses: [404, 422] } as const

const stillAsked = (what: string, { key }: Keyed) => ({
  success: true as const,
  message: `The ${what} is under way: ask again with the same Idempotency-Key for what became of it.`,
  correlation_id: key,
})

/** Null where it takes longer. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => (timer = setTimeout(resolve, ms, null)))
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
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
  422: 'BAD_REQUEST',
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
