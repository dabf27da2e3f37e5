/** Sagas that start within the caller's own transaction on PostgreSQL. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { postgresStore } from '../../stores/postgres/postgres-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { milk, started } from './engine.testkit.ts'
import { shopkeeper, shopSaga } from './shop.testkit.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'a start in a transaction of the caller', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>
  beforeAll(async () => {
    database = await freshDatabase()
  })
  afterAll(() => database.drop())

  async function setUp() {
    const pool = new pg.Pool({ connectionString: database.url, max: 6 })
    pool.on('error', () => undefined) // idle connections, which are ended with the database
    const store = postgresStore({ pool, schema: `test_${randomUUID()}` })
    const transport = memoryTransport()
    const shop = await shopkeeper(transport)
    const engine = await started({ store, transport })
    onTestFinished(async () => {
      await engine.stop()
      await store.close()
      await pool.end()
    })
    const client = await pool.connect()
    onTestFinished(() => client.release())
    return { client, engine, shop }
  }

  test('runs at once when the caller commits', async () => {
    const { client, engine } = await setUp()
    await client.query('begin')
    const { id } = await engine.start(shopSaga, milk, { tx: client, key: 'cart-1' })
    expect(await engine.get(id)).toBeNull()
    await client.query('commit')
    expect((await engine.result(id)).status).toBe('COMPLETED')
  })

  test('leaves nothing when the caller rolls back', async () => {
    const { client, engine, shop } = await setUp()
    await client.query('begin')
    const { id } = await engine.start(shopSaga, milk, { tx: client })
    await client.query('rollback')
    const { id: behind } = await engine.start(shopSaga, milk)
    await engine.result(behind)
    expect(await engine.get(id)).toBeNull()
    expect(new Set(shop.seen.map(({ correlationId }) => correlationId))).toEqual(new Set([behind]))
  })
})
