/** Starts a saga, once however often it is asked for under one key, or for one thing. */
import type { SagaDefinition } from 'ordersaga/definition'
import type { Engine } from 'ordersaga/engine'
import type { SagaStatus } from 'ordersaga/state'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { IdempotencyKey, keyOf } from '../../shared/http/idempotency-key.ts'
import type { Shell } from './shell.ts'

interface Route<Body extends z.ZodType, Input, Answer extends z.ZodType> {
  readonly path: string
  readonly operationId: string
  readonly summary: string
  readonly description?: string
  readonly definition: SagaDefinition<Input>
  readonly body: Body
  /** Statuses with which `admit` and `input` refuse, besides 400. */
  readonly refuses?: readonly (404 | 409)[]
  /** Whether he who asks may. @throws HttpError where he may not */
  readonly admit?: (body: z.output<Body>) => Promise<void>
  /** @throws HttpError where no saga should begin with this */
  readonly input: (body: z.output<Body>) => NoInfer<Input>
  /** The status of the answer, such as 202. */
  readonly status: 200 | 201 | 202
  readonly answer: Answer
  readonly answerOf: (saga: StoredSaga, body: z.output<Body>) => z.input<Answer>
}

export type StartRoute<Body extends z.ZodType, Input, Answer extends z.ZodType> = Route<Body, Input, Answer> &
  (
    | {
        /** Who asks: an Idempotency-Key is among the keys of this one alone, and tells nobody of another's saga. */
        readonly asker: (body: z.output<Body>) => string
        readonly oneFor?: undefined
      }
    | {
        /**
         * The saga's business key, which has one saga: asked again, the one that runs or has completed is answered; after one
         * that came to nothing a new one begins.
         */
        readonly oneFor: (body: z.output<Body>) => string
        readonly asker?: undefined
      }
  )

export function addStart<Body extends z.ZodType, Input, Answer extends z.ZodType>(
  { server, engine, ask }: Shell,
  route: StartRoute<Body, Input, Answer>,
): void {
  const response: Record<number, z.ZodType> = { [route.status]: route.answer }
  server.post(
    route.path,
    {
      schema: {
        operationId: route.operationId,
        tags: ['sagas'],
        summary: route.summary,
        description: route.description ?? keyed,
        body: route.body,
        ...(route.oneFor === undefined ? { headers: Keyed } : {}),
        response,
      },
      config: { refuses: [...(route.oneFor === undefined ? ([422] as const) : []), ...(route.refuses ?? [])] },
    },
    async (request, reply) => {
      const body = request.body as z.output<Body>
      await route.admit?.(body)
      const input = route.input(body)
      const { definition, oneFor, asker } = route
      const saga = await ask(async () => {
        if (oneFor !== undefined) return startOne(engine, definition, input, oneFor(body))
        const key = Keyed.parse(request.headers)['idempotency-key']
        const hashed = key === undefined ? undefined : keyOf(asker(body), key)
        return (await engine.start(definition, input, { key: hashed })).saga
      })
      request.sagaId = saga.id
      return reply.code(route.status).send(route.answerOf(saga, body))
    },
  )
}

const Keyed = z.object({ 'idempotency-key': IdempotencyKey })
const keyed = 'The header Idempotency-Key makes a repeated request safe: the same key and body give the same saga.'

const nothingCameOf: ReadonlySet<SagaStatus> = new Set(['FAILED', 'COMPENSATED', 'CANCELLED'])

/**
 * Of several who ask at once, on any replica, each gets the same saga: its key follows from the one before it, which is
 * looked up, and found under that key where another was faster.
 */
async function startOne<Input>(
  engine: Engine,
  definition: SagaDefinition<Input>,
  input: NoInfer<Input>,
  businessKey: string,
): Promise<StoredSaga> {
  for (let last = await newestOf(engine, definition, businessKey); ;) {
    if (last !== undefined && !nothingCameOf.has(last.state.status)) return last
    const { saga, fresh } = await engine.start(definition, input, { key: keyOf(businessKey, 'after', last?.id ?? '') })
    if (fresh) return saga
    last = saga
  }
}

/** A list knows long keys by their beginning alone, which others may share. */
async function newestOf<Input>(
  engine: Engine,
  definition: SagaDefinition<Input>,
  businessKey: string,
): Promise<StoredSaga | undefined> {
  const filter = { definition: definition.name, businessKey }
  for (let after: string | null | undefined; after !== null;) {
    const { items, next } = await engine.list(filter, { limit: 10, after })
    const found = items.find(({ state: { input } }) => definition.businessKey({ input, replies: {} }) === businessKey)
    if (found !== undefined) return found
    after = next
  }
  return undefined
}
