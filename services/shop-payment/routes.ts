/** The payments of the Order Orchestration over HTTP (docs/wire-contract.md 6.7): reads, cash that came, money that goes back. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { roles } from '../shared/auth/access-token.ts'
import { administrators, callerOf, isFor, mustBeFor } from '../shared/auth/access.ts'
import { emailText, storableText } from '../shared/database/text.ts'
import { exampleIds } from '../shared/http/examples.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { audit, AuditView } from './audit.ts'
import type { CardGateway } from './gateway.ts'
import { findPayment, listPayments, setStatuses } from './rows.ts'
import { paymentStatuses, type PaymentRow, type ShopPaymentTables } from './schema.ts'
import { shopPaymentJson, ShopPaymentView } from './view.ts'

const tags = ['payments']
const id = storableText.meta({ example: exampleIds.shopPayment })
const Several = z.array(ShopPaymentView)

const mostPerPage = 100
const paging = z.object({
  before: z.string().max(500).default('').meta({ description: 'The id before which to go on', example: '' }),
  limit: z.coerce.number().int().min(1).max(mostPerPage).default(mostPerPage).meta({ example: 10 }),
})

export interface PaymentRoutes {
  readonly db: Kysely<ShopPaymentTables>
  readonly gateway: CardGateway
  readonly now: () => number
}

export function shopPaymentRoutes(server: HttpServer, { db, gateway, now }: PaymentRoutes): void {
  allowOrigins(server, knownPages)
  const list = async ({ before, limit }: z.infer<typeof paging>, email: string | null) =>
    (await listPayments(db, email, before, limit)).map(shopPaymentJson)

  server.get(
    '/payments',
    {
      config: { for: administrators },
      schema: {
        operationId: 'list_payments',
        tags,
        summary: 'Payments, newest first',
        querystring: paging,
        response: { 200: Several },
      },
    },
    ({ query }) => list(query, null),
  )

  server.get(
    '/payments/:id',
    {
      config: { for: roles, refuses: [404] },
      schema: {
        operationId: 'get_payment',
        tags,
        summary: 'One payment',
        params: z.object({ id }),
        response: { 200: ShopPaymentView },
      },
    },
    async (request) => {
      const { id } = request.params
      const payment = await findPayment(db, id)
      const isShown = payment !== undefined && isFor(callerOf(request), payment.user_email)
      return shopPaymentJson(found(id, isShown ? payment : undefined))
    },
  )

  server.get(
    '/payments/user/:email',
    {
      config: { for: roles },
      schema: {
        operationId: 'list_payments_of_user',
        tags,
        summary: 'Payments of a user, newest first',
        params: z.object({ email: emailText.meta({ example: 'ada@example.com' }) }),
        querystring: paging,
        response: { 200: Several },
      },
    },
    (request) => {
      const { email } = request.params
      mustBeFor(callerOf(request), email)
      return list(request.query, email)
    },
  )

  server.get(
    '/payments/audit',
    {
      config: { for: administrators },
      schema: {
        operationId: 'audit_payments',
        tags: ['books'],
        summary: 'Whether cards are charged where a payment is paid, and only there',
        response: { 200: AuditView },
      },
    },
    () => audit(db),
  )

  server.put(
    '/payments/:id/status/:status',
    {
      config: { for: administrators, refuses: [404, 409] },
      schema: {
        operationId: 'set_payment_status',
        tags,
        summary: 'Success: the cash was collected. Refund: what was paid goes back',
        params: z.object({ id, status: z.enum(paymentStatuses).meta({ example: 'Refund' }) }),
        response: { 200: ShopPaymentView },
      },
    },
    async ({ params: { id, status } }) => {
      const before = found(id, await findPayment(db, id))
      const isCash = before.payment_method === 'Cash on Delivery'
      if (status === 'Success' && isCash) await setStatuses(db, [id], { from: ['Pending'], to: status }, now())
      if (status === 'Refund' && (before.status === 'Success' || before.status === 'Refund')) {
        // Marked first: whoever reads it as paid finds the money there. Asked again, it finishes what was cut off.
        await setStatuses(db, [id], { from: ['Success'], to: status }, now())
        await gateway.giveBack(before.transaction_id)
      }
      const after = found(id, await findPayment(db, id))
      if (after.status === status) return shopPaymentJson(after)
      throw new HttpError(409, `Payment ${id} is ${after.status} and does not become ${status} in this way.`)
    },
  )
}

function found(id: string, payment: PaymentRow | undefined): PaymentRow {
  if (payment === undefined) throw new HttpError(404, `There is no payment ${id}.`)
  return payment
}
