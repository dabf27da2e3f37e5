/** What an operator does with one saga: looked at first, then done, on the record. */
import { HttpError } from '../../../shared/http/http-error.ts'
import { SagaId } from '../shell.ts'
import type { Ops } from './ops.ts'
import { Asked, Done, opsRoute, PreviewView, refusalsOfOne, tags, type Action } from './schemas.ts'

export function addOpsActions(ops: Ops): void {
  const { server, engine, ask, view } = ops
  server.post(
    '/ops/sagas/:saga_id/preview',
    {
      ...opsRoute,
      schema: {
        operationId: 'ops_preview_action',
        tags,
        summary: 'What an action would do to the saga as it stands; changes nothing',
        params: SagaId,
        body: Asked,
        response: { 200: PreviewView, ...refusalsOfOne },
      },
    },
    async ({ params, body }) =>
      view.preview(await ask(() => engine.preview(params.saga_id, requestOf(body.action), body.by, body.reason))),
  )
  server.post(
    '/ops/sagas/:saga_id/actions',
    {
      ...opsRoute,
      schema: {
        operationId: 'ops_act',
        tags,
        summary: 'Does it, and keeps who, when, what and why with the saga',
        params: SagaId,
        body: Asked,
        response: { 202: Done, ...refusalsOfOne },
      },
    },
    async ({ params, body }, reply) => {
      const { accepted, refused, saga } = await act(ops, params.saga_id, body)
      if (!accepted) throw new HttpError(409, refused ?? 'refused')
      return reply.code(202).send({ status: saga.state.status, seq: saga.seq })
    },
  )
}

export interface AskedFor {
  readonly action: Action
  readonly by: string
  readonly reason: string
}

/** Carries an action out, and writes a line of who asked for it, refused or not. */
export async function act({ engine, ask, log }: Ops, sagaId: string, { action, by, reason }: AskedFor) {
  const request = requestOf(action)
  const answer = await ask(() =>
    request.kind === 'cancel' ? engine.cancel(sagaId, by, reason) : engine.act(sagaId, request, by, reason),
  )
  const { accepted, reason: refused, saga } = answer
  log.info({ sagaId, action: action.kind, by, reason, accepted, refused }, 'an operator acted on a saga')
  return { accepted, refused, saga }
}

/** As the engine takes it: a reply that is left out is one that is undefined. */
export const requestOf = (action: Action) =>
  action.kind === 'resolve' ? ({ kind: 'resolve', reply: action.reply } as const) : action
