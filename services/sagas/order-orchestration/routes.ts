/** The HTTP routes of the Order Orchestration Service (docs/wire-contract.md 5.1), and some to follow an order by. */
import type { FastifyRequest } from 'fastify'
import type { SagaDefinition } from 'ordersaga/definition'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import type { CallerOptions } from '../../shared/auth/caller.ts'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { IdempotencyKey, keyOf } from '../../shared/http/idempotency-key.ts'
import type { ProductReader } from '../../stock/reader.ts'
import { cancelOnce } from '../orchestrator/requests.ts'
import type { Shell } from '../orchestrator/shell.ts'
import { addUpdates } from '../orchestrator/updates.ts'
import { callers as callersBy, isFor, mustOrderForHimself, type Callers } from './caller.ts'
import { orderPresenter as presenter, replyField } from './presenter.ts'
import { checkProducts, OrderRequest, readOrder } from './request.ts'
import type { OrderOrchestrationInput } from './saga.ts'

export interface OrderOrchestrationParts extends CallerOptions {
  readonly definition: SagaDefinition<OrderOrchestrationInput>
  readonly products: ProductReader
}

interface Routes {
  readonly shell: Shell
  readonly callers: Callers
  readonly parts: OrderOrchestrationParts
}

/** Browser pages of every origin may ask for these: only a token counts there. Operators' routes are for our own pages. */
export const isOpen = (path: string): boolean => path === '/' || /^\/(orders|protected)(\/|$)/.test(path)

const tags = ['orders']
const security = [{ user: [] }]

export function orderOrchestrationRoutes(shell: Shell, parts: OrderOrchestrationParts): void {
  const routes = { shell, callers: callersBy(parts), parts }
  addCreate(routes)
  addCancel(routes)
  addReads(routes)
  addSigns(routes)
}

const Started = z.object({
  status: z.literal('success'),
  message: z.literal('Order creation started'),
  data: z.null().meta({ example: null }),
  saga_id: z.string().meta({ description: 'Follow it at /orders/{saga_id}', example: exampleIds.saga }),
})

function addCreate({ shell: { server, engine, ask }, callers, parts: { definition, products } }: Routes): void {
  server.post(
    '/orders/create_order',
    {
      schema: {
        operationId: 'create_order',
        tags,
        summary: 'Orders: takes the products out of stock, takes the payment, creates the order',
        description:
          'The header Idempotency-Key makes a repeated request safe: the same key and body give the same order, whatever its products cost by then.',
        security,
        headers: z.object({ 'idempotency-key': IdempotencyKey }),
        body: OrderRequest,
        response: { 200: Started },
      },
      config: { refuses: [401, 409, 422] },
      preValidation: callers.preValidation,
    },
    async (request) => {
      const caller = callers.of(request)
      mustOrderForHimself(caller, request.body.user_email)
      const input = readOrder(request.body)
      const given = request.headers['idempotency-key']
      const key = given === undefined ? undefined : keyOf(caller?.email ?? input.user_email, given)
      const saga = await startOnce(input, key)
      request.sagaId = saga.id
      return {
        status: 'success' as const,
        message: 'Order creation started' as const,
        data: null,
        saga_id: saga.id,
      }
    },
  )

  /** Asked again under its key it has been taken already, whatever its products cost by then and whoever is away. */
  async function startOnce(input: OrderOrchestrationInput, key: string | undefined): Promise<StoredSaga> {
    const taken = async (): Promise<StoredSaga | null> =>
      key === undefined ? null : ask(() => engine.startedUnder(key, definition, input))
    const before = await taken()
    if (before !== null) return before
    try {
      await checkProducts(input, products)
    } catch (error) {
      // Taken meanwhile: the first request was still under way when this one came.
      const meanwhile = await taken()
      if (meanwhile === null) throw error
      return meanwhile
    }
    return (await ask(() => engine.start(definition, input, { key }))).saga
  }
}

const anyId = z
  .string()
  .min(1)
  .max(100)
  .meta({ description: "The order's id, or the saga's, which is known first", example: exampleIds.saga })

const cancelling = { message: 'Order cancellation started' } as const

function addCancel({ shell, callers, parts }: Routes): void {
  const { server, engine, ask } = shell
  server.post(
    '/orders/cancel_order',
    {
      schema: {
        operationId: 'cancel_order',
        tags,
        summary: 'Cancels an order: gives back what was taken',
        description: 'Of an order that is complete, who keeps the orders decides; 409 says why not.',
        security,
        querystring: z.object({ order_id: anyId }),
        response: { 200: z.object({ message: z.literal('Order cancellation started') }) },
      },
      config: { refuses: [401, 404, 409, 422] },
      preValidation: callers.preValidation,
    },
    async (request) => {
      const saga = await foundFor(shell, parts, callers, request, request.query.order_id)
      request.sagaId = saga.id
      const by = callers.of(request)?.isAdmin === true ? 'administrator' : 'customer'
      const reason = 'The order was cancelled by who asked for it'
      const refused = await ask(() => cancelOnce(engine, saga.id, { by, reason, subject: 'order' }))
      if (refused !== null) throw new HttpError(409, refused)
      return cancelling
    },
  )
}

/** @throws HttpError 404 where there is none, or one of another */
async function foundFor(
  { engine }: Shell,
  { definition }: OrderOrchestrationParts,
  callers: Callers,
  request: FastifyRequest,
  id: string,
): Promise<StoredSaga> {
  const isMeant = (saga: StoredSaga): boolean => saga.definition === definition.name && isFor(callers.of(request), saga)
  const saga = await engine.get(id)
  if (saga !== null && isMeant(saga)) return saga
  const { items } = await engine.list({ definition: definition.name, businessKey: id }, { limit: 10 })
  const named = items.find((each) => replyField(each.state, 'order', 'order_id') === id && isMeant(each))
  if (named === undefined) throw new HttpError(404, `You have no order ${id}.`)
  return named
}

function addReads({ shell, callers, parts }: Routes): void {
  shell.server.get(
    '/orders/:saga_id',
    {
      schema: {
        operationId: 'get_order',
        tags,
        summary: 'How far an order is, and what came of it',
        security,
        params: z.object({ saga_id: anyId }),
        response: { 200: presenter.view },
      },
      config: { refuses: [401, 404, 422] },
      preValidation: callers.preValidation,
    },
    async (request) => {
      const saga = await foundFor(shell, parts, callers, request, request.params.saga_id)
      return presenter.viewOf(saga)
    },
  )
  addUpdates(shell, {
    path: '/orders/:saga_id/updates',
    operationId: 'follow_order',
    tells: 'states',
    presenter,
    guard: {
      security,
      preValidation: callers.preValidation,
      find: (request, id) => foundFor(shell, parts, callers, request, id),
    },
  })
}

/** Signs of life, with a token and without. */
function addSigns({ shell: { server }, callers }: Routes): void {
  server.get(
    '/',
    {
      schema: {
        operationId: 'get_root',
        tags: ['health'],
        summary: 'That it runs',
        response: { 200: z.object({ message: z.literal('Orchestration Service is running.') }) },
      },
    },
    async () => ({ message: 'Orchestration Service is running.' as const }),
  )
  server.post(
    '/orders/',
    {
      schema: {
        operationId: 'check_orders',
        tags,
        summary: 'Whether a token is accepted',
        description: 'Without the slash at its end, 307 leads here.',
        security,
        response: {
          200: z.object({ status: z.literal('OK') }),
          307: z.null().describe('The same with a slash at its end'),
        },
      },
      config: { refuses: [401, 422] },
      async preValidation(request, reply) {
        if ((request.url.split('?')[0] ?? '').endsWith('/')) return callers.preValidation(request)
        // From where it was asked, also behind a front door that removes a part of the path.
        return reply.code(307).header('location', 'orders/').send(null)
      },
    },
    async () => ({ status: 'OK' as const }),
  )
  server.get(
    '/protected',
    {
      schema: {
        operationId: 'get_protected',
        tags: ['health'],
        summary: 'The token that was sent, where it is accepted',
        security,
        response: { 200: z.object({ token_received: z.string().meta({ example: 'eyJ…' }) }) },
      },
      config: { refuses: [401] },
      preValidation: callers.preValidation,
    },
    async (request, reply) => {
      void reply.header('cache-control', 'no-store')
      return { token_received: request.headers.authorization ?? '' }
    },
  )
}
