/** Every state that Create Order can reach keeps the promises of a saga (docs/saga-rules.md). */
import { expect, test } from 'vitest'
import { check } from '../../../saga/hosts/checker/check.ts'
import { everyStateKeepsThePromises } from '../orchestrator/walks.testkit.ts'
import { createOrderSaga } from './saga.ts'

const createOrder = createOrderSaga({ timerMs: 30 * 60_000 })

/** `payment.released` is also said of a release to a runner; only its status tells that it was reverted. */
const samples = { authorise: { undone: { status: 'REVERTED' } } }

everyStateKeepsThePromises(
  createOrder,
  {
    'one try': { tries: 1 },
    'one try, a host that fails and an operator': { tries: 1, hostFails: true, operator: true },
    'two tries': { tries: 2 },
    'one try, and foreign order and payment services': { tries: 1, foreign: ['order', 'payment'] },
  },
  // States that behave alike are one: without that there are tens of thousands.
  { least: 300, most: 4_000 },
  { samples },
)

test('a revert that is told without its status is found to be no answer', () => {
  expect(() => check(createOrder, { samples: { authorise: { undone: {} } } })).toThrow(
    /payment\.released answers revert_payment of step authorise/,
  )
})
