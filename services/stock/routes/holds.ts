/**
 * Holds over HTTP: for a page that shows somebody a basket for a while. A hold ends by itself; whoever keeps it first has its
 * products for good. It is its user's, where users are known here. What orders have taken is shown here too, by their
 * transaction, and ended by them alone.
 */
import type { Kysely, Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import { roles } from '../../shared/auth/access-token.ts'
import { callerOf, isAdministrator, isFor, type Caller } from '../../shared/auth/access.ts'
import { retryContention } from '../../shared/database/database.ts'
import { storableText } from '../../shared/database/text.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import type { Worker } from '../../shared/worker.ts'
import { linesOf } from '../domain.ts'
import { mostLines, mostQuantity } from '../messages.ts'
import { endHold, findReservations, linesTaken, reserve } from '../rows.ts'
import type { ReservationRow, StockTables } from '../schema.ts'
import { answer, answerOf, exampleHold, exampleProduct, holdJson, HoldView } from '../view.ts'

const tags = ['holds']
const params = z.object({ id: storableText.meta({ example: exampleHold }) })
const One = answerOf(HoldView)

const NewHold = z.object({
  products: z
    .array(
      z.object({
        product_id: storableText.meta({ example: exampleProduct }),
        quantity: z.int().min(1).max(mostQuantity).meta({ example: 1 }),
      }),
    )
    .min(1)
    .max(mostLines),
  seconds: z.int().min(1).max(86_400).default(600).meta({ example: 600 }),
})

export interface HoldRoutes {
  readonly db: Kysely<StockTables>
  readonly expiry: Worker
  readonly now: () => number
}

export function holdRoutes(server: HttpServer, { db, expiry, now }: HoldRoutes): void {
  const transaction = <T>(work: (tx: Transaction<StockTables>) => Promise<T>): Promise<T> =>
    retryContention(() => db.transaction().execute(work))

  server.post(
    '/stock/holds',
    {
      config: { for: roles, refuses: [409] },
      schema: {
        operationId: 'hold_stock',
        tags,
        summary: 'Holds products for a while: all of them, or none',
        body: NewHold,
        response: { 201: One },
      },
    },
    async (request, reply) => {
      const { products, seconds } = request.body
      const hold = {
        transactionId: uuidv7(),
        lines: linesOf(products),
        state: 'HELD' as const,
        expiresAt: now() + seconds * 1000,
        heldBy: callerOf(request)?.email ?? null,
      }
      const [refusal] = await transaction((tx) => reserve(tx, [hold], now()))
      if (refusal != null) throw new HttpError(409, `Nothing is held: ${refusal}.`)
      expiry.nudge()
      const row = { transaction_id: hold.transactionId, state: hold.state, expires_at: hold.expiresAt }
      return reply.code(201).send(answer('Products held', holdJson(row, hold.lines)))
    },
  )

  server.get(
    '/stock/holds/:id',
    {
      config: { for: roles, refuses: [404] },
      schema: {
        operationId: 'get_hold',
        tags,
        summary: 'What a hold, or the transaction of an order, has taken',
        params,
        response: { 200: One },
      },
    },
    (request) =>
      transaction(async (tx) => {
        const { id } = request.params
        const hold = found(callerOf(request), id, (await findReservations(tx, [id])).get(id))
        return answer('Hold found', holdJson(hold, await linesTaken(tx, id)))
      }),
  )

  const ended = async (caller: Caller, id: string, to: 'TAKEN' | 'RETURNED') =>
    transaction(async (tx) => {
      found(caller, id, (await findReservations(tx, [id])).get(id))
      const hold = found(caller, id, await endHold(tx, id, to, now()))
      if (hold.state !== to)
        throw new HttpError(409, `Hold ${id} is ${hold.state} already: what is not HELD stays as it is.`)
      return holdJson(hold, await linesTaken(tx, id))
    })

  server.post(
    '/stock/holds/:id/keep',
    {
      config: { for: roles, refuses: [404, 409] },
      schema: {
        operationId: 'keep_hold',
        tags,
        summary: 'Takes for good what is held',
        params,
        response: { 200: One },
      },
    },
    async (request) => answer('Products taken', await ended(callerOf(request), request.params.id, 'TAKEN')),
  )

  server.delete(
    '/stock/holds/:id',
    {
      config: { for: roles, refuses: [404, 409] },
      schema: { operationId: 'end_hold', tags, summary: 'Gives back what is held', params, response: { 200: One } },
    },
    async (request) => answer('Products given back', await ended(callerOf(request), request.params.id, 'RETURNED')),
  )
}

/** @throws HttpError 404 where there is none, or one of another */
function found(caller: Caller, id: string, hold: ReservationRow | undefined): ReservationRow {
  if (hold === undefined || !isHis(caller, hold)) throw new HttpError(404, `There is no hold ${id}.`)
  return hold
}

/** That of an order is nobody's here: the order's own service shows it to its user. */
const isHis = (caller: Caller, { held_by }: ReservationRow): boolean =>
  held_by === null ? isAdministrator(caller) : isFor(caller, held_by)
