/** The Create Order saga's service, on 3101. */
import { failureWithError } from '../../shared/http/error-shapes.ts'
import { openOrchestrator, type OpenOrchestrator, type OrchestratorOptions } from '../orchestrator/orchestrator.ts'
import { createOrderPresenter } from './presenter.ts'
import { createOrderRoutes } from './routes.ts'
import { createOrderSaga, type CreateOrderOptions } from './saga.ts'

export type CreateOrderServiceOptions = OrchestratorOptions & CreateOrderOptions

export function openCreateOrderService(options: CreateOrderServiceOptions): Promise<OpenOrchestrator> {
  const definition = createOrderSaga(options)
  return openOrchestrator(options, {
    name: 'create-order-saga',
    title: 'Create Order saga',
    description: 'Starts, shows and cancels Create Order sagas.',
    definitions: [definition],
    group: 'create-order-saga-orchestrator',
    portVariable: 'CREATE_ORDER_PORT',
    secretSteps: createOrderPresenter.secretSteps,
    errors: failureWithError,
    whenSilent: 'send an order again under its Idempotency-Key, or look at /sagas first',
    routes: (shell) => createOrderRoutes(shell, definition),
  })
}
