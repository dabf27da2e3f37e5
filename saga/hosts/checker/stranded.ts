/**
 * Finds a state that no answer and no time leads out of, whatever has become of the commands so far.
 *
 * Most states lead out by a time, or by an answer in each way in which things may stand. Where tries have no end, a refusal leads
 * back to where it came from, with things standing otherwise: there each way is followed by itself.
 */
import { isSettled } from '../../core/state.ts'
import type { Edge, Node, Occurred } from './explore.ts'
import type { Beliefs } from './network.ts'
import { sayingName } from './network.ts'

type Network = readonly (Beliefs | null)[]

/** The first such node; null where from each an end or a parking can be reached. */
export function strandedIn(nodes: readonly Node[], network: Network): number | null {
  const good = nodes.map(({ world }) => isSettled(world.saga.state.status))
  spread(nodes, good, (node) => leadsOut(node, good, network))
  if (good.every(Boolean)) return null
  const ways = new Set<string>()
  spread(nodes, good, (node, at) => eachWayLeadsOut(node, at, good, network, ways))
  const index = good.indexOf(false)
  return index === -1 ? null : index
}

/** Until nothing changes; later nodes lie nearer to the ends. */
function spread(nodes: readonly Node[], good: boolean[], leads: (node: Node, at: number) => boolean | 'more'): void {
  for (let changed = true; changed;) {
    changed = false
    for (let at = nodes.length - 1; at >= 0; at--) {
      if (good[at] === true) continue
      const found = leads(nodes[at] as Node, at)
      if (found === true) good[at] = true
      if (found !== false) changed = true
    }
  }
}

/** A time does; or there is a step with an answer that does in each way in which things may stand at its participant. */
function leadsOut({ world, edges }: Node, good: readonly boolean[], network: Network): boolean {
  const out = edges.filter(({ to }) => good[to] === true)
  if (out.some(({ heard }) => heard === null)) return true
  const steps = new Set(out.map(({ heard }) => heard?.step ?? -1))
  return [...steps].some((step) => {
    const sayings = out.flatMap(({ heard }) => (heard?.step === step ? [heard.saying] : []))
    const records = world.beliefs[step]?.records ?? []
    return records.every((record) => sayings.some((saying) => network[step]?.maySay(record).has(saying) === true))
  })
}

/** Whether all ways lead out; `more` where more of them do than were known. */
function eachWayLeadsOut(
  { world, edges }: Node,
  at: number,
  good: readonly boolean[],
  network: Network,
  ways: Set<string>,
): boolean | 'more' {
  const known = ways.size
  let all = true
  world.beliefs.forEach((belief, step) => {
    const beliefs = network[step]
    if (belief === null || beliefs == null) return
    const isKnown = (node: number, record: string): boolean =>
      good[node] === true || ways.has(`${node} ${step} ${record}`)
    for (const record of belief.records.toReversed()) {
      const leads = isKnown(at, record) || wayLeadsOut(beliefs, step, record, at, edges, isKnown)
      if (leads) ways.add(`${at} ${step} ${record}`)
      else all = false
    }
  })
  return all || (ways.size > known ? 'more' : false)
}

/** By what happens unseen, or by what is seen next. */
function wayLeadsOut(
  { participant }: Beliefs,
  step: number,
  record: string,
  at: number,
  edges: readonly Edge[],
  isKnown: (node: number, record: string) => boolean,
): boolean {
  if (participant.moves(record).some(({ to }) => isKnown(at, to))) return true
  const says = new Set(participant.sayings(record).map(sayingName))
  return edges.some(({ to, heard, occurred }) => {
    if (heard?.step === step && !says.has(heard.saying)) return false
    const after = occurred.reduce<string | null>(
      (now, each: Occurred) => (now === null || each.step !== step ? now : participant.after(now, each.occurrence)),
      record,
    )
    return after !== null && isKnown(to, after)
  })
}
