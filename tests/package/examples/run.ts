import { startEngine } from 'ordersaga/engine'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { memoryStore } from 'ordersaga/stores/memory'
import { memoryTransport } from 'ordersaga/transports/memory'
import { buy } from './saga.ts'
import { shopService } from './shop.ts'

const transport = memoryTransport()
await shopService(memoryInbox()).attach(transport)
const engine = await startEngine({ store: memoryStore(), transport, definitions: [buy] })

for (const item of ['milk', 'caviar']) {
  const { saga } = await engine.start(buy, { item })
  const ended = await engine.result(saga.id, { definition: buy })
  console.log(item, ended.status, ended.replies.reserve?.item, ended.error?.reason)
}
// milk COMPLETED milk undefined
// caviar COMPENSATED caviar card declined
await engine.stop()
await transport.close()
