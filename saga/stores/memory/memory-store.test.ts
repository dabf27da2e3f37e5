import { storeContract } from '../store.contract.ts'
import { memoryStore } from './memory-store.ts'

storeContract('memory', { durable: false, shared: false }, () => {
  const store = memoryStore()
  return Promise.resolve({ open: () => Promise.resolve(store), drop: () => Promise.resolve() })
})
