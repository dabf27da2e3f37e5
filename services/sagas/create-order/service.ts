/** The Create Order saga's service: engine, and HTTP on 3101. */
import { startEngine, type Engine } from 'ordersaga/engine'
import type { Store } from 'ordersaga/store'
import { Gauge, Registry } from 'prom-client'
import { listen } from '../../shared/http/listen.ts'
import { mountMessages } from '../../shared/http/messages.ts'
import { knownPages } from '../../shared/http/origins.ts'
import { createHttpServer } from '../../shared/http/server.ts'
import { logProblems } from '../../shared/log/problems.ts'
import type { OpenService, ServiceOptions } from '../../shared/service.ts'
import { addRoutes } from './routes.ts'
import { addUpdates } from './updates.ts'
import { createOrderSaga, type CreateOrderOptions } from './saga.ts'

export interface CreateOrderServiceOptions extends Omit<ServiceOptions, 'database' | 'now'>, CreateOrderOptions {
  readonly store: Store
  /** Ended sagas are kept this long after their last move, in milliseconds; for ever where none is given. */
  readonly retainMs?: number
}

/** The consumer group of every replica. */
const group = 'create-order-saga-orchestrator'

export async function openCreateOrderService(
  options: CreateOrderServiceOptions,
): Promise<OpenService & { readonly engine: Engine }> {
  const { store, transport, log } = options
  const definition = createOrderSaga(options)
  const engine = await startEngine({
    store,
    transport,
    definitions: [definition],
    group,
    ...(options.retainMs === undefined ? {} : { retainMs: options.retainMs }),
    onProblem: logProblems(log),
  })
  const server = await createHttpServer({
    title: 'Create Order saga',
    description: 'Starts, shows and cancels Create Order sagas.',
    log,
    version: '1.0.0',
    ready: async () => ({ store: await store.ready(), transport: await transport.ready() }),
    errorBody: (_status, error) => ({ success: false, error }),
    allowedOrigins: knownPages,
    metrics: figuresOf(engine),
  })
  addRoutes(server, { engine, definition })
  addUpdates(server, engine)
  // Where the original has its API page.
  server.get('/apidocs/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/docs/'))
  if (options.receiver !== undefined) mountMessages(server, options.receiver)
  const url = await listen(server, options.host, options.port, 'CREATE_ORDER_PORT')
  log.info({ url }, 'listening')
  return {
    name: 'create-order-saga',
    url,
    engine,
    // All that it does follows from what is said to it, or from sagas whose commands have their readers.
    begin: () => undefined,
    async close() {
      await server.close()
      await engine.stop()
      await store.close()
    },
  }
}

function figuresOf(engine: Engine): Registry {
  const registry = new Registry()
  const gauge = (name: string, help: string, figure: () => number): void => {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(figure())
        },
      }),
    )
  }
  gauge('ordersaga_waking_sagas', 'Sagas of this process that have a wake-up.', () => engine.figures().waking)
  gauge(
    'ordersaga_running_sagas',
    'Sagas that wait for an answer, as far as this process knows.',
    () => engine.figures().running,
  )
  gauge('ordersaga_queued_inputs', 'Inputs that wait for the next batch.', () => engine.figures().queued)
  const owner = new Gauge({
    name: 'ordersaga_owner',
    help: 'The name under which this process owns sagas in the store.',
    labelNames: ['owner'],
    registers: [],
    collect() {
      this.reset()
      this.set({ owner: engine.owner }, 1)
    },
  })
  registry.registerMetric(owner)
  return registry
}
