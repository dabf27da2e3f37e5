/** Pages by key: the place where a page ends, as text that a client hands back. */
import type { Reading } from './reading.ts'
import { readRows } from './reading.ts'
import type { SagaPage } from './store.ts'

export interface PageKey {
  readonly createdAt: number
  readonly id: string
}

const defaultLimit = 100
const mostLimit = 1000

export const pageLimit = (limit: number | undefined): number =>
  Math.min(Math.max(Math.trunc(limit ?? defaultLimit), 1), mostLimit)

const keyText = ({ createdAt, id }: PageKey): string => `${createdAt}_${id}`

/** @throws RangeError where the text is not the `next` of an earlier page */
export function parseKey(after: string): PageKey {
  const match = /^(\d{1,16})_([^\0]+)$/.exec(after)
  if (match === null)
    throw new RangeError(`'${after}' is not the 'next' of an earlier page; leave it out for the first page.`)
  return { createdAt: Number(match[1]), id: match[2] as string }
}

/** One page from rows that were read with one more than the limit. */
export function pageOf<Row>(reading: Reading<Row>, rows: readonly Row[], limit: number): SagaPage {
  const { sagas, damaged } = readRows(reading, rows.slice(0, limit))
  const last = rows[limit - 1]
  const next = rows.length > limit && last !== undefined ? keyText(reading.keyOf(last)) : null
  return { items: sagas, damaged, next }
}
