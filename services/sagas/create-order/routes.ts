/**
 * The HTTP routes of the Create Order saga (docs/wire-contract.md): each under `/api`, as seed 001 has it, and at the root, as its
 * other clients call it.
 */
import type { Engine, StoredAnswer } from 'ordersaga/engine'
import { EngineError } from 'ordersaga/engine/errors'
import type { SagaDefinition } from 'ordersaga/definition'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import { decimalOf, leastChargeCents } from '../../shared/money/money.ts'
import { OrderRequest, readOrderDetails } from '../../shared/order-details.ts'
import { utcText } from '../../shared/time/utc.ts'
import { byTimer, type CreateOrderInput } from './saga.ts'
import { eventView, SagaSummary, SagaView, statuses, summaryOf, viewOf } from './presenter.ts'

/** How long a cancel waits for the Order Service to decide, in milliseconds. */
const decisionMs = 10_000

const Started = z.object({
  success: z.literal(true),
  saga_id: z.string(),
  status: z.enum(statuses),
  message: z.string(),
})
const Params = z.object({ saga_id: z.string().max(100) })
const Failure = z.object({ success: z.literal(false), error: z.string() })
const Problem = z.object({ error: z.string() })
const Message = z.object({ message: z.string() })

export interface RouteOptions {
  readonly engine: Engine
  readonly definition: SagaDefinition<CreateOrderInput>
  /** How long a request waits for the store, in milliseconds; 30 s where none is given. */
  readonly patienceMs?: number
}

/** Asks the engine, and says its refusal or its silence as HTTP does. */
type Ask = <T>(work: () => Promise<T>) => Promise<T>

const defaultPatienceMs = 30_000

export function addRoutes(server: HttpServer, options: RouteOptions): void {
  const asked = askingFor(options.patienceMs ?? defaultPatienceMs)
  for (const prefix of ['/api', '']) {
    addStart(server, prefix, options, asked)
    addReads(server, prefix, options.engine)
    addCancel(server, prefix, options.engine, asked)
    addOperator(server, prefix, options.engine, asked)
    addTimerCallback(server, prefix, options.engine, asked)
  }
}

function addStart(server: HttpServer, prefix: string, { engine, definition }: RouteOptions, asked: Ask): void {
  server.post(
    `${prefix}/orders`,
    {
      schema: {
        summary: 'Start a Create Order saga',
        description:
          'The header Idempotency-Key makes a repeated request safe: the same key and body give the same saga.',
        body: OrderRequest,
        headers: z.object({ 'idempotency-key': z.string().min(1).max(200).optional() }),
        response: { 202: Started, 400: Failure, 422: Failure, 503: Failure },
      },
    },
    async (request, reply) => {
      const { customer_id, order_details } = request.body
      const input = { customer_id, order_details, amount: priced(order_details) }
      const { saga } = await asked(() => engine.start(definition, input, { key: request.headers['idempotency-key'] }))
      return reply.code(202).send({
        success: true,
        saga_id: saga.id,
        status: saga.state.status,
        message: 'Order creation started; follow it at /api/sagas/' + saga.id,
      })
    },
  )
}

/** What would be refused later is refused here: later, the saga could only be undone. */
function priced(details: Readonly<Record<string, unknown>>): number {
  const order = readOrderDetails(details)
  if (!order.ok) throw new HttpError(400, order.why)
  if (order.value.totalCents < leastChargeCents)
    throw new HttpError(400, `The order must cost at least ${decimalOf(leastChargeCents).toFixed(2)}; add an item.`)
  return order.value.totalCents
}

function addReads(server: HttpServer, prefix: string, engine: Engine): void {
  const query = z.object({
    status: z
      .enum(statuses, {
        error: ({ input }) => `Unknown status '${String(input).slice(0, 50)}'; use one of ${statuses.join(', ')}`,
      })
      .optional(),
    customer_id: z.string().optional(),
    limit: z.coerce.number().int().min(1).max(1000).optional(),
    after: z
      .string()
      .regex(/^\d{1,16}_[^\0]+$/, "is not the 'X-Next' of an earlier page")
      .optional(),
  })
  server.get(
    `${prefix}/sagas`,
    {
      schema: {
        summary: 'List sagas, newest first',
        description:
          'At most 100 unless a limit is given. The header X-Next, where present, is the `after` of the next page.',
        querystring: query,
        response: { 200: z.array(SagaSummary), 400: Failure },
      },
    },
    async (request, reply) => {
      const { status, customer_id, limit, after } = request.query
      const page = await engine.list({ definition: 'create-order', status, businessKey: customer_id }, { limit, after })
      if (page.next !== null) void reply.header('X-Next', page.next)
      return page.items.map(summaryOf)
    },
  )
  server.get(
    `${prefix}/sagas/:saga_id`,
    { schema: { summary: 'The saga', params: Params, response: { 200: SagaView, 404: Failure } } },
    async (request) => viewOf(await found(engine, request.params.saga_id)),
  )
  server.get(
    `${prefix}/sagas/:saga_id/history`,
    {
      schema: {
        summary: 'Every move of the saga, oldest first',
        description: 'At most 1000. The header X-Next, where present, is the `after` of those that follow.',
        params: Params,
        querystring: z.object({ after: z.coerce.number().int().min(0).optional() }),
      },
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
        events: events.map(eventView),
      }))
    },
  )
}

function addCancel(server: HttpServer, prefix: string, engine: Engine, asked: Ask): void {
  server.post(
    `${prefix}/sagas/:saga_id/cancel`,
    {
      schema: {
        summary: 'Cancel the order',
        description: 'A completed order is cancelled only while no runner has accepted it; the Order Service decides.',
        params: Params,
        response: { 202: Message, 400: Problem, 404: Problem, 409: Problem, 503: Problem },
      },
      config: { errorBody: (_status, error) => ({ error }) },
    },
    async (request, reply) => {
      const { saga_id } = request.params
      const refused = await asked(() =>
        cancelAndWait(engine, saga_id, 'customer', 'Manual cancellation requested by user'),
      )
      if (refused !== null) throw new HttpError(409, refused)
      return reply.code(202).send({ message: 'Cancellation started; the order is being undone.' })
    },
  )
}

/**
 * Cancels, and where the order was complete already waits for what the Order Service decides.
 *
 * @returns null where it is cancelled or being cancelled, else why not
 */
async function cancelAndWait(engine: Engine, sagaId: string, by: string, reason: string): Promise<string | null> {
  const answer = await engine.cancel(sagaId, by, reason)
  const { status } = answer.saga.state
  if (!answer.accepted)
    return status === 'COMPENSATING' ? null : `The saga cannot be cancelled in status ${status}: ${answer.reason ?? ''}`
  return answer.saga.state.cancel?.after === true ? decisionOf(engine, answer) : null
}

async function decisionOf(engine: Engine, { saga }: StoredAnswer): Promise<string | null> {
  const after = saga.seq - 1
  for await (const { events, status } of engine.updates(saga.id, after, AbortSignal.timeout(decisionMs))) {
    const refused = events.find((event) => event.type === 'CancelRefused')
    if (refused !== undefined) return `The order cannot be cancelled any more (saga ${status}): ${refused.reason}`
    if (events.some((event) => event.type === 'UndoDone')) return null
  }
  return null // not decided yet: it goes on by itself, and the saga shows the outcome
}

const Action = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('retry') }),
  z.object({ kind: z.literal('skip') }),
  z.object({ kind: z.literal('giveUp') }),
  z.object({ kind: z.literal('resolve'), reply: z.unknown() }),
])

function addOperator(server: HttpServer, prefix: string, engine: Engine, asked: Ask): void {
  server.post(
    `${prefix}/sagas/:saga_id/actions`,
    {
      schema: {
        summary: 'An operator settles a parked saga',
        description:
          'retry: try again; skip: the operator made sure that the step has no effect; resolve: it was done, with this reply; giveUp: end it as FAILED.',
        params: Params,
        body: z.object({ action: Action, by: z.string().min(1).max(100), reason: z.string().min(1).max(1000) }),
        response: { 202: Message, 404: Failure, 409: Failure },
      },
    },
    async (request, reply) => {
      const { action, by, reason } = request.body
      const chosen = action.kind === 'resolve' ? { kind: action.kind, reply: action.reply } : action
      const answer = await asked(() => engine.act(request.params.saga_id, chosen, by, reason))
      if (!answer.accepted) throw new HttpError(409, answer.reason ?? 'refused')
      return reply.code(202).send({ message: `Done; the saga is ${answer.saga.state.status}.` })
    },
  )
}

/** The older way in which a timer service tells of an expiry. Unlike the original it acts on it. */
function addTimerCallback(server: HttpServer, prefix: string, engine: Engine, asked: Ask): void {
  server.post(
    `${prefix}/timer-callback`,
    {
      schema: {
        summary: 'A timer has expired',
        body: z.object({
          saga_id: z.string('send saga_id, a text').min(1).max(100),
          order_id: z.string().optional(),
          timer_id: z.string().optional(),
        }),
        response: { 200: z.object({ success: z.literal(true), message: z.string() }), 400: Failure, 404: Failure },
      },
    },
    async (request) => {
      const refused = await asked(() => cancelAndWait(engine, request.body.saga_id, byTimer.by, byTimer.reason))
      return { success: true as const, message: refused ?? 'Timeout taken in; the order is being cancelled.' }
    },
  )
}

async function found(engine: Engine, sagaId: string): Promise<StoredSaga> {
  const saga = await engine.get(sagaId)
  if (saga === null) throw new HttpError(404, `There is no saga ${sagaId}.`)
  return saga
}

const silent = new HttpError(
  503,
  'the store does not answer in time, and whether this takes effect is not known yet: send an order again under its Idempotency-Key, or look at /sagas first',
  5,
)

/** Work that takes longer goes on by itself: the engine tries for as long as the store is away. */
function askingFor(patienceMs: number): Ask {
  return async (work) => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(silent), patienceMs)
    })
    try {
      return await Promise.race([work(), late])
    } catch (error) {
      throw clientError(error)
    } finally {
      clearTimeout(timer)
    }
  }
}

const httpStatus: Readonly<Record<string, number>> = {
  not_found: 404,
  key_reused: 422,
  invalid_input: 400,
  refused: 400,
  busy: 503,
  stopped: 503,
}

function clientError(error: unknown): HttpError {
  if (error instanceof HttpError) return error
  const status = error instanceof EngineError ? httpStatus[error.code] : undefined
  if (status === undefined) throw error
  return new HttpError(status, (error as Error).message, status === 503 ? 1 : undefined)
}
