/** The Order Orchestration Service, on 7001. */
import { detailShape } from '../../shared/http/detail-shape.ts'
import type { ProductReader } from '../../stock/reader.ts'
import { openOrchestrator, type OpenOrchestrator, type OrchestratorOptions } from '../orchestrator/orchestrator.ts'
import type { CallerOptions } from '../../shared/auth/caller.ts'
import { openProjection } from './projection.ts'
import { isOpen, orderOrchestrationRoutes } from './routes.ts'
import { everyOrderOrchestration, orderOrchestrationSaga, type OrderOrchestrationOptions, type Part } from './saga.ts'

export interface OrderOrchestrationServiceOptions
  extends OrchestratorOptions, OrderOrchestrationOptions, CallerOptions {
  /** Who of the participants is a foreign one. */
  readonly foreign: readonly Part[]
  readonly products: ProductReader
  /** Where other programs read of orders; nowhere where none is given. */
  readonly readable?: { readonly url: string; readonly prefix: string } | undefined
}

export async function openOrderOrchestrationService(
  options: OrderOrchestrationServiceOptions,
): Promise<OpenOrchestrator> {
  const { readable, store, log, retainMs } = options
  const definitions = everyOrderOrchestration(options)
  const { version } = orderOrchestrationSaga(options.foreign)
  const definition = definitions.find((each) => each.version === version)
  if (definition === undefined) throw new Error(`there is no version ${version} of the Order Orchestration`)
  const service = await openOrchestrator(options, {
    name: 'order-orchestration',
    title: 'Order Orchestration Service',
    description: 'Takes orders: products out of stock, the payment, the order; gives back all of it where one fails.',
    definitions,
    group: 'order-orchestration',
    portVariable: 'ORDER_ORCHESTRATION_PORT',
    errors: detailShape,
    whenSilent: 'send an order again under its Idempotency-Key, or look at /orders/{saga_id} first',
    isOpen,
    routes: (shell) => orderOrchestrationRoutes(shell, { ...options, definition }),
  })
  if (readable === undefined) return service
  const projection = openProjection({
    ...readable,
    engine: service.engine,
    store,
    definition: definition.name,
    retainMs,
    log,
  })
  return {
    ...service,
    begin() {
      service.begin()
      projection.begin()
    },
    async close() {
      await projection.stop()
      await service.close()
    },
  }
}
