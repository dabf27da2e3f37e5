/** An operator's action, by whichever route it is asked for: carried out, and in the log with who asked for it. */
import type { Engine } from 'ordersaga/engine'
import { HttpError } from '../../shared/http/http-error.ts'
import type { Shell } from './shell.ts'

type Request = Parameters<Engine['preview']>[1]

export interface AskedFor {
  readonly action: Request | { readonly kind: 'resolve'; readonly reply?: unknown }
  readonly by: string
  readonly reason: string
}

/** As the engine takes it: a reply that is left out is one that is undefined. */
export const requestOf = (action: AskedFor['action']): Request =>
  action.kind === 'resolve' ? { kind: 'resolve', reply: action.reply } : action

/** Writes a line of who asked for it and what became of it: done, refused, or not even tried. */
export async function act({ engine, ask, server }: Shell, sagaId: string, { action, by, reason }: AskedFor) {
  const request = requestOf(action)
  const told = (accepted: boolean | null, refused: string | null): void =>
    server.log.info({ sagaId, action: action.kind, by, reason, accepted, refused }, 'an operator acted on a saga')
  try {
    const answer = await ask(() =>
      request.kind === 'cancel' ? engine.cancel(sagaId, by, reason) : engine.act(sagaId, request, by, reason),
    )
    told(answer.accepted, answer.reason)
    return { accepted: answer.accepted, refused: answer.reason, saga: answer.saga }
  } catch (error) {
    // After a 503 nobody knows yet whether it takes effect.
    const unknown = !(error instanceof HttpError) || error.status >= 500
    told(unknown ? null : false, error instanceof Error ? error.message : String(error))
    throw error
  }
}
