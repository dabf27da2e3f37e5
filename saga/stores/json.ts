import { StoreError } from './store.ts'

/**
 * What is kept of a saga, as text.
 *
 * @throws StoreError `refused` for what JSON does not know (a BigInt, a circle): it is the saga's fault, not the database's
 */
export function jsonOf(sagaId: string, value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (error) {
    const { message } = error as Error
    throw new StoreError('refused', `Saga ${JSON.stringify(sagaId)} holds what is no JSON: ${message}`, error)
  }
}
