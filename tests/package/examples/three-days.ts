import assert from 'node:assert/strict'
import { manualClock } from 'ordersaga/clock/manual'
import { startEngine } from 'ordersaga/engine'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { memoryStore } from 'ordersaga/stores/memory'
import { memoryTransport } from 'ordersaga/transports/memory'
import { pickup } from './pickup.ts'
import { shopService } from './shop.ts'

const clock = manualClock()
const transport = memoryTransport({ clock })
await shopService(memoryInbox()).attach(transport)
await transport.subscribe('outgoing_mail', 'mail', async (mails) => console.log(mails[0]?.payload))
const store = memoryStore(() => clock.now())
const engine = await startEngine({ store, transport, clock, definitions: [pickup], heartbeatMs: 3_600_000 })

const { saga: fetched } = await engine.start(pickup, { item: 'milk' })
const { outcome } = await engine.deliver({
  sagaId: fetched.id,
  type: 'picked_up',
  payload: { by: 'Ada' },
  id: 'event-1',
})
assert.ok(outcome === 'taken' || outcome === 'kept') // before its step is reached it is kept, and taken then
assert.equal((await engine.result(fetched.id)).status, 'COMPLETED')

const { saga: forgotten } = await engine.start(pickup, { item: 'milk' })
await clock.advance(3 * 86_400_000)
assert.equal((await engine.result(forgotten.id)).status, 'COMPENSATED')
await engine.stop()
await transport.close()
