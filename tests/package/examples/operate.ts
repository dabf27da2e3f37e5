import { startEngine } from 'ordersaga/engine'
import { EngineError } from 'ordersaga/engine/errors'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import { memoryTransport } from 'ordersaga/transports/memory'
import { pickup } from './pickup.ts'

const engine = await startEngine({
  store: sqliteStore({ file: 'orders.db' }),
  transport: memoryTransport(),
  definitions: [pickup],
  retainMs: 30 * 86_400_000, // ended sagas are removed after thirty days; kept for ever where it is left out
  onProblem: ({ what, needsPerson }) => console.error(needsPerson ? 'PAGE SOMEBODY' : 'note', what),
  onMove: ({ state, events }) => console.log(state.id, state.status, events.map(({ type }) => type).join(' ')),
})

try {
  const parked = await engine.list({ definition: 'pickup', status: 'PARKED' })
  for (const { id, state } of parked.items) {
    console.log(id, state.parked?.step, state.parked?.reason)
    await engine.act(id, { kind: 'retry' }, 'ada@example.com', 'the payment provider is back')
  }
  await engine.cancel('no-such-saga', 'ada@example.com', 'the customer has called')
} catch (error) {
  if (!(error instanceof EngineError)) throw error
  console.log(error.code, error.retryable)
  // not_found false
}
const { queued, running } = engine.figures()
console.log(queued, running)
// 0 0
await engine.stop()
