import { createServer } from 'node:http'
import { startEngine } from 'ordersaga/engine'
import { memoryStore } from 'ordersaga/stores/memory'
import { httpTransport } from 'ordersaga/transports/http'
import { nodeHttpHandler } from 'ordersaga/transports/http/node'
import { buy } from './saga.ts'

const [shop = 'http://127.0.0.1:8080', port = '8081'] = process.argv.slice(2)
const transport = httpTransport({
  peers: { shop_commands: shop }, // or { url, headers }: any path, and a token
  self: `http://127.0.0.1:${port}`, // where answers that take longer are posted to
})
const server = createServer(nodeHttpHandler(transport)).listen(Number(port), '127.0.0.1')

const engine = await startEngine({ store: memoryStore(), transport, definitions: [buy] })
const { saga } = await engine.start(buy, { item: 'caviar' })
console.log((await engine.result(saga.id)).status)
// COMPENSATED
await engine.stop()
await transport.close()
server.close()
