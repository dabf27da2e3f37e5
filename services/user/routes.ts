/** The User Service over HTTP (docs/wire-contract.md), as far as the sagas need it. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { storableText } from '../shared/database/text.ts'
import { HttpError } from '../shared/http/http-error.ts'
import type { HttpServer } from '../shared/http/server.ts'
import type { UserRow, UserTables } from './schema.ts'
import { addTemporaryUser, findUser, listUserIds, setCard, setConnectAccount, type Card, type NewUser } from './rows.ts'
import { names, paymentInfo, userJson } from './view.ts'

const params = z.object({ id: storableText })
const tags = ['users']

/** What a client may tell of a card; a number or a code of a card is dropped unread. */
const cardBody = z.object({
  payment_method_id: storableText,
  last4: z
    .string()
    .regex(/^\d{4}$/, 'must be four digits')
    .nullish(),
  brand: storableText.nullish(),
  exp_month: z.int().min(1).max(12).nullish(),
  exp_year: z.int().min(2000).max(2100).nullish(),
})

const temporaryUser = z.object({
  email: storableText,
  first_name: storableText.nullish(),
  last_name: storableText.nullish(),
  phone_number: storableText.nullish(),
  username: storableText.nullish(),
  stripe_customer_id: storableText.nullish(),
  user_stripe_card: cardBody.nullish(),
})

export function userRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  server.get('/api/health', { schema: { tags: ['health'] } }, async (_request, reply) => {
    const { statusCode, payload } = await server.inject('/health')
    return reply.code(statusCode).type('application/json').send(payload)
  })

  server.get('/api/user/list-users', { schema: { tags, summary: 'The ids of all users' } }, async () => ({
    success: true,
    userIds: await listUserIds(db),
  }))

  server.get(
    '/api/user/:id',
    {
      schema: {
        tags,
        summary: 'One user',
        params,
        querystring: z.object({ includePaymentDetails: z.string().optional() }),
      },
    },
    async ({ params: { id }, query }) => {
      const withCard = query.includePaymentDetails?.toLowerCase() !== 'false'
      return { success: true, user: userJson(found(id, await findUser(db, id)), withCard) }
    },
  )

  server.post(
    '/api/user/temp',
    { schema: { tags, summary: 'Adds a temporary user', body: temporaryUser } },
    async ({ body }, reply) => {
      const user = await addTemporaryUser(db, newUser(body), now())
      return reply.code(201).send({
        success: true,
        message: 'Temporary user created',
        user: { clerk_user_id: user.user_id, ...names(user) },
      })
    },
  )

  connectAccountRoutes(server, db, now)
  paymentRoutes(server, db, now)
}

function connectAccountRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  const path = '/api/user/:id/connect-account'

  server.get(path, { schema: { tags, summary: 'The account that a runner is paid to', params } }, async (request) => {
    const { id } = request.params
    const user = found(id, await findUser(db, id))
    return { success: true, stripe_connect_account_id: user.stripe_connect_account_id }
  })

  server.put(
    path,
    {
      schema: {
        tags,
        summary: 'Sets that account',
        params,
        body: z.object({ stripe_connect_account_id: storableText }),
      },
    },
    async ({ params: { id }, body }) => {
      const user = found(id, await setConnectAccount(db, id, body.stripe_connect_account_id, now()))
      return {
        success: true,
        message: 'Connect account updated',
        user: { clerkUserId: user.user_id, stripeConnectAccountId: user.stripe_connect_account_id },
      }
    },
  )
}

function paymentRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  const path = '/api/user/:id/payment'

  server.get(path, { schema: { tags, summary: 'The payment method of a customer', params } }, async (request) => {
    const { id } = request.params
    const user = found(id, await findUser(db, id))
    if (user.payment_method_id === null) throw new HttpError(400, `User ${id} has no payment method. Set one first.`)
    return { success: true, payment_info: paymentInfo(user) }
  })

  server.put(
    path,
    {
      schema: {
        tags,
        summary: 'Sets the payment method, and the Stripe customer whose it is',
        params,
        body: z.object({ paymentMethodId: storableText, stripeCustomerId: storableText.optional() }),
      },
    },
    async ({ params: { id }, body: { paymentMethodId, stripeCustomerId } }) => {
      // Only the provider knows the card behind it; until it tells, its fields are unknown and stay so.
      const card: Card = { paymentMethodId, brand: null, last4: null, expMonth: null, expYear: null }
      const user = found(id, await setCard(db, id, card, now(), stripeCustomerId))
      return { success: true, message: 'Payment method updated', payment_info: paymentInfo(user) }
    },
  )

  server.delete(path, { schema: { tags, summary: 'Removes the payment method', params } }, async (request) => {
    const { id } = request.params
    found(id, await setCard(db, id, null, now()))
    return { success: true, message: 'Payment method removed' }
  })
}

function found(id: string, user: UserRow | undefined): UserRow {
  if (user === undefined) throw new HttpError(404, `There is no user ${id}.`)
  return user
}

function newUser(body: z.infer<typeof temporaryUser>): NewUser {
  const card = body.user_stripe_card ?? null
  return {
    email: body.email,
    firstName: body.first_name ?? null,
    lastName: body.last_name ?? null,
    phoneNumber: body.phone_number ?? null,
    username: body.username ?? null,
    stripeCustomerId: body.stripe_customer_id ?? null,
    card: card === null ? null : readCard(card),
  }
}

function readCard(body: z.infer<typeof cardBody>): Card {
  return {
    paymentMethodId: body.payment_method_id,
    brand: body.brand ?? null,
    last4: body.last4 ?? null,
    expMonth: body.exp_month ?? null,
    expYear: body.exp_year ?? null,
  }
}
