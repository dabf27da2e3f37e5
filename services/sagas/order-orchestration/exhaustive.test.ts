/** Every state that the Order Orchestration can reach keeps the promises of a saga (docs/saga-rules.md). */
import { expect, test } from 'vitest'
import { everyStateKeepsThePromises } from '../orchestrator/walks.testkit.ts'
import { everyOrderOrchestration, orderOrchestrationSaga, parts } from './saga.ts'

const foreign = ['stock', 'shop-payment', 'shop-order']
const theirs = { of: orderOrchestrationSaga(parts), foreign, silentUndos: foreign }

everyStateKeepsThePromises(
  orderOrchestrationSaga(),
  {
    'two tries': { tries: 2 },
    'three tries': { tries: 3 },
    'one try, a host that fails and an operator': { tries: 1, hostFails: true, operator: true },
    'foreign participants': theirs,
    'foreign participants, a host that fails and an operator': { ...theirs, tries: 1, hostFails: true, operator: true },
    'a foreign stock alone': { of: orderOrchestrationSaga(['stock']), foreign: ['stock'], silentUndos: ['stock'] },
    'foreign payments alone': {
      of: orderOrchestrationSaga(['payment']),
      foreign: ['shop-payment'],
      silentUndos: ['shop-payment'],
    },
    'foreign orders alone': {
      of: orderOrchestrationSaga(['order']),
      foreign: ['shop-order'],
      silentUndos: ['shop-order'],
    },
    // As one that answers more than the originals do.
    'foreign participants that answer their undos': { ...theirs, silentUndos: [] },
  },
  { least: 100, most: 10_000 },
)

test('each choice of foreign participants is a version of its own, and all of them are there', () => {
  const versions = everyOrderOrchestration().map(({ version }) => version)
  expect(versions).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  expect(orderOrchestrationSaga(parts).version).toBe(8)
})
