/**
 * Which routes ask for a token: each says in its `config` whom it is `for`. What of it is whose, it finds by its rows.
 *
 * Invariants:
 * - where no auth server is named, no token is asked for: whoever reaches the service may ask all of it;
 * - a token is looked at before the parts of a request are (broken JSON alone is told to anybody);
 * - a route that looks who asks, and is `for` nobody in particular, fails: it does not take everybody for an administrator.
 */
import type { FastifyRequest } from 'fastify'
import { HttpError } from '../http/http-error.ts'
import type { HttpServer } from '../http/server.ts'
import type { Role, User } from './access-token.ts'
import { acceptedBy, isSameAddress, type CallerOptions } from './caller.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Users who have one of these roles; without, everybody, whether known or not. */
    readonly for?: readonly Role[]
  }
}

export const vendors = ['vendor', 'admin'] as const satisfies readonly Role[]
export const administrators = ['admin'] as const satisfies readonly Role[]

/** Null where it is not known who asks, and need not be. */
export type Caller = User | null

const found = new WeakMap<FastifyRequest, { readonly caller: Caller }>()

/**
 * Must come before the first route, and before what describes them.
 *
 * @param access undefined where nobody is asked for a token
 */
export function askForTokens(server: HttpServer, access: CallerOptions | undefined): void {
  server.addHook('onRoute', (route) => {
    const allowed = route.config?.for
    if (allowed === undefined) return
    route.preValidation = async (request: FastifyRequest) =>
      void found.set(request, { caller: access === undefined ? null : await admit(access, allowed, request) })
    if (access === undefined) return
    route.config = { ...route.config, refuses: [...(route.config?.refuses ?? []), 401] }
    route.schema = { ...route.schema, security: [{ user: [] }] }
  })
}

async function admit(access: CallerOptions, allowed: readonly Role[], { headers }: FastifyRequest): Promise<Caller> {
  const accepted = await acceptedBy(access, headers.authorization)
  const has = accepted.kind === 'user' ? accepted.user.roles : [accepted.role]
  if (!has.some((role) => allowed.includes(role)))
    throw new HttpError(
      403,
      `this needs the role ${allowed.join(' or ')}, and this token has ${has.join(' and ')}: log in as somebody who has it, or ask an administrator for it`,
    )
  return accepted.kind === 'user' ? accepted.user : null
}

/** Who was found to ask this. */
export function callerOf(request: FastifyRequest): Caller {
  const entry = found.get(request)
  if (entry === undefined) throw new Error('a route that looks who asks must say in its config whom it is for')
  return entry.caller
}

export const isAdministrator = (caller: Caller): boolean => caller === null || caller.roles.includes('admin')

/** Whether he may act for the user of this address: himself, or anybody for an administrator. */
export const isFor = (caller: Caller, email: string): boolean =>
  caller === null || isAdministrator(caller) || isSameAddress(caller.email, email)

/** Whether he may act for the vendor of this address or id. */
export const isForVendor = (caller: Caller, vendor: string): boolean =>
  caller === null ||
  isAdministrator(caller) ||
  (caller.roles.includes('vendor') && (isSameAddress(caller.email, vendor) || caller.subject === vendor))

/** @throws HttpError 403 */
export function mustBeFor(caller: Caller, email: string): void {
  if (!isFor(caller, email))
    throw new HttpError(403, `this is for ${email} and administrators, and the token is of ${caller?.email}`)
}
