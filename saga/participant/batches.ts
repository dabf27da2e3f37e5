/** Cuts what came together into what may be done together, without changing the order of one saga's commands. */

/** What counts of a command here: its saga, and who handles it. */
interface Sorted {
  readonly message: { readonly correlationId: string }
  readonly handled: { readonly prepare: unknown }
}

/**
 * Cuts a batch so that a command with a `prepare` is prepared only after the commands of its saga before it are
 * committed: the preparation of an undo must see what its command left. Without `prepare`s there is one round.
 */
export function rounds<Work extends Sorted>(works: readonly Work[]): readonly (readonly Work[])[] {
  const cut: Work[][] = []
  const lastRound = new Map<string, number>()
  for (const work of works) {
    const last = lastRound.get(work.message.correlationId)
    const round = last === undefined ? 0 : work.handled.prepare === null ? last : last + 1
    lastRound.set(work.message.correlationId, round)
    ;(cut[round] ??= []).push(work)
  }
  return cut
}

/** No handler gets more at once: statements have a limit of parameters. */
const mostAtOnce = 500

/**
 * Puts commands of one handler together, one per saga. What comes later for a saga is in a later group, so that it sees
 * what those before it left.
 */
export function groups<Work extends Sorted>(works: readonly Work[]): readonly (readonly Work[])[] {
  const cut: Work[][] = []
  const filling = new Map<Work['handled'], number>()
  const lastGroup = new Map<string, number>()
  for (const work of works) {
    const { correlationId } = work.message
    const open = filling.get(work.handled) ?? -1
    const fits = open > (lastGroup.get(correlationId) ?? -1) && (cut[open]?.length ?? 0) < mostAtOnce
    const group = fits ? open : cut.length
    filling.set(work.handled, group)
    lastGroup.set(correlationId, group)
    ;(cut[group] ??= []).push(work)
  }
  return cut
}
