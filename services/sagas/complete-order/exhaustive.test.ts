/** Every state that Complete Order can reach keeps the promises of a saga (docs/saga-rules.md). */
import { everyStateKeepsThePromises } from '../orchestrator/walks.testkit.ts'
import { completeOrderSaga } from './saga.ts'

const paid = { payment_info: { runner_id: 'runner_1', stripeConnectAccountId: 'acct_1' } }

everyStateKeepsThePromises(
  completeOrderSaga(),
  {
    'two tries, a host that fails and an operator': { tries: 2, hostFails: true, operator: true },
    'three tries': { tries: 3 },
    'two tries, and foreign order, user and payment services': { tries: 2, foreign: ['order', 'user', 'payment'] },
    'one try of an order that was delivered before': {
      tries: 1,
      samples: { runner: { done: paid }, deliver: { done: { previous_status: 'DELIVERED', runner_id: 'runner_1' } } },
    },
  },
  { least: 50 },
  { samples: { runner: { done: paid } } },
)
