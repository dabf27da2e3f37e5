/**
 * What processes tell each other: who speaks, and the sagas that it has moved (none where it only says that it is here), or
 * that something waits. Of what it does not understand, each takes nothing: newer processes may say more.
 */
import type { StoreWatcher } from './store.ts'

export interface Hint {
  /** Empty where it is for all: a start that is owned by nobody. */
  readonly from: string
  readonly moved: readonly string[]
  readonly waiting: boolean
}

/** A notification of PostgreSQL carries less than 8,000 bytes. */
const mostBytes = 7_900

/** As many hints as it takes for all the ids. */
export function movedHints(from: string, ids: readonly string[]): string[] {
  const hints: string[] = []
  let part: string[] = []
  let bytes = 0
  for (const id of ids) {
    const size = Buffer.byteLength(JSON.stringify(id)) + 1
    if (part.length > 0 && bytes + size > mostBytes - from.length) {
      hints.push(JSON.stringify([from, ...part]))
      part = []
      bytes = 0
    }
    part.push(id)
    bytes += size
  }
  return [...hints, JSON.stringify([from, ...part])]
}

/** No array, so that a process that knows only of moves passes over it. */
export const waitingHint = (from: string): string => JSON.stringify({ from, waiting: true })

/** Null where it is not one of ours: anybody may notify. */
export function readHint(payload: string): Hint | null {
  try {
    return hintOf(JSON.parse(payload))
  } catch {
    return null
  }
}

function hintOf(said: unknown): Hint | null {
  if (Array.isArray(said) && said.every((part) => typeof part === 'string')) {
    const [from, ...moved] = said
    return from === undefined ? null : { from, moved, waiting: false }
  }
  const { from, waiting } = said as { readonly from?: unknown; readonly waiting?: unknown }
  return typeof from === 'string' && waiting === true ? { from, moved: [], waiting } : null
}

/** Tells the watcher what others have said. */
export function pass(hint: Hint, self: string, watcher: StoreWatcher): void {
  if (hint.from === self) return
  if (hint.moved.length > 0) watcher.moved(hint.moved)
  if (hint.waiting) watcher.waiting()
}
