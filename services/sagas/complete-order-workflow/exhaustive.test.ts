/** Every state that Complete Order on Temporal can reach keeps the promises of a saga (docs/saga-rules.md). */
import { everyStateKeepsThePromises } from '../orchestrator/walks.testkit.ts'
import { completeOrderWorkflowSaga } from './saga.ts'

const input = { order_id: 'order_1', runner_id: 'runner_1' }
const samples = { verify: { done: { status: 'ON_THE_WAY' } } }

everyStateKeepsThePromises(
  completeOrderWorkflowSaga(),
  {
    'two tries, a host that fails and an operator': { tries: 2, hostFails: true, operator: true },
    'three tries': { tries: 3 },
    // Not the Order Service: it is asked alike twice, and the answers of activities, unlike foreign messages, say to what.
    'two tries, and foreign user and payment services': { tries: 2, foreign: ['user', 'payment'] },
    'one try of an order that was delivered before': {
      tries: 1,
      samples: { verify: { done: { status: 'DELIVERED' } } },
    },
  },
  { least: 50 },
  { input, samples },
)
