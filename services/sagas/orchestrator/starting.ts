/** Starts a saga, once however often it is asked for under one key. */
import { createHash } from 'node:crypto'
import type { SagaDefinition } from 'ordersaga/definition'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { refusedAs, type Shell } from './shell.ts'

export interface StartRoute<Body extends z.ZodType, Input, Answer extends z.ZodType> {
  readonly path: string
  readonly operationId: string
  readonly summary: string
  readonly definition: SagaDefinition<Input>
  readonly body: Body
  /** Who asks: an Idempotency-Key is among the keys of this one alone, and tells nobody of another's saga. */
  readonly asker: (body: z.output<Body>) => string
  /** @throws HttpError where no saga should begin with this */
  readonly input: (body: z.output<Body>) => NoInfer<Input>
  /** The status of the answer, such as 202. */
  readonly status: 200 | 201 | 202
  readonly answer: Answer
  readonly answerOf: (saga: StoredSaga, body: z.output<Body>) => z.input<Answer>
  /** The shape of a failure, as the service's clients know it. */
  readonly failure: z.ZodType
}

export function addStart<Body extends z.ZodType, Input, Answer extends z.ZodType>(
  { server, engine, ask }: Shell,
  route: StartRoute<Body, Input, Answer>,
): void {
  const { failure } = route
  const response: Record<number, z.ZodType> = { ...refusedAs(failure), 422: failure }
  response[route.status] = route.answer
  server.post(
    route.path,
    {
      schema: {
        operationId: route.operationId,
        tags: ['sagas'],
        summary: route.summary,
        description:
          'The header Idempotency-Key makes a repeated request safe: the same key and body give the same saga.',
        body: route.body,
        headers: z.object({ 'idempotency-key': z.string().min(1).max(200).optional() }),
        response,
      },
    },
    async (request, reply) => {
      const body = request.body as z.output<Body>
      const input = route.input(body)
      const key = keyOf(route.asker(body), request.headers['idempotency-key'])
      const { saga } = await ask(() => engine.start(route.definition, input, { key }))
      request.sagaId = saga.id
      return reply.code(route.status).send(route.answerOf(saga, body))
    },
  )
}

/** Of any length and alphabet that who asks and his key have, it is one that every store keeps. */
const keyOf = (asker: string, key: string | undefined): string | undefined =>
  key === undefined
    ? undefined
    : createHash('sha256')
        .update(JSON.stringify([asker, key]))
        .digest('hex')
