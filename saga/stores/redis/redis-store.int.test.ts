import { randomUUID } from 'node:crypto'
import { redisUrl, suiteOn } from '../../../tests/parts.ts'
import { storeContract } from '../store.contract.ts'
import type { Store } from '../store.ts'
import { redisStore } from './redis-store.ts'

suiteOn('Redis', await redisUrl(), 'on a real Redis', (url) => {
  storeContract('Redis', { durable: true, shared: true }, () => {
    const prefix = `test-${randomUUID()}`
    async function open(): Promise<Store> {
      const store = redisStore({ url, prefix })
      await store.open()
      return store
    }
    return Promise.resolve({ open, drop: () => Promise.resolve() })
  })
})
