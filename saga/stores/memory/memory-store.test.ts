import { storeContract } from '../store.contract.ts'
import { memoryStore } from './memory-store.ts'

storeContract('memory', { durable: false, shared: false }, () => {
  let passed = 0
  const store = memoryStore(() => Date.now() + passed)
  return Promise.resolve({
    open: () => Promise.resolve(store),
    drop: () => Promise.resolve(),
    passes: async (ms) => void (passed += ms),
  })
})
