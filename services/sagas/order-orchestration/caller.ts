/**
 * Who asks, found out before anything else of a request is looked at but its form.
 *
 * Invariants:
 * - an auth server that cannot answer refuses nobody (503);
 * - of an order of another no more is told than of one that is not there;
 * - where an auth server says only yes, whoever it accepts acts for anybody, and only where a setting allows that
 *   (`shared/auth/caller.ts`).
 */
import type { FastifyRequest } from 'fastify'
import type { StoredSaga } from 'ordersaga/store'
import type { User } from '../../shared/auth/access-token.ts'
import { callerBy, isSameAddress, type CallerOptions } from '../../shared/auth/caller.ts'
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

export function callers(options: CallerOptions): Callers {
  const found = new WeakMap<FastifyRequest, { readonly caller: Caller }>()

  return {
    preValidation: async (request) =>
      void found.set(request, { caller: callerOf(await callerBy(options, request.headers.authorization)) }),
    of(request) {
      const entry = found.get(request)
      if (entry === undefined) throw new Error('a route that asks who asks must verify it before')
      return entry.caller
    },
  }
}

const callerOf = (user: User | null): Caller =>
  user === null ? null : { email: user.email, isAdmin: user.roles.includes('admin') }

/** @throws HttpError 403 */
export function mustOrderForHimself(caller: Caller, email: string): void {
  if (caller !== null && !isSameAddress(caller.email, email))
    throw new HttpError(403, `user_email must be that of the token, ${caller.email}: nobody orders for another.`)
}

/** His own, or anybody's for an administrator. */
export function isFor(caller: Caller, { state }: StoredSaga): boolean {
  if (caller === null || caller.isAdmin) return true
  const input = OrderOrchestrationInput.safeParse(state.input)
  return input.success && isSameAddress(caller.email, input.data.user_email)
}
