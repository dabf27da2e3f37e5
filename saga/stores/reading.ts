/** Reads rows one by one: a saga whose rows are damaged is told apart, and hurts no other that is read with it. */
import type { SagaState } from '../core/state.ts'
import type { PageKey } from './page.ts'
import type { DamagedSaga, Found, StoredSaga } from './store.ts'
import { StoreError } from './store.ts'

export interface Reading<Row> {
  readonly keyOf: (row: Row) => PageKey
  /** Throws, whatever it is, where the row cannot be read. */
  readonly toSaga: (row: Row) => StoredSaga
}

export function readRows<Row>({ keyOf, toSaga }: Reading<Row>, rows: readonly Row[]): Found {
  const sagas: StoredSaga[] = []
  const damaged: DamagedSaga[] = []
  for (const row of rows) {
    try {
      sagas.push(toSaga(row))
    } catch (error) {
      const { id } = keyOf(row)
      damaged.push({ id, problem: damageOf(id, error) })
    }
  }
  return { sagas, damaged }
}

/** What was read as a state, where it is one of that saga. */
export function stateOf(id: string, value: unknown): SagaState {
  const state = value as SagaState | null
  if (state?.id !== id) throw new Error('what is kept as its state is none of this saga')
  return state
}

export function damageOf(id: string, error: unknown): StoreError {
  const { message } = error as Error
  return new StoreError(
    'damaged',
    `Saga ${id} is damaged: ${message}. It is left as it is, and not run. Restore its rows from a backup, then restart the processes that run sagas.`,
    error,
  )
}
