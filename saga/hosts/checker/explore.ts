/**
 * Walks every reachable state of a saga, its participants and the network between them, breadth first, over the very rules
 * that run in production.
 *
 * A message that was sent may arrive at any time, any number of times, or never: that covers loss, delay, duplicates and
 * reordering. Every armed time may come at any moment. A cancel comes once, the host fails once, an operator acts once, and
 * events from outside come early, late and repeated.
 */
import type { EventContract } from '../../core/contract.ts'
import type { Input } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import type { Answers } from './answers.ts'
import type { Happening } from './inputs.ts'
import { happenings } from './inputs.ts'
import type { Ledger, Spent } from './ledger.ts'
import { counted, nothingYet, paid, settled, sparesMore } from './ledger.ts'
import type { Belief, Beliefs } from './network.ts'
import { idOf, sayingName } from './network.ts'
import type { Occurrence } from './participant.ts'
import type { Broken, Place } from './promises.ts'
import { brokenBy, brokenIn } from './promises.ts'
import { hasRounds, namedAnew } from './rounds.ts'
import type { Rules } from './rules.ts'
import type { Saga, Turn } from './sagas.ts'
import { Sagas } from './sagas.ts'
import { strandedIn } from './stranded.ts'

export interface World {
  readonly saga: Saga
  /** What may be believed of each step's participant; null for a wait. */
  readonly beliefs: readonly (Belief | null)[]
  readonly ledger: Ledger
}

/** What happened at the participant of a step, by the step's index. */
export interface Occurred {
  readonly step: number
  readonly occurrence: Occurrence
}

/** A world and how it was first reached. */
export interface Node {
  readonly world: World
  /** -1 for the first. */
  readonly from: number
  readonly happening: Happening | null
  readonly events: readonly Event[]
  readonly occurred: readonly Occurred[]
  readonly edges: Edge[]
}

export interface Edge {
  readonly to: number
  /** The answer that leads there; null where a time does, or that a message was sent. */
  readonly heard: { readonly step: number; readonly saying: string } | null
  readonly occurred: readonly Occurred[]
}

export interface Setting {
  readonly definition: SagaDefinition
  readonly rules: Rules
  readonly answers: Answers
  /** Of each step; null for a wait. */
  readonly network: readonly (Beliefs | null)[]
  readonly input: unknown
  /** What may come from outside. */
  readonly outside: readonly EventContract[]
  readonly cancels: boolean
  readonly hostFails: boolean
  readonly operator: boolean
  /** How many messages come beyond what is waited for. */
  readonly events: number
  /** More states are a fault: a walk that does not end shows nothing. */
  readonly most: number
}

export interface Explored {
  readonly nodes: readonly Node[]
  readonly broken: Broken | null
  /** The nodes from the first to the one where the promise breaks. */
  readonly path: readonly Node[]
}

const keysOf = ({ beliefs }: World): string => beliefs.map((belief) => belief?.key ?? '').join(',')

export class Explorer {
  readonly #setting: Setting
  readonly #sagas: Sagas
  readonly #nodes: Node[] = []
  /** Nodes by all but what is spent. */
  readonly #known = new Map<string, readonly number[]>()
  readonly #namings = new Map<string, World>()
  #broken: Broken | null = null
  #path: readonly Node[] = []

  constructor(setting: Setting) {
    this.#setting = setting
    const { steps } = setting.definition
    const forgetful = steps.filter(({ index }) => setting.network[index]?.participant.forgetful === true)
    const names = new Set(forgetful.map(({ name }) => name))
    this.#sagas = new Sagas(setting.definition, setting.rules, names, (saga) => {
      for (const command of saga.pending.commands) setting.answers.learn(command)
    })
  }

  run(): Explored {
    this.#begin()
    for (let at = 0; at < this.#nodes.length && this.#broken === null; at++) {
      const { world } = this.#nodes[at] as Node
      for (const happening of happenings(this.#setting, this.#sagas, world)) {
        this.#add(happening, at)
        if (this.#broken !== null) break
      }
    }
    const stranded = this.#broken === null ? strandedIn(this.#nodes, this.#setting.network) : null
    if (stranded !== null) this.#fail({ promise: 'neither an end nor a parking can be reached from here' }, stranded)
    return { nodes: this.#nodes, broken: this.#broken, path: this.#path }
  }

  #begin(): void {
    const { definition, network, input, cancels, hostFails, operator } = this.#setting
    const turn = this.#sagas.start(input)
    const beliefs = network.map((each) => each?.first ?? null)
    const ledger = { ...nothingYet, spent: { cancel: !cancels, fault: !hostFails, act: !operator } }
    const [after, occurred] = this.#sent(beliefs, turn)
    const counts = settled(definition, this.#counts(ledger, turn, beliefs), turn.next.state)
    this.#node({ saga: turn.next, beliefs: after, ledger: counts }, -1, null, turn.events, occurred)
  }

  #add(happening: Happening, at: number): void {
    const { definition } = this.#setting
    const { world } = this.#nodes[at] as Node
    const { turn, occurred, ledger } = happening
    const counts = this.#counts(ledger, turn, world.beliefs)
    const heard = occurred.reduce((all, each) => this.#after(all, each), world.beliefs)
    const [beliefs, sent] = this.#sent(heard, turn)
    const saga = turn.next
    const kept = settled(definition, paid(definition, counts, turn.input, turn.events, saga.state), saga.state)
    const to = this.#node(this.#named({ saga, beliefs, ledger: kept }), at, happening, turn.events, [
      ...occurred,
      ...sent,
    ])
    if (happening.kind === 'optional') return
    const heardFrom = occurred.flatMap(({ step, occurrence }) =>
      occurrence.type === 'hear' ? [{ step, saying: sayingName(occurrence.saying) }] : [],
    )
    this.#nodes[at]?.edges.push({ to, heard: heardFrom[0] ?? null, occurred: [...occurred, ...sent] })
  }

  /** Adds a world; gives its place. What its turn has broken is told by the path to it. */
  #node(
    world: World,
    from: number,
    happening: Happening | null,
    events: readonly Event[],
    occurred: readonly Occurred[],
  ): number {
    const node: Node = { world, from, happening, events, occurred, edges: [] }
    if (this.#broken !== null) {
      this.#path = [...this.#pathTo(from), node]
      return from
    }
    const key = this.#keyOf(world)
    const alike = this.#known.get(key) ?? []
    const known = alike.find((each) => sparesMore(this.#spent(each), world.ledger.spent))
    if (known !== undefined) return known
    const index = this.#nodes.length
    this.#known.set(key, [...alike, index])
    this.#nodes.push(node)
    const fault = this.#brokenIn(world)
    if (fault !== null) this.#fail(fault, index)
    else if (index >= this.#setting.most)
      this.#fail({ promise: `it has more than ${this.#setting.most} states` }, index)
    return index
  }

  #spent(index: number): Spent {
    return (this.#nodes[index] as Node).world.ledger.spent
  }

  #keyOf(world: World): string {
    const { saga, ledger } = world
    const { asks, undoAsks, came, usable, owed, again } = ledger
    return `${saga.key},${keysOf(world)},${JSON.stringify([asks, undoAsks, came, usable, owed, again])}`
  }

  /** Counts a turn's events, and notes what their order breaks. */
  #counts(ledger: Ledger, turn: Turn, beliefs: World['beliefs']): Ledger {
    const { definition } = this.#setting
    return turn.events.reduce((counts, event, index) => {
      const state = turn.before[index]
      const promise =
        state == null
          ? null
          : brokenBy(definition, state, event, counts, (step) => beliefs[step.index]?.ids.do !== undefined)
      if (promise !== null) this.#broken ??= { promise }
      return counted(counts, event, turn)
    }, ledger)
  }

  #after(beliefs: World['beliefs'], { step, occurrence }: Occurred): World['beliefs'] {
    const belief = beliefs[step]
    const next = belief == null ? null : this.#setting.network[step]?.after(belief, occurrence)
    return next == null ? beliefs : beliefs.with(step, next)
  }

  /** What is outstanding has been sent. */
  #sent(before: World['beliefs'], { next, events }: Turn): readonly [World['beliefs'], readonly Occurred[]] {
    let beliefs = before
    const occurred: Occurred[] = []
    for (const { step: name, direction, id } of next.pending.commands) {
      const step = this.#setting.definition.byName.get(name)?.index ?? -1
      const belief = beliefs[step]
      const network = this.#setting.network[step]
      if (belief == null || network == null) continue
      const times =
        direction === 'do' ? events.filter((each) => each.type === 'StepAsked' && each.step === name).length : 0
      const [sent, what] = network.send(belief, direction, id, times)
      if (sent !== belief) beliefs = beliefs.with(step, sent)
      occurred.push(...what.map((occurrence) => ({ step, occurrence })))
    }
    return [beliefs, occurred]
  }

  /** Its rounds are named anew, in its state and where its commands went. */
  #named(world: World): World {
    const { definition, network } = this.#setting
    if (!hasRounds(definition, world.saga.state)) return world
    const key = `${world.saga.key},${keysOf(world)}`
    const known = this.#namings.get(key)
    if (known !== undefined) return { ...known, ledger: world.ledger }
    const before = { state: world.saga.state, ids: world.beliefs.map((belief) => belief?.ids ?? null) }
    const { state, ids } = namedAnew(definition, before)
    const beliefs = world.beliefs.map((belief, step) => {
      const of = ids[step]
      return belief === null || of == null || of === belief.ids ? belief : (network[step]?.named(belief, of) ?? belief)
    })
    const named = { saga: this.#sagas.named(state), beliefs, ledger: world.ledger }
    this.#namings.set(key, named)
    return named
  }

  #brokenIn({ saga, beliefs, ledger }: World): Broken | null {
    const { definition, network } = this.#setting
    const places = definition.steps.map((step): Place => ({
      step,
      participant: network[step.index]?.participant ?? null,
      belief: beliefs[step.index] ?? null,
    }))
    const reopens = (place: Place, record: string): boolean => this.#reopens(saga, place, record)
    return brokenIn(definition, { saga: saga.state, pending: saga.pending, ledger, places, reopens })
  }

  #reopens({ state }: Saga, { step, participant, belief }: Place, record: string): boolean {
    const { definition, rules, answers } = this.#setting
    return (participant?.sayings(record) ?? []).some((saying) => {
      if (saying.to !== 'do' || belief === null || participant === null) return false
      const id = participant.forgetful ? undefined : idOf(belief, saying)
      const input: Input = { type: 'reply', reply: answers.to(step, 'do', saying.kind, id) }
      return rules.decide(definition, state, input, 0).some((event) => event.type === 'EffectFound')
    })
  }

  #fail(broken: Broken, index: number): void {
    this.#broken = broken
    this.#path = this.#pathTo(index)
  }

  #pathTo(index: number): readonly Node[] {
    const path: Node[] = []
    for (let at = index; at >= 0; at = (this.#nodes[at] as Node).from) path.unshift(this.#nodes[at] as Node)
    return path
  }
}
