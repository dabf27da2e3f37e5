import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../../../tests/parts.ts'
import { storeContract } from '../store.contract.ts'
import { postgresStore } from './postgres-store.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'on a real PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>

  beforeAll(async () => {
    database = await freshDatabase()
  })
  afterAll(() => database.drop())

  storeContract('PostgreSQL', { durable: true, shared: true }, () => {
    const schema = `test_${randomUUID()}`
    return Promise.resolve({
      open: async () => {
        const store = postgresStore({ connectionString: database.url, schema })
        await store.open()
        return store
      },
      drop: () => Promise.resolve(), // goes with the database
    })
  })
})
