/** The User Service over HTTP (docs/wire-contract.md), as far as the sagas need it. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { storableText } from '../shared/database/text.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import type { HttpServer } from '../shared/http/server.ts'
import type { UserRow, UserTables } from './schema.ts'
import {
  addTemporaryUser,
  findUser,
  listUserIds,
  setCard,
  setConnectAccount,
  setRating,
  syncUser,
  type Card,
  type NewUser,
} from './rows.ts'
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
  allowOrigins(server, knownPages)
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

  syncRoute(server, db, now)
  ratingRoutes(server, db, now)
  connectAccountRoutes(server, db, now)
  paymentRoutes(server, db, now)
  paymentMethodRoutes(server, db, now)
}

const syncedUser = z.object({
  clerk_user_id: storableText,
  email: storableText,
  first_name: storableText.nullish(),
  last_name: storableText.nullish(),
  phone_number: storableText.nullish(),
  username: storableText.nullish(),
})

/** Who signed up at the login; a page sends it whenever that changes. */
function syncRoute(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  server.post(
    '/api/user/sync-from-frontend',
    { schema: { tags, summary: 'Adds the user of a login, or brings one up to date', body: syncedUser } },
    async ({ body }) => {
      const { clerk_user_id: userId, email, username } = body
      const told = { firstName: body.first_name, lastName: body.last_name, phoneNumber: body.phone_number }
      const user = await syncUser(db, { userId, email, username, ...told }, now())
      return { success: true, message: 'User synchronised', user: userJson(user, true) }
    },
  )
}

function ratingRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  for (const role of ['customer', 'runner'] as const)
    server.post(
      `/api/user/:id/update-${role}-rating`,
      {
        schema: {
          tags,
          summary: `Sets the rating of a user as a ${role}`,
          params,
          body: z.object({ rating: z.number().min(0).max(5) }),
        },
      },
      async ({ params: { id }, body: { rating } }) => {
        found(id, await setRating(db, id, role, rating, now()))
        return { success: true, message: `The rating as a ${role} is ${rating}` }
      },
    )
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
      const user = found(id, await setCard(db, id, untold(paymentMethodId), now(), stripeCustomerId))
      return { success: true, message: 'Payment method updated', payment_info: paymentInfo(user) }
    },
  )

  server.delete(path, { schema: { tags, summary: 'Removes the payment method', params } }, async (request) => {
    const { id } = request.params
    found(id, await setCard(db, id, null, now()))
    return { success: true, message: 'Payment method removed' }
  })
}

/** The same payment method by the other name that pages know it under. */
function paymentMethodRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  const path = '/api/user/:id/payment-methods'

  server.post(
    path,
    {
      schema: {
        tags,
        summary: 'Adds a payment method, and makes it the one that is used',
        params,
        body: z.object({ payment_method_id: storableText, stripe_customer_id: storableText.optional() }),
      },
    },
    async ({ params: { id }, body }) => {
      const card = untold(body.payment_method_id)
      const user = found(id, await setCard(db, id, card, now(), body.stripe_customer_id))
      return { success: true, message: 'Payment method added', payment_info: paymentInfo(user) }
    },
  )

  server.delete(
    path,
    {
      schema: {
        tags,
        summary: 'Removes a payment method; the one that is used where none is named',
        params,
        body: z.object({ payment_method_id: storableText.optional() }).nullish(),
      },
    },
    async ({ params: { id }, body }) => {
      const user = found(id, await findUser(db, id))
      const named = body?.payment_method_id ?? user.payment_method_id
      if (named === null || named !== user.payment_method_id)
        throw new HttpError(400, `User ${id} has no such payment method to remove.`)
      await setCard(db, id, null, now())
      return { success: true, message: 'Payment method removed' }
    },
  )
}

/** Only the provider knows the card behind it; until it tells, its fields are unknown and stay so. */
const untold = (paymentMethodId: string): Card => ({
  paymentMethodId,
  brand: null,
  last4: null,
  expMonth: null,
  expYear: null,
})

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
