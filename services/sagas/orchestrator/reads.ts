/** Shows sagas to the clients of an orchestrator: lists, one, its history. */
import type { SagaStatus } from 'ordersaga/state'
import { z } from 'zod'
import { exampleIds } from '../../shared/http/examples.ts'
import { UtcText, utcText } from '../../shared/time/utc.ts'
import { EventView, type Presenter } from './presenter.ts'
import { found, operation, SagaId, type Shell } from './shell.ts'

export const statuses = [
  'STARTED',
  'COMPLETED',
  'FAILED',
  'COMPENSATING',
  'COMPENSATED',
  'CANCELLING',
  'CANCELLED',
  'PARKED',
] as const satisfies readonly SagaStatus[]

export const Status = z.enum(statuses, {
  error: ({ input }) => `Unknown status '${String(input).slice(0, 50)}'; use one of ${statuses.join(', ')}`,
})

/** Where a page of sagas goes on. */
export const Page = {
  limit: z.coerce.number().int().min(1).max(1000).optional().meta({ example: 100 }),
  after: z
    .string()
    .regex(/^\d{1,16}_[^\0]+$/, "is not the 'X-Next' of an earlier page")
    .optional()
    .meta({ example: `1769860800000_${exampleIds.saga}` }),
}

/** The number of the last move that is known. */
export const AfterMove = z.coerce.number().int().min(0).optional().meta({ example: 0 })

export interface ReadRoutes<Key extends string> {
  /** Before `/sagas`: `/api`, or nothing. */
  readonly prefix: string
  /** The name of the definition whose sagas are shown. */
  readonly definition: string
  /** What the query calls the business key, such as `customer_id`. */
  readonly keyName: Key
  readonly presenter: Presenter
}

export function addReads<Key extends string>(shell: Shell, routes: ReadRoutes<Key>): void {
  addList(shell, routes)
  addOne(shell, routes)
  addHistory(shell, routes)
}

function addList<Key extends string>({ server, engine }: Shell, routes: ReadRoutes<Key>): void {
  const { prefix, definition, keyName, presenter } = routes
  server.get(
    `${prefix}/sagas`,
    {
      schema: {
        operationId: operation('list_sagas', prefix),
        tags: ['sagas'],
        summary: 'List sagas, newest first',
        description:
          'At most 100 unless a limit is given. The header X-Next, where present, is the `after` of the next page.',
        querystring: z.object({
          status: Status.optional(),
          [keyName]: z.string().optional().meta({ example: exampleIds.customer }),
          ...Page,
        }),
        response: { 200: z.array(presenter.summary) },
      },
    },
    async (request, reply) => {
      const { status, limit, after } = request.query
      const businessKey = (request.query as Readonly<Partial<Record<string, string>>>)[keyName]
      const page = await engine.list({ definition, status, businessKey }, { limit, after })
      if (page.next !== null) void reply.header('X-Next', page.next)
      return page.items.map(presenter.summaryOf)
    },
  )
}

function addOne({ server, engine }: Shell, { prefix, presenter }: ReadRoutes<string>): void {
  server.get(
    `${prefix}/sagas/:saga_id`,
    {
      schema: {
        operationId: operation('get_saga', prefix),
        tags: ['sagas'],
        summary: 'The saga',
        params: SagaId,
        response: { 200: presenter.view },
      },
      config: { refuses: [404] },
    },
    async (request) => presenter.viewOf(await found(engine, request.params.saga_id)),
  )
}

export const Cause = z.string().meta({
  description: 'The message, request or wake-up that caused it',
  example: `start:${exampleIds.saga}`,
})

const Moves = z.array(
  z.object({
    seq: z.int().meta({ example: 3 }),
    at: UtcText,
    cause: Cause,
    events: z.array(EventView),
  }),
)

function addHistory({ server, engine }: Shell, { prefix, presenter }: ReadRoutes<string>): void {
  server.get(
    `${prefix}/sagas/:saga_id/history`,
    {
      schema: {
        operationId: operation('get_history', prefix),
        tags: ['sagas'],
        summary: 'Every move of the saga, oldest first',
        description: 'At most 1000. The header X-Next, where present, is the `after` of those that follow.',
        params: SagaId,
        querystring: z.object({ after: AfterMove }),
        response: { 200: Moves },
      },
      config: { refuses: [404] },
    },
    async (request, reply) => {
      const saga = await found(engine, request.params.saga_id)
      const history = await engine.history(saga.id, request.query.after)
      const last = history.at(-1)?.seq ?? saga.seq
      if (last < saga.seq) void reply.header('X-Next', last)
      return history.map(({ seq, at, inputId, events }) => ({
        seq,
        at: utcText(at),
        cause: inputId,
        events: events.map(presenter.eventView) as { type: string }[],
      }))
    },
  )
}
