/** Finds a state that no answer and no time leads out of, whatever has become of the commands so far. */
import { isSettled } from '../../core/state.ts'
import type { Node } from './explore.ts'
import type { Beliefs } from './network.ts'

/** The first such node; null where from each an end or a parking can be reached. */
export function strandedIn(nodes: readonly Node[], network: readonly (Beliefs | null)[]): number | null {
  const good = nodes.map(({ world }) => isSettled(world.saga.state.status))
  for (let changed = true; changed;) {
    changed = false
    // Later nodes lie nearer to the ends.
    for (let at = nodes.length - 1; at >= 0; at--) {
      if (good[at] === true || !leadsOut(nodes[at] as Node, good, network)) continue
      good[at] = true
      changed = true
    }
  }
  const index = good.indexOf(false)
  return index === -1 ? null : index
}

/** A time does; or there is a step with an answer that does in each way in which things may stand at its participant. */
function leadsOut({ world, edges }: Node, good: readonly boolean[], network: readonly (Beliefs | null)[]): boolean {
  const out = edges.filter(({ to }) => good[to] === true)
  if (out.some(({ heard }) => heard === null)) return true
  const steps = new Set(out.map(({ heard }) => heard?.step ?? -1))
  return [...steps].some((step) => {
    const sayings = out.flatMap(({ heard }) => (heard?.step === step ? [heard.saying] : []))
    const records = world.beliefs[step]?.records ?? []
    return records.every((record) => sayings.some((saying) => network[step]?.maySay(record).has(saying) === true))
  })
}
