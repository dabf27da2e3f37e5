/** The HTTP side of sagas on Temporal: a small server that starts workflows and tells how one stands. It keeps nothing. */
import { z } from 'zod'
import type { OrderReader } from '../../order/reader.ts'
import { storableText } from '../../shared/database/text.ts'
import { errorAlone } from '../../shared/http/error-shapes.ts'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { listen } from '../../shared/http/listen.ts'
import { allowOrigins, knownPages } from '../../shared/http/origins.ts'
import { createHttpServer, type HttpServer } from '../../shared/http/server.ts'
import type { OpenService, ServerOptions } from '../../shared/service.ts'
import type { SagaDefinition } from 'ordersaga/definition'
import { starter, type Standing, type Starter, type WorkflowNames } from './starting.ts'
import { temporalClient, type TemporalTarget } from './temporal.ts'

export interface TriggerServiceOptions extends ServerOptions {
  readonly temporal: TemporalTarget
  /** Tells whose order it is. */
  readonly orders: OrderReader
}

export interface TriggerDescription<Body extends z.ZodType> {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly portVariable: string
  readonly path: string
  readonly operationId: string
  readonly summary: string
  readonly names: WorkflowNames
  readonly definition: SagaDefinition
  readonly body: Body
  /** Who is meant, from a request that fits. @throws HttpError */
  readonly read: (body: z.infer<Body>) => { readonly orderId: string; readonly runnerId: string }
  /** Refuses what the order itself says is wrong. @throws HttpError */
  readonly check: (orders: OrderReader, orderId: string, runnerId: string) => Promise<void>
}

const Triggered = z.object({
  message: z.string().meta({ example: 'Workflow triggered' }),
  workflow_id: z.string().meta({ example: `complete-order-workflow-${exampleIds.order}` }),
})

const Shown = z.object({
  workflow_id: z.string().meta({ example: `complete-order-workflow-${exampleIds.order}` }),
  status: z.string().meta({ description: "As Temporal's own list has it", example: 'COMPLETED' }),
  parked: z.string().nullable().meta({ description: 'Why it needs an operator', example: null }),
  runner_id: z.string().nullable().meta({ example: exampleIds.runner }),
  started_at: z.string().meta({ example: '2026-01-01T12:00:00.000Z' }),
})

export async function openTrigger<Body extends z.ZodType>(
  options: TriggerServiceOptions,
  about: TriggerDescription<Body>,
): Promise<OpenService> {
  const { log, host, port, callers, temporal, orders } = options
  const connected = temporalClient(temporal)
  const workflows = starter(connected, about.names, about.definition)
  const server = await createHttpServer({
    title: about.title,
    description: about.description,
    version: '1.0.0',
    log,
    errors: errorAlone,
    ready: async () => ({
      temporal: await answers(() =>
        connected.ask(lookMs, () =>
          connected.client.workflowService.describeNamespace({ namespace: temporal.namespace }),
        ),
      ),
    }),
    ...(callers === undefined ? {} : { callers }),
  })
  addRoutes(server, about, workflows, orders)
  const url = await listen(server, host, port, about.portVariable)
  log.info({ url, temporal: temporal.address }, 'ready: requests are taken')
  return {
    name: about.name,
    url,
    begin: () => undefined,
    async close() {
      await server.close()
      await connected.close()
    },
  }
}

/** Of the health checks, in milliseconds. */
const lookMs = 1_000

async function answers(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask()
    return true
  } catch {
    return false
  }
}

function addRoutes<Body extends z.ZodType>(
  server: HttpServer,
  about: TriggerDescription<Body>,
  workflows: Starter,
  orders: OrderReader,
): void {
  const { path, operationId, summary, body } = about
  allowOrigins(server, knownPages)

  server.post(
    path,
    {
      schema: { operationId, tags: ['workflows'], summary, body, response: { 200: Triggered } },
      config: { refuses: [404] },
    },
    async (request) => {
      const { orderId, runnerId } = about.read(request.body as z.infer<Body>)
      await about.check(orders, orderId, runnerId)
      const argument = request.body as object
      const started = await workflows.start({ orderId, runnerId, argument }).catch((err: unknown) => {
        request.log.error({ err }, 'the workflow could not be started')
        throw refusesUs(err) ? new HttpError(500, misplaced) : new HttpError(500, cannotStart, 2)
      })
      const { workflowId, standing } = started
      if (standing !== null && standing.runnerId !== null && standing.runnerId !== runnerId)
        throw new HttpError(400, `the order has a workflow for another runner, which is ${standing.status}`)
      return { message: messageOf(standing), workflow_id: workflowId }
    },
  )

  server.get(
    `${path}/:order_id`,
    {
      schema: {
        operationId: `${operationId}_standing`,
        tags: ['workflows'],
        summary: 'How the workflow of an order stands',
        params: z.object({ order_id: storableText.meta({ example: exampleIds.order }) }),
        response: { 200: Shown },
      },
      config: { refuses: [404] },
    },
    async (request) => {
      const { order_id } = request.params
      const standing = await workflows.standing(order_id).catch((err: unknown) => {
        request.log.error({ err }, 'Temporal does not answer')
        throw refusesUs(err)
          ? new HttpError(500, misplaced)
          : new HttpError(503, 'Temporal does not answer now: ask again in a moment', 2)
      })
      if (standing === null) throw new HttpError(404, `There is no workflow for order ${order_id}.`)
      const { workflowId, status, parked, runnerId, startedAt } = standing
      return { workflow_id: workflowId, status, parked, runner_id: runnerId, started_at: startedAt.toISOString() }
    },
  )
}

function messageOf(standing: Standing | null): string {
  if (standing === null) return 'Workflow triggered'
  const { status, parked } = standing
  return `Workflow triggered before: it is ${status}${parked === null ? '' : `, and needs an operator: ${parked}`}`
}

/** gRPC: INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED. To ask again helps against none of them. */
const refusing: ReadonlySet<unknown> = new Set([3, 5, 7, 16])

function refusesUs(error: unknown): boolean {
  const { code, cause } = Object(error) as { readonly code?: unknown; readonly cause?: unknown }
  return refusing.has(code) || refusing.has((Object(cause) as { readonly code?: unknown }).code)
}

const misplaced =
  'Temporal refuses to start this workflow or to tell of it: see the log of this service, and that TEMPORAL_NAMESPACE names a namespace of its'

/** The contract has 500 for it; what to do is what one does after 503. */
const cannotStart =
  'The workflow could not be started, or Temporal did not say whether it was: Temporal does not answer now. Send the request again in a moment; it starts one workflow for an order, however often it is sent.'
