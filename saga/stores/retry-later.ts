import { StoreError } from './store.ts'

/**
 * What keeps a store from being opened is told at once. Once it is open, a password that was changed, rights that were taken
 * or a setting may be mended, and sagas that run wait for that.
 */
export function retryLater(error: unknown): unknown {
  const isFinal = error instanceof StoreError && error.code === 'unusable'
  return isFinal ? new StoreError('unavailable', error.message, error) : error
}
