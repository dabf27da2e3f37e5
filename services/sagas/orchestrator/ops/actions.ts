/** What an operator does with one saga: looked at first, then done, on the record. */
import { HttpError } from '../../../shared/http/http-error.ts'
import { act, requestOf } from '../acting.ts'
import { SagaId } from '../shell.ts'
import type { Ops } from './ops.ts'
import { Asked, Done, opsRoute, PreviewView, tags } from './schemas.ts'

export function addOpsActions(ops: Ops): void {
  const { server, engine, ask, view } = ops
  server.post(
    '/ops/sagas/:saga_id/preview',
    {
      ...opsRoute(404, 409),
      schema: {
        operationId: 'ops_preview_action',
        tags,
        summary: 'What an action would do to the saga as it stands; changes nothing',
        params: SagaId,
        body: Asked,
        response: { 200: PreviewView },
      },
    },
    async ({ params, body }) =>
      view.preview(await ask(() => engine.preview(params.saga_id, requestOf(body.action), body.by, body.reason))),
  )
  server.post(
    '/ops/sagas/:saga_id/actions',
    {
      ...opsRoute(404, 409),
      schema: {
        operationId: 'ops_act',
        tags,
        summary: 'Does it, and keeps who, when, what and why with the saga',
        params: SagaId,
        body: Asked,
        response: { 202: Done },
      },
    },
    async ({ params, body }, reply) => {
      const { accepted, refused, saga } = await act(ops, params.saga_id, body)
      if (!accepted) throw new HttpError(409, refused ?? 'refused')
      return reply.code(202).send({ status: saga.state.status, seq: saga.seq })
    },
  )
}
