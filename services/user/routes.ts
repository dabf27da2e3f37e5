/** The User Service over HTTP (docs/wire-contract.md), as far as the sagas need it. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { storableText } from '../shared/database/text.ts'
import { Health } from '../shared/http/health.ts'
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
import { names, NamesView, paymentInfo, PaymentInfoView, userJson, UserView } from './view.ts'

const params = z.object({ id: storableText.meta({ example: exampleIds.customer }) })
const tags = ['users']

const Told = z.object({ success: z.literal(true), message: z.string().meta({ example: 'Payment method updated' }) })
const ofUser = { refuses: [404] } as const

const text = (example: string) => storableText.meta({ example })
const [email, firstName, lastName] = [text('ada@example.com'), text('Ada'), text('Lovelace')]
const [phoneNumber, username] = [text('+6591234567'), text('ada')]
const paymentMethod = text('pm_card_visa')
const stripeCustomer = text('cus_123')
const connectAccount = text('acct_123')

/** What a client may tell of a card; a number or a code of a card is dropped unread. */
const cardBody = z.object({
  payment_method_id: paymentMethod,
  last4: z
    .string()
    .regex(/^\d{4}$/, 'must be four digits')
    .nullish()
    .meta({ example: '4242' }),
  brand: text('visa').nullish(),
  exp_month: z.int().min(1).max(12).nullish().meta({ example: 12 }),
  exp_year: z.int().min(2000).max(2100).nullish().meta({ example: 2030 }),
})

const temporaryUser = z.object({
  email,
  first_name: firstName.nullish(),
  last_name: lastName.nullish(),
  phone_number: phoneNumber.nullish(),
  username: username.nullish(),
  stripe_customer_id: stripeCustomer.nullish(),
  user_stripe_card: cardBody.nullish(),
})

export function userRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  allowOrigins(server, knownPages)
  server.get(
    '/api/health',
    {
      schema: { operationId: 'get_api_health', tags: ['operations'], summary: 'The same as /health', response: Health },
    },
    async (_request, reply) => {
      const answer = await server.inject('/health')
      return reply.code(answer.statusCode === 200 ? 200 : 503).send(answer.json())
    },
  )

  server.get(
    '/api/user/list-users',
    {
      schema: {
        operationId: 'list_users',
        tags,
        summary: 'The ids of all users',
        response: {
          200: z.object({
            success: z.literal(true),
            userIds: z
              .array(z.string())
              .readonly()
              .meta({ example: [exampleIds.customer] }),
          }),
        },
      },
    },
    async () => ({
      success: true as const,
      userIds: await listUserIds(db),
    }),
  )

  server.get(
    '/api/user/:id',
    {
      schema: {
        tags,
        operationId: 'get_user',
        summary: 'One user',
        params,
        querystring: z.object({
          includePaymentDetails: z
            .string()
            .optional()
            .meta({ description: '`false` leaves the card out', example: 'false' }),
        }),
        response: { 200: z.object({ success: z.literal(true), user: UserView }) },
      },
      config: ofUser,
    },
    async ({ params: { id }, query }) => {
      const withCard = query.includePaymentDetails?.toLowerCase() !== 'false'
      return { success: true as const, user: userJson(found(id, await findUser(db, id)), withCard) }
    },
  )

  server.post(
    '/api/user/temp',
    {
      schema: {
        operationId: 'add_temporary_user',
        tags,
        summary: 'Adds a temporary user',
        body: temporaryUser,
        response: {
          201: Told.extend({
            user: NamesView.extend({
              clerk_user_id: z.string().meta({ example: 'temp_0123456789abcdef0123456789abcdef' }),
            }),
          }),
        },
      },
    },
    async ({ body }, reply) => {
      const user = await addTemporaryUser(db, newUser(body), now())
      return reply.code(201).send({
        success: true as const,
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
  clerk_user_id: text('user_1'),
  email,
  first_name: firstName.nullish(),
  last_name: lastName.nullish(),
  phone_number: phoneNumber.nullish(),
  username: username.nullish(),
})

/** Who signed up at the login; a page sends it whenever that changes. */
function syncRoute(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  server.post(
    '/api/user/sync-from-frontend',
    {
      schema: {
        operationId: 'sync_user',
        tags,
        summary: 'Adds the user of a login, or brings one up to date',
        body: syncedUser,
        response: { 200: Told.extend({ user: UserView }) },
      },
    },
    async ({ body }) => {
      const { clerk_user_id: userId, email, username } = body
      const told = { firstName: body.first_name, lastName: body.last_name, phoneNumber: body.phone_number }
      const user = await syncUser(db, { userId, email, username, ...told }, now())
      return { success: true as const, message: 'User synchronised', user: userJson(user, true) }
    },
  )
}

function ratingRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  for (const role of ['customer', 'runner'] as const)
    server.post(
      `/api/user/:id/update-${role}-rating`,
      {
        schema: {
          operationId: `set_${role}_rating`,
          tags,
          summary: `Sets the rating of a user as a ${role}`,
          params,
          body: z.object({ rating: z.number().min(0).max(5).meta({ example: 4.5 }) }),
          response: { 200: Told },
        },
        config: ofUser,
      },
      async ({ params: { id }, body: { rating } }) => {
        found(id, await setRating(db, id, role, rating, now()))
        return { success: true as const, message: `The rating as a ${role} is ${rating}` }
      },
    )
}

function connectAccountRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  const path = '/api/user/:id/connect-account'

  server.get(
    path,
    {
      schema: {
        operationId: 'get_connect_account',
        tags,
        summary: 'The account that a runner is paid to',
        params,
        response: {
          200: z.object({ success: z.literal(true), stripe_connect_account_id: UserView.shape.stripeConnectAccountId }),
        },
      },
      config: ofUser,
    },
    async (request) => {
      const { id } = request.params
      const user = found(id, await findUser(db, id))
      return { success: true as const, stripe_connect_account_id: user.stripe_connect_account_id }
    },
  )

  server.put(
    path,
    {
      schema: {
        operationId: 'set_connect_account',
        tags,
        summary: 'Sets that account',
        params,
        body: z.object({ stripe_connect_account_id: connectAccount }),
        response: {
          200: Told.extend({
            user: UserView.pick({ clerkUserId: true, stripeConnectAccountId: true }),
          }),
        },
      },
      config: ofUser,
    },
    async ({ params: { id }, body }) => {
      const user = found(id, await setConnectAccount(db, id, body.stripe_connect_account_id, now()))
      return {
        success: true as const,
        message: 'Connect account updated',
        user: { clerkUserId: user.user_id, stripeConnectAccountId: user.stripe_connect_account_id },
      }
    },
  )
}

function paymentRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  const path = '/api/user/:id/payment'

  server.get(
    path,
    {
      schema: {
        operationId: 'get_payment_method',
        tags,
        summary: 'The payment method of a customer',
        params,
        response: { 200: z.object({ success: z.literal(true), payment_info: PaymentInfoView }) },
      },
      config: ofUser,
    },
    async (request) => {
      const { id } = request.params
      const user = found(id, await findUser(db, id))
      if (user.payment_method_id === null) throw new HttpError(400, `User ${id} has no payment method. Set one first.`)
      return { success: true as const, payment_info: paymentInfo(user) }
    },
  )

  server.put(
    path,
    {
      schema: {
        operationId: 'set_payment_method',
        tags,
        summary: 'Sets the payment method, and the Stripe customer whose it is',
        params,
        body: z.object({ paymentMethodId: paymentMethod, stripeCustomerId: stripeCustomer.optional() }),
        response: { 200: Told.extend({ payment_info: PaymentInfoView }) },
      },
      config: ofUser,
    },
    async ({ params: { id }, body: { paymentMethodId, stripeCustomerId } }) => {
      const user = found(id, await setCard(db, id, untold(paymentMethodId), now(), stripeCustomerId))
      return { success: true as const, message: 'Payment method updated', payment_info: paymentInfo(user) }
    },
  )

  server.delete(
    path,
    {
      schema: {
        operationId: 'remove_payment_method',
        tags,
        summary: 'Removes the payment method',
        params,
        response: { 200: Told },
      },
      config: ofUser,
    },
    async (request) => {
      const { id } = request.params
      found(id, await setCard(db, id, null, now()))
      return { success: true as const, message: 'Payment method removed' }
    },
  )
}

/** The same payment method by the other name that pages know it under. */
function paymentMethodRoutes(server: HttpServer, db: Kysely<UserTables>, now: () => number): void {
  const path = '/api/user/:id/payment-methods'

  server.post(
    path,
    {
      schema: {
        operationId: 'add_payment_method',
        tags,
        summary: 'Adds a payment method, and makes it the one that is used',
        params,
        body: z.object({ payment_method_id: paymentMethod, stripe_customer_id: stripeCustomer.optional() }),
        response: { 200: Told.extend({ payment_info: PaymentInfoView }) },
      },
      config: ofUser,
    },
    async ({ params: { id }, body }) => {
      const card = untold(body.payment_method_id)
      const user = found(id, await setCard(db, id, card, now(), body.stripe_customer_id))
      return { success: true as const, message: 'Payment method added', payment_info: paymentInfo(user) }
    },
  )

  server.delete(
    path,
    {
      schema: {
        operationId: 'remove_named_payment_method',
        tags,
        summary: 'Removes a payment method; the one that is used where none is named',
        params,
        body: z.object({ payment_method_id: paymentMethod.optional() }).nullish(),
        response: { 200: Told },
      },
      config: ofUser,
    },
    async ({ params: { id }, body }) => {
      const user = found(id, await findUser(db, id))
      const named = body?.payment_method_id ?? user.payment_method_id
      if (named === null || named !== user.payment_method_id)
        throw new HttpError(400, `User ${id} has no such payment method to remove.`)
      await setCard(db, id, null, now())
      return { success: true as const, message: 'Payment method removed' }
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
