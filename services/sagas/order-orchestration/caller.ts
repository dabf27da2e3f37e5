/**
 * Who asks, found out before anything else of a request is looked at but its form.
 *
 * Invariants:
 * - an auth server that cannot answer refuses nobody (503);
 * - of an order of another no more is told than of one that is not there;
 * - where an auth server says only yes, whoever it accepts acts for anybody, and only where a setting allows that.
 */
import type { FastifyRequest } from 'fastify'
import type { StoredSaga } from 'ordersaga/store'
import type { Verify } from '../../shared/auth/verifier.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { OrderOrchestrationInput } from './saga.ts'

/** Null where it is not known who asks, and need not be. */
export type Caller = { readonly email: string; readonly isAdmin: boolean } | null

export interface Callers {
  /** Before the parts of a request are checked: broken JSON is told to anybody, and nothing else. */
  readonly preValidation: (request: FastifyRequest) => Promise<void>
  /** Who was found to ask this. */
  readonly of: (request: FastifyRequest) => Caller
}

export interface CallersOptions {
  readonly verify: Verify
  /** Whether a yes without a name is enough. */
  readonly acceptUnnamed: boolean
}

export function callers({ verify, acceptUnnamed }: CallersOptions): Callers {
  const found = new WeakMap<FastifyRequest, { readonly caller: Caller }>()

  async function callerOf(authorization: string | undefined): Promise<Caller> {
    const verdict = await verify(authorization)
    switch (verdict.kind) {
      case 'user':
        return { email: verdict.user.email, isAdmin: verdict.user.roles.includes('admin') }
      case 'somebody':
        if (acceptUnnamed) return null
        throw new HttpError(
          403,
          'The auth server does not say whose token this is, so nobody can order for himself: AUTH_ACCEPT_UNNAMED=true lets everybody whom it accepts order for anybody.',
        )
      case 'refused':
        throw new HttpError(401, `Authentication failed: ${verdict.why}`)
      case 'unknown':
        throw new HttpError(503, `It cannot be seen who asks: ${verdict.why}`, 5)
    }
  }

  return {
    preValidation: async (request) =>
      void found.set(request, { caller: await callerOf(request.headers.authorization) }),
    of(request) {
      const entry = found.get(request)
      if (entry === undefined) throw new Error('a route that asks who asks must verify it before')
      return entry.caller
    },
  }
}

/** @throws HttpError 403 */
export function mustOrderForHimself(caller: Caller, email: string): void {
  if (caller !== null && !isSame(caller.email, email))
    throw new HttpError(403, `user_email must be that of the token, ${caller.email}: nobody orders for another.`)
}

/** His own, or anybody's for an administrator. */
export function isFor(caller: Caller, { state }: StoredSaga): boolean {
  if (caller === null || caller.isAdmin) return true
  const input = OrderOrchestrationInput.safeParse(state.input)
  return input.success && isSame(caller.email, input.data.user_email)
}

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase()
