/** The Auth Service over HTTP (docs/wire-contract.md 6.7). */
import type { FastifyRequest } from 'fastify'
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { bareToken, longestToken, roles } from '../shared/auth/access-token.ts'
import { addressPattern } from '../shared/auth/caller.ts'
import { HttpError } from '../shared/http/http-error.ts'
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import type { HttpServer } from '../shared/http/server.ts'
import type { Accounts } from './accounts.ts'
import { emailPattern, longestPassword, shortestPassword } from './domain.ts'
import type { KeyRing } from './keys.ts'
import { setRoles, userOf } from './rows.ts'
import type { AuthTables, UserRow } from './schema.ts'
import type { Sessions } from './sessions.ts'
import { exampleEmail, KeysView, titleOf, tokensJson, TokensView, userJson, UserView } from './view.ts'

export interface AuthParts {
  readonly db: Kysely<AuthTables>
  readonly keys: KeyRing
  readonly sessions: Sessions
  readonly accounts: Accounts
  readonly now: () => number
  /** Where a request comes from. */
  readonly addressOf: (request: Pick<FastifyRequest, 'ip' | 'headers'>) => string
  /** Whether anybody may register. */
  readonly registration: boolean
}

const Email = z
  .string()
  .regex(emailPattern, 'must be an e-mail address in plain letters, such as ada@example.com')
  .toLowerCase()
  .meta({ example: exampleEmail })
/** One that could order nothing is told so before it has a password. */
const NewEmail = Email.refine(
  (email) => addressPattern.test(email),
  'must be an e-mail address with a host name, such as ada@example.com',
)
const examplePassword = 'a long pass phrase'
const Password = z.string().min(1).max(1_000).meta({ example: examplePassword })
const NewPassword = z.string().min(shortestPassword).max(longestPassword).meta({ example: examplePassword })
const RefreshToken = z.object({ refresh_token: z.string().min(1).max(500).meta({ example: 'LfQ…' }) })
const Roles = z
  .array(z.enum(roles))
  .max(roles.length)
  .readonly()
  .meta({ example: ['vendor'] })

const Told = z.object({ success: z.literal(true), message: z.string().meta({ example: 'Logged out' }) })
const Shown = z.object({ success: z.literal(true), user: UserView })

const accounts = ['accounts']
const sessions = ['sessions']
const security = [{ user: [] }]

export function authRoutes(server: HttpServer, parts: AuthParts): void {
  allowOrigins(server, knownPages)
  // What is answered here is for who asked alone, and what is public says so itself.
  server.addHook('onRequest', async (_request, reply) => void reply.header('cache-control', 'no-store'))
  accountRoutes(server, parts)
  sessionRoutes(server, parts)
  adminRoutes(server, parts)
  policyRoutes(server, parts)
  keyRoutes(server, parts)
}

/** @throws HttpError 401 where the request has no token that is good */
async function callerOf({ headers }: FastifyRequest, parts: AuthParts): Promise<UserRow> {
  const token = bareToken(headers.authorization)
  if (token === '') throw new HttpError(401, 'Send an access token in the header Authorization; POST /login gives one.')
  const found = await parts.sessions.read(token)
  if (typeof found === 'string') throw new HttpError(401, `Not accepted: ${found}. Refresh it, or log in again.`)
  return found
}

function accountRoutes(server: HttpServer, parts: AuthParts): void {
  server.post(
    '/register',
    {
      schema: {
        operationId: 'register',
        tags: accounts,
        summary: 'Adds a customer',
        description: 'The e-mail address is not confirmed: who comes first has it.',
        body: z.object({ email: NewEmail, password: NewPassword }),
        response: { 201: Shown },
      },
      config: { refuses: [409] },
    },
    async (request, reply) => {
      if (!parts.registration) throw new HttpError(403, 'Nobody can register here: ask an administrator to add you.')
      return reply.code(201).send({
        success: true as const,
        user: userJson(await parts.accounts.register(request.body, parts.addressOf(request))),
      })
    },
  )

  server.post(
    '/login',
    {
      schema: {
        operationId: 'log_in',
        tags: sessions,
        summary: 'Gives tokens for an e-mail address and a password',
        body: z.object({ email: Email, password: Password }),
        response: { 200: TokensView },
      },
      config: { refuses: [401] },
    },
    async (request) => {
      const user = await parts.accounts.logIn(request.body, parts.addressOf(request))
      return tokensJson(await parts.sessions.begin(user))
    },
  )

  server.post(
    '/password',
    {
      schema: {
        operationId: 'change_password',
        tags: accounts,
        summary: 'Changes the password; ends all sessions and begins one',
        security,
        body: z.object({ current_password: Password, new_password: NewPassword }),
        response: { 200: TokensView },
      },
      config: { refuses: [401, 409] },
    },
    async (request) => {
      const { email } = await callerOf(request, parts)
      const { current_password: from, new_password: to } = request.body
      const user = await parts.accounts.changePassword(email, { from, to }, parts.addressOf(request))
      return tokensJson(await parts.sessions.begin(user))
    },
  )
}

function sessionRoutes(server: HttpServer, parts: AuthParts): void {
  server.post(
    '/refresh',
    {
      schema: {
        operationId: 'refresh',
        tags: sessions,
        summary: 'Gives new tokens for a refresh token, which is good once',
        description: 'One that comes a second time ends its session: log in again.',
        body: RefreshToken,
        response: { 200: TokensView },
      },
      config: { refuses: [401] },
    },
    async ({ body }) => tokensJson(await parts.sessions.refresh(body.refresh_token)),
  )

  server.post(
    '/logout',
    {
      schema: {
        operationId: 'log_out',
        tags: sessions,
        summary: 'Ends the session of a refresh token, if there is one',
        description: 'Access tokens are then refused here at once, and elsewhere when they expire.',
        body: RefreshToken,
        response: { 200: Told },
      },
    },
    async ({ body }) => {
      await parts.sessions.end(body.refresh_token)
      return { success: true as const, message: 'Logged out' }
    },
  )

  server.get(
    '/me',
    {
      schema: {
        operationId: 'get_me',
        tags: accounts,
        summary: 'Whose token it is',
        security,
        response: { 200: Shown },
      },
      config: { refuses: [401] },
    },
    async (request) => ({ success: true as const, user: userJson(await callerOf(request, parts)) }),
  )
}

function adminRoutes(server: HttpServer, parts: AuthParts): void {
  const admin = async (request: FastifyRequest): Promise<void> => {
    const caller = userOf(await callerOf(request, parts))
    if (!caller.roles.includes('admin')) throw new HttpError(403, 'Only an administrator may do that.')
  }

  server.post(
    '/users',
    {
      schema: {
        operationId: 'add_user',
        tags: accounts,
        summary: 'Adds a user with roles; for administrators',
        security,
        body: z.object({ email: NewEmail, password: NewPassword, roles: Roles }),
        response: { 201: Shown },
      },
      config: { refuses: [401, 409] },
    },
    async (request, reply) => {
      await admin(request)
      const { roles, ...credentials } = request.body
      return reply
        .code(201)
        .send({ success: true as const, user: userJson(await parts.accounts.add(credentials, roles)) })
    },
  )

  server.put(
    '/users/roles',
    {
      schema: {
        operationId: 'set_roles',
        tags: accounts,
        summary: 'Sets the roles of a user; for administrators',
        security,
        body: z.object({ email: Email, roles: Roles }),
        response: { 200: Shown },
      },
      config: { refuses: [401, 404] },
    },
    async (request) => {
      await admin(request)
      const { email, roles } = request.body
      const user = await setRoles(parts.db, email, roles, parts.now())
      if (user === undefined) throw new HttpError(404, `There is no user ${email}.`)
      return { success: true as const, user: userJson(user) }
    },
  )
}

/** The endpoints that the clients of foreign auth servers ask. */
function policyRoutes(server: HttpServer, parts: AuthParts): void {
  for (const role of roles)
    server.post(
      `/Authentication/${role}-policy`,
      {
        schema: {
          operationId: `ask_${role}_policy`,
          tags: ['policies'],
          summary: `Whether a token is one of a ${role}`,
          body: z.object({
            token: z
              .string()
              .max(2 * longestToken)
              .meta({ description: 'With `Bearer ` or without', example: 'eyJ…' }),
          }),
          response: { 200: Told.meta({ example: { success: true, message: `${titleOf(role)} verified` } }) },
        },
        config: { refuses: [401] },
      },
      async ({ body }) => {
        const token = bareToken(body.token)
        if (token === '') throw new HttpError(400, 'token is empty: send an access token')
        const found = await parts.sessions.read(token)
        if (typeof found === 'string') throw new HttpError(401, `Not accepted: ${found}.`)
        if (!userOf(found).roles.includes(role)) throw new HttpError(401, `The user of the token is no ${role}.`)
        return { success: true as const, message: `${titleOf(role)} verified` }
      },
    )
}

/** Whoever keeps them has a new key long before it signs. */
const keysAgeSeconds = 300

function keyRoutes(server: HttpServer, parts: AuthParts): void {
  server.get(
    '/.well-known/jwks.json',
    {
      schema: {
        operationId: 'get_keys',
        tags: ['keys'],
        summary: 'The public keys of access tokens (JWKS)',
        response: { 200: KeysView },
      },
    },
    async (_request, reply) => {
      void reply.header('cache-control', `public, max-age=${keysAgeSeconds}`)
      return { keys: await parts.keys.published() }
    },
  )
}
