/**
 * What every saga's service needs, once: the engine, an HTTP server with the operator's API, metrics, a log line for each move,
 * and their order of starting and stopping. A service adds its definition and the routes that its clients know.
 */
import type { SagaDefinition } from 'ordersaga/definition'
import { startEngine, type Engine } from 'ordersaga/engine'
import type { Store } from 'ordersaga/store'
import type { OpenPath } from '../../shared/http/callers.ts'
import type { ErrorShape } from '../../shared/http/error-shapes.ts'
import { listen } from '../../shared/http/listen.ts'
import { mountMessages } from '../../shared/http/messages.ts'
import { knownPages } from '../../shared/http/origins.ts'
import { createHttpServer } from '../../shared/http/server.ts'
import { logProblems } from '../../shared/log/problems.ts'
import type { OpenService, ServiceOptions } from '../../shared/service.ts'
import { askingFor, defaultPatienceMs } from './asking.ts'
import { sagaMetrics } from './metrics.ts'
import { moveLog } from './move-log.ts'
import { addOps } from './ops/ops.ts'
import type { Shell } from './shell.ts'
import { Streams, type StreamOptions } from './streams.ts'

export interface OrchestratorOptions extends Omit<ServiceOptions, 'database' | 'now'> {
  readonly store: Store
  /** Ended sagas are kept this long after their last move, in milliseconds; for ever where none is given. */
  readonly retainMs?: number
  readonly streams?: StreamOptions
  /** How long a request waits for a store that is away, in milliseconds; 30 seconds where none is given. */
  readonly patienceMs?: number
}

export interface SagaService {
  /** Such as `create-order-saga`. */
  readonly name: string
  readonly title: string
  readonly description: string
  /** Every version with live sagas. */
  readonly definitions: readonly SagaDefinition[]
  /** The consumer group of every replica. */
  readonly group: string
  /** Where it listens, as the message about a port that is taken names it. */
  readonly portVariable: string
  /** Steps whose answers are for the saga alone, also where an operator looks. */
  readonly secretSteps?: readonly string[]
  readonly errors: ErrorShape
  /** What a client does after a request of which nobody knows yet whether it takes effect. */
  readonly whenSilent: string
  /** Paths that pages of every origin may ask for; none where none are given. */
  readonly isOpen?: OpenPath
  readonly routes: (shell: Shell) => void
}

export interface OpenOrchestrator extends OpenService {
  readonly engine: Engine
}

/** Of the routes, as the API page shows it. */
const apiVersion = '1.0.0'

export async function openOrchestrator(options: OrchestratorOptions, service: SagaService): Promise<OpenOrchestrator> {
  const { store, transport, log } = options
  const metrics = sagaMetrics([...new Set(service.definitions.map(({ name }) => name))])
  const write = moveLog(log)
  const engine = await startEngine({
    store,
    transport,
    definitions: service.definitions,
    group: service.group,
    ...(options.retainMs === undefined ? {} : { retainMs: options.retainMs }),
    onProblem: logProblems(log),
    onMove(move) {
      metrics.moved(move)
      write(move)
    },
  })
  metrics.watch(engine)
  const server = await createHttpServer({
    title: service.title,
    description: service.description,
    version: apiVersion,
    log,
    ready: async () => ({
      engine: await engine.ready(),
      store: await store.ready(),
      transport: await transport.ready(),
    }),
    errors: service.errors,
    ...(service.isOpen === undefined ? {} : { isOpen: service.isOpen }),
    allowedOrigins: knownPages,
    ...(options.callers === undefined ? {} : { callers: options.callers }),
    metrics: metrics.registry,
  })
  const shell = {
    server,
    engine,
    ask: askingFor(options.patienceMs ?? defaultPatienceMs, service.whenSilent),
    streams: new Streams(server, options.streams),
  }
  service.routes(shell)
  addOps(shell, { store, log, secretSteps: service.secretSteps ?? [] })
  if (options.receiver !== undefined) mountMessages(server, options.receiver)
  const url = await listen(server, options.host, options.port, service.portVariable)
  log.info({ url }, 'listening')
  return {
    name: service.name,
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
