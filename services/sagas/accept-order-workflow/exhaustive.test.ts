/** Every state that Accept Order on Temporal can reach keeps the promises of a saga (docs/saga-rules.md). */
import { everyStateKeepsThePromises } from '../orchestrator/walks.testkit.ts'
import { acceptOrderWorkflowSaga } from './saga.ts'

everyStateKeepsThePromises(
  acceptOrderWorkflowSaga(),
  {
    'two tries, a host that fails and an operator': { tries: 2, hostFails: true, operator: true },
    'three tries': { tries: 3 },
    'two tries, and foreign order and timer services': { tries: 2, foreign: ['order', 'timer'] },
  },
  { least: 50 },
  { input: { order_id: 'order_1', runner_id: 'runner_1' } },
)
