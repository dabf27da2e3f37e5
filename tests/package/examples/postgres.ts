import { startEngine } from 'ordersaga/engine'
import { postgresInbox } from 'ordersaga/participant/postgres-inbox'
import { postgresStore } from 'ordersaga/stores/postgres'
import { memoryTransport } from 'ordersaga/transports/memory'
import pg from 'pg'
import { buy } from './saga.ts'
import { shopService } from './shop.ts'

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] })
const transport = memoryTransport()
const inbox = postgresInbox<pg.PoolClient>(pool) // handlers get a client of your pool, in a transaction, as `tx`
await inbox.migrate()
await shopService(inbox).attach(transport)

const store = postgresStore({ pool }) // or { connectionString }, for connections of its own
const engine = await startEngine({ store, transport, definitions: [buy] })

// With your own rows, in your own transaction: the saga is there once that commits, or not at all.
const tx = await pool.connect()
await tx.query('begin')
await tx.query('create table if not exists basket (item text)')
await tx.query("insert into basket values ('milk')")
const { id } = await engine.start(buy, { item: 'milk' }, { key: 'order-1', tx })
await tx.query('commit')
tx.release()
console.log((await engine.result(id)).status)
// COMPLETED
await engine.stop()
await store.close()
await pool.end()
