/** The Complete Order saga's service, on 3104. */
import type { OrderReader } from '../../order/reader.ts'
import { errorAlone } from '../../shared/http/error-shapes.ts'
import { openOrchestrator, type OpenOrchestrator, type OrchestratorOptions } from '../orchestrator/orchestrator.ts'
import { completeOrderPresenter } from './presenter.ts'
import { completeOrderRoutes } from './routes.ts'
import { completeOrderSaga, type CompleteOrderOptions } from './saga.ts'

export type CompleteOrderServiceOptions = OrchestratorOptions &
  CompleteOrderOptions & {
    /** Tells whose order it is, where a client says who he is. */
    readonly orders: OrderReader
  }

export function openCompleteOrderService(options: CompleteOrderServiceOptions): Promise<OpenOrchestrator> {
  const definition = completeOrderSaga(options)
  return openOrchestrator(options, {
    name: 'complete-order-saga',
    title: 'Complete Order saga',
    description: 'Pays the runner of a delivered order and completes it, and tells of it as it happens.',
    definitions: [definition],
    group: 'complete-order-saga-orchestrator',
    portVariable: 'COMPLETE_ORDER_PORT',
    secretSteps: completeOrderPresenter.secretSteps,
    errors: errorAlone,
    whenSilent: 'send it again, an order has one such saga',
    routes: (shell) => completeOrderRoutes(shell, { definition, orders: options.orders }),
  })
}
