/** What processes tell each other: who speaks, and the sagas that it has moved; none where it only says that it is here. */

/** A notification carries less than 8,000 bytes. */
const mostBytes = 7_900

/** As many hints as it takes for all the ids. */
export function hintsOf(from: string, ids: readonly string[]): string[] {
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

/** Null where it is not one of ours: anybody may notify. */
export function readHint(payload: string): { readonly from: string; readonly ids: readonly string[] } | null {
  try {
    const parts: unknown = JSON.parse(payload)
    if (!Array.isArray(parts) || !parts.every((part) => typeof part === 'string')) return null
    const [from, ...ids] = parts
    return from === undefined ? null : { from, ids }
  } catch {
    return null
  }
}
