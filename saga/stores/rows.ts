/** The saga's row as SQL stores keep it: its columns, its form in our words, and the conditions of lists and counts. */
import type { SagaState } from '../core/state.ts'
import type { Move, SagaFilter, Start, StoredSaga } from './store.ts'
import { StoreError } from './store.ts'

export const sagaColumns =
  'id, definition, version, seq, state, owner, key, fingerprint, business_key, created_at, updated_at'

/** The statuses of sagas that may be pruned. */
export const endedStatuses = `('COMPLETED', 'COMPENSATED', 'CANCELLED', 'FAILED')`

export interface SagaRow {
  readonly id: string
  readonly definition: string
  readonly version: number
  readonly seq: number
  readonly state: string
  readonly owner: string
  readonly key: string | null
  readonly fingerprint: string
  readonly business_key: string | null
  readonly created_at: number
  readonly updated_at: number
}

export const toSaga = (row: SagaRow): StoredSaga => ({
  id: row.id,
  definition: row.definition,
  version: row.version,
  seq: row.seq,
  state: JSON.parse(row.state) as SagaState,
  owner: row.owner,
  key: row.key,
  fingerprint: row.fingerprint,
  businessKey: row.business_key,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

/** Text columns hold no NUL and no half of a surrogate pair (in JSON both are escaped). */
export const isStorable = (text: string | null): boolean => text === null || !/\0|\p{Surrogate}/u.test(text)

/**
 * Databases differ in what they make of such texts: some refuse, some keep another text, under which nothing is found.
 *
 * @throws StoreError `refused`
 */
export function refuseOddNames({ starts, moves }: { starts: readonly Start[]; moves: readonly Move[] }): void {
  for (const { saga, entry } of starts) {
    const { id, definition, owner, key, fingerprint, businessKey } = saga
    refuseOdd(id, { id, definition, owner, key, fingerprint, businessKey, inputId: entry.inputId })
  }
  for (const { id, owner, businessKey, entries } of moves) {
    refuseOdd(id, { owner, businessKey })
    for (const { inputId } of entries) refuseOdd(id, { inputId })
  }
}

function refuseOdd(id: string, names: Readonly<Record<string, string | null>>): void {
  for (const [field, text] of Object.entries(names))
    if (!isStorable(text))
      throw new StoreError(
        'refused',
        `The ${field} of saga ${JSON.stringify(id)} has a NUL or half a surrogate pair in it: ${JSON.stringify(text)}. Leave it out.`,
      )
}

/** @param argument how the database writes the n-th argument, from 1 */
export function condition(
  filter: SagaFilter,
  argument: (n: number) => string,
): { readonly where: string; readonly values: readonly (string | number)[] } {
  const parts: [string, string | number | undefined][] = [
    ['definition =', filter.definition],
    ['status =', filter.status],
    ['business_key =', filter.businessKey],
    ['created_at >=', filter.createdFrom],
    ['created_at <', filter.createdBefore],
  ]
  const used = parts.filter(([, value]) => value !== undefined)
  if (used.some(([, value]) => typeof value === 'string' && !isStorable(value))) return { where: 'false', values: [] }
  return {
    where: ['true', ...used.map(([text], index) => `${text} ${argument(index + 1)}`)].join(' and '),
    values: used.map(([, value]) => value as string | number),
  }
}
