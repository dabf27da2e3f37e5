import Database from 'libsql'
import { startEngine } from 'ordersaga/engine'
import { sqliteInbox } from 'ordersaga/participant/sqlite-inbox'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import { memoryTransport } from 'ordersaga/transports/memory'
import { buy } from './saga.ts'
import { shopService } from './shop.ts'

const transport = memoryTransport()
const inbox = sqliteInbox(new Database('shop.db')) // your own database: handlers get it as `tx`
await inbox.migrate()
await shopService(inbox).attach(transport)

const store = sqliteStore({ file: 'sagas.db' })
const engine = await startEngine({ store, transport, definitions: [buy] })
const { saga, fresh } = await engine.start(buy, { item: 'milk' }, { key: 'order-1' })
console.log(fresh, (await engine.result(saga.id)).status)
// true COMPLETED
// run again: false COMPLETED
await engine.stop()
await store.close()
