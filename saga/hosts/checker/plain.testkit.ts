/**
 * A plain walk of every reachable state, to hold the reduced one against: it collapses nothing, and shares no code with it but
 * the rules. Every step answers with `done` or `refused` and an empty object.
 *
 * The network is the growing set of messages ever sent: any of them may arrive at any time, any number of times, or
 * never. That covers loss, delay, duplicates and reordering at once. All durations are 0 and the time is always 0, so an
 * armed wake-up may fire at any moment. A cancel comes once, at any point. Where asked for, the host fails once, and an
 * operator acts once on a parked saga. What is checked in each state is in `faultsOf`.
 */
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { Input } from '../../core/decide.ts'
import type { Event } from '../../core/events.ts'
import { stepOf } from '../../core/evolve.ts'
import type { Command } from '../../core/pending.ts'
import type { SagaState, StepState } from '../../core/state.ts'
import { hasEnded } from '../../core/state.ts'
import { entriesOf } from '../../core/steps.ts'
import type { Rules } from './rules.ts'
import { rules } from './rules.ts'

/** What a participant has in store for one command: its answer, or a tombstone that keeps it out. */
type Stored = 'done' | 'rejected' | 'tombstone'

interface World {
  readonly saga: SagaState
  /** Every command ever sent, by id. */
  readonly sent: Readonly<Record<string, Sent>>
  /** What participants keep, by command id. */
  readonly stored: Readonly<Record<string, Stored>>
  /** How often each step is in effect now. */
  readonly effects: Readonly<Record<string, number>>
  /** Every answer ever given: command id and what it says. */
  readonly replies: readonly string[]
  /** How often each step was asked in its current round, counted here and not by the rules. */
  readonly asks: Readonly<Record<string, number>>
  readonly cancelled: boolean
  readonly faulted: boolean
  readonly acted: boolean
}

interface Sent {
  readonly step: string
  readonly direction: Command['direction']
  readonly undoes: string | null
}

export interface Walk {
  readonly states: number
  /** How many states were found with each status. */
  readonly statuses: Readonly<Record<string, number>>
  /** Empty where nothing is wrong; else the first fault and the steps that lead to it. */
  readonly fault: string | null
  readonly path: readonly string[]
  /** Status, and phase of each step, of all states. */
  readonly phases: ReadonlySet<string>
}

/** @param operated whether the host may fail and an operator act, each once */
export function walk(definition: SagaDefinition, under: Rules = rules, operated = false): Walk {
  return new Walker(definition, under, operated).run()
}

/** More states than this are a fault: a walk that does not end shows nothing. */
const most = 200_000

interface Node {
  readonly world: World
  readonly from: number
  readonly by: string
}

class Walker {
  readonly #definition: SagaDefinition
  readonly #rules: Rules
  readonly #operated: boolean
  readonly #nodes: Node[] = []
  readonly #known = new Map<string, number>()
  readonly #edges: number[][] = []
  #fault: string | null = null
  #failedAt: number | null = null

  constructor(definition: SagaDefinition, under: Rules, operated: boolean) {
    this.#definition = definition
    this.#rules = under
    this.#operated = operated
  }

  run(): Walk {
    this.#begin()
    let at = 0
    for (; at < this.#nodes.length && this.#fault === null; at++) this.#expand(at)
    const stranded = this.#fault === null ? this.#stranded() : null
    if (stranded !== null) {
      this.#fault = 'neither an end nor a parking can be reached from here'
      at = stranded + 1
    }
    const statuses: Record<string, number> = {}
    for (const { world } of this.#nodes) statuses[world.saga.status] = (statuses[world.saga.status] ?? 0) + 1
    return {
      states: this.#nodes.length,
      statuses,
      fault: this.#fault,
      path: this.#fault === null ? [] : this.#path(at - 1),
      phases: new Set(this.#nodes.map(({ world }) => phasesOf(world.saga))),
    }
  }

  #begin(): void {
    const start: Input = { type: 'start', id: 's', input: {}, seed: 0 }
    const events = this.#rules.decide(this.#definition, null, start, 0)
    const saga = events.reduce<SagaState | null>(this.#rules.evolve, null) as SagaState
    const nothing = { sent: {}, stored: {}, effects: {}, replies: [], asks: {} }
    const spent = { cancelled: false, faulted: !this.#operated, acted: !this.#operated }
    this.#add(this.#afterEvents({ saga, ...nothing, ...spent }, saga, events), -1, 'start')
  }

  #expand(at: number): void {
    const { world } = this.#nodes[at] as Node
    for (const [id, sent] of Object.entries(world.sent))
      for (const [next, by] of this.#deliver(world, id, sent)) if (next !== world) this.#add(next, at, by)
    for (const reply of world.replies) this.#input(at, replyInput(reply), `reply ${reply}`)
    for (const { event } of this.#definition.steps)
      if (event !== null) this.#input(at, { type: 'reply', reply: { type: event.type, payload: {} } }, event.type)
    if (this.#rules.pending(this.#definition, world.saga).wakeAt !== null) this.#input(at, { type: 'time' }, 'time')
    if (!world.cancelled) this.#input(at, { type: 'cancel', by: 'c', reason: 'r' }, 'cancel', { cancelled: true })
    if (!world.faulted) this.#input(at, { type: 'fault', reason: 'f' }, 'fault', { faulted: true })
    if (world.saga.parked !== null && !world.acted) this.#operate(at, world, world.saga.parked.step)
  }

  /** An operator tells the truth: skips only what is not in effect. What is still on its way may prove them wrong. */
  #operate(at: number, world: World, step: string): void {
    const actions = ['retry', 'giveUp', ...((world.effects[step] ?? 0) === 0 ? ['skip'] : [])] as const
    for (const kind of actions as readonly ('retry' | 'giveUp' | 'skip')[])
      this.#input(at, { type: 'act', action: { kind }, by: 'o', reason: 'r' }, kind, { acted: true })
  }

  #input(at: number, input: Input, by: string, spends: Partial<World> = {}): void {
    const { world } = this.#nodes[at] as Node
    const events = this.#rules.decide(this.#definition, world.saga, input, 0)
    const saga = events.reduce<SagaState | null>(this.#rules.evolve, world.saga) as SagaState
    if (saga === world.saga) return // nothing changed: what was spent on it may as well come later
    const fault = orderFault(this.#rules, this.#definition, world, events)
    const asks = input.type === 'act' ? freshTries(world, events) : world.asks
    this.#add(this.#afterEvents({ ...world, asks, ...spends }, saga, events), at, by)
    if (fault !== null && this.#fault === null) this.#fail(fault)
  }

  /** Sends what the events asked for. */
  #afterEvents(world: World, saga: SagaState, events: readonly Event[]): World {
    const sent = { ...world.sent }
    for (const command of this.#rules.pending(this.#definition, saga).commands)
      sent[command.id] ??= { step: command.step, direction: command.direction, undoes: command.undoes }
    const asks = { ...world.asks }
    for (const event of events)
      if (event.type === 'StepAsked' || event.type === 'StepQueried') asks[event.step] = (asks[event.step] ?? 0) + 1
    return { ...world, saga, sent, asks }
  }

  /** A command arrives: every way in which the participant may answer it. */
  #deliver(world: World, id: string, { step, direction, undoes }: Sent): readonly [World, string][] {
    const contract = this.#definition.byName.get(step) as StepDefinition
    const effect = world.effects[step] ?? 0
    if (direction === 'query') return [[replied(world, id, effect > 0 ? 'done' : 'rejected'), `query ${id}`]]
    const kept = world.stored[id]
    if (direction === 'undo') {
      if (kept !== undefined && this.#rules.stores) return [[replied(world, id, kept), `again ${id}`]]
      const undone: World[] = [this.#undo(world, id, step, undoes ?? '', contract)]
      if (contract.undo?.rejected != null) undone.push(replied(keep(world, id, 'rejected'), id, 'rejected'))
      return undone.map((next) => [next, `undo ${id}`])
    }
    if (kept === 'tombstone' && this.#rules.heedsTombstones) return [[replied(world, id, kept), `too late ${id}`]]
    if (kept !== undefined && kept !== 'tombstone' && this.#rules.stores)
      return [[replied(world, id, kept), `again ${id}`]]
    const done = replied(
      { ...keep(world, id, 'done'), effects: { ...world.effects, [step]: Math.min(effect + 1, 2) } },
      id,
      'done',
    )
    const refused =
      contract.do?.rejected == null || kept !== undefined ? [] : [replied(keep(world, id, 'rejected'), id, 'rejected')]
    return [done, ...refused].map((next) => [next, `do ${id}`])
  }

  #undo(world: World, id: string, step: string, undoes: string, contract: StepDefinition): World {
    const original = world.stored[undoes]
    const entombed = original === undefined && this.#rules.tombstones && contract.do?.tombstones === true
    const marked = entombed ? keep(world, undoes, 'tombstone') : world
    const effects = original === 'done' ? { ...world.effects, [step]: 0 } : world.effects
    return replied({ ...keep(marked, id, 'done'), effects }, id, 'done')
  }

  #add(world: World, from: number, by: string): void {
    const key = keyOf(world)
    const known = this.#known.get(key)
    const index = known ?? this.#nodes.length
    if (from >= 0) (this.#edges[index] ??= []).push(from)
    if (known !== undefined || this.#fault !== null) return
    this.#known.set(key, index)
    this.#nodes.push({ world, from, by })
    const fault = this.#faultsOf(world)
    if (fault !== null) this.#fail(fault)
    else if (this.#nodes.length > most) this.#fail(`more than ${most} states`)
  }

  #fail(fault: string): void {
    this.#fault = fault
    this.#failedAt = this.#nodes.length - 1
  }

  /** What is wrong in a state; null where nothing is. */
  #faultsOf({ saga, effects, replies }: World): string | null {
    const { commands, wakeAt } = this.#rules.pending(this.#definition, saga)
    const twice = Object.keys(effects).find((step) => (effects[step] ?? 0) > 1)
    if (twice !== undefined) return `${twice} took effect twice`
    if ((saga.parked !== null) !== (saga.status === 'PARKED') || saga.parked?.from === 'PARKED')
      return 'it is parked without a way out'
    if (!hasEnded(saga.status) && saga.status !== 'PARKED' && commands.length === 0 && wakeAt === null)
      return 'it has neither ended nor parked and nothing will move it'
    if (saga.status === 'COMPLETED') {
      const missing = this.#definition.steps.find(
        (step) => step.do !== null && stepOf(saga, step.name).phase !== 'skipped' && effects[step.name] !== 1,
      )
      return missing === undefined ? null : `it is COMPLETED, but ${missing.name} has no effect`
    }
    if (!hasEnded(saga.status)) return null
    for (const step of this.#definition.steps) {
      if (effects[step.name] !== 1 || step.undo === null || saga.leftBehind.includes(step.name)) continue
      // Without tombstones, or without an undo since an operator skipped it, nothing keeps a late command out; its answer
      // must then reopen the saga.
      const unguarded = step.do?.tombstones === false || stepOf(saga, step.name).phase === 'skipped'
      const evidence =
        unguarded && replies.some((reply) => reply.startsWith(`s:${step.name}:do`) && this.#reopens(saga, reply))
      if (!evidence) return `it is ${saga.status}, but ${step.name} is still in effect`
    }
    return null
  }

  #reopens(saga: SagaState, reply: string): boolean {
    const events = this.#rules.decide(this.#definition, saga, replyInput(reply), 0)
    return events.some((event) => event.type === 'EffectFound')
  }

  /** A state from which no end and no parking can be reached, walking the edges backward from all that have one. */
  #stranded(): number | null {
    const good = this.#nodes.map(({ world }) => hasEnded(world.saga.status) || world.saga.status === 'PARKED')
    const queue = good.flatMap((is, index) => (is ? [index] : []))
    for (let at = queue.pop(); at !== undefined; at = queue.pop())
      for (const from of this.#edges[at] ?? [])
        if (good[from] !== true) {
          good[from] = true
          queue.push(from)
        }
    const index = good.indexOf(false)
    return index === -1 ? null : index
  }

  #path(last: number): readonly string[] {
    const path: string[] = []
    for (let at = this.#failedAt ?? last; at >= 0; at = (this.#nodes[at] as Node).from)
      path.unshift((this.#nodes[at] as Node).by)
    return path
  }
}

/** What an operator has asked again has all its tries again. */
const freshTries = (world: World, events: readonly Event[]): World['asks'] =>
  Object.fromEntries(
    Object.entries(world.asks).filter(
      ([step]) => !events.some((event) => event.type === 'StepAsked' && event.step === step),
    ),
  )

const keep = (world: World, id: string, what: Stored): World => ({ ...world, stored: { ...world.stored, [id]: what } })

function replied(world: World, id: string, what: Stored): World {
  const reply = `${id}=${what === 'tombstone' ? 'rejected' : what}`
  return world.replies.includes(reply) ? world : { ...world, replies: [...world.replies, reply].toSorted() }
}

/** All steps answer with the same types, so that only the id of the command tells whose answer it is. */
function replyInput(reply: string): Input {
  const [causationId = '', what] = reply.split('=')
  const payload = what === 'rejected' ? { error: 'no' } : {}
  return { type: 'reply', reply: { type: what === 'rejected' ? 'refused' : 'done', payload, causationId } }
}

export const phasesOf = (saga: SagaState): string =>
  [
    saga.status,
    ...entriesOf(saga.steps)
      .map(([name, { phase }]) => `${name} ${phase}`)
      .toSorted(),
  ].join(', ')

/** A delivery changes no saga: most states share theirs with another. */
const sagaKeys = new WeakMap<SagaState, string>()

function sagaKeyOf(saga: SagaState): string {
  const { status, stage, steps, error, cancel, parked, expiresAt, leftBehind } = saga
  const known = sagaKeys.get(saga)
  const by = [error?.step, cancel?.after, cancel?.by, parked?.step, parked?.from, expiresAt, leftBehind]
  const key = known ?? JSON.stringify([status, stage, entriesOf(steps), by])
  sagaKeys.set(saga, key)
  return key
}

const keyOf = ({ saga, sent, stored, effects, replies, asks, cancelled, faulted, acted }: World): string =>
  sagaKeyOf(saga) +
  JSON.stringify([
    Object.keys(sent).toSorted(),
    Object.entries(stored).toSorted(),
    Object.entries(effects).toSorted(),
    replies,
    Object.entries(asks).toSorted(),
    [cancelled, faulted, acted],
  ])

const mayRemain = ({ phase, exhausted }: StepState): boolean =>
  phase === 'done' || phase === 'unknown' || phase === 'asked' || (phase === 'skipped' && exhausted === true)

/** What the order of events tells: which undo was asked when, and whether tries were counted rightly. */
function orderFault(rules: Rules, definition: SagaDefinition, world: World, events: readonly Event[]): string | null {
  let state = world.saga
  for (const event of events) {
    if (event.type === 'UndoAsked') {
      const fault = undoFault(definition, state, event.step, world)
      if (fault !== null) return fault
    }
    if (event.type === 'StepUnknown' && event.retryAt === null) {
      const step = definition.byName.get(event.step) as StepDefinition
      const asks = world.asks[event.step] ?? 0
      if (step.onUnknown === 'repeat' && asks !== step.retry.tries)
        return `${event.step} was given up after ${asks} of ${step.retry.tries} tries`
    }
    state = rules.evolve(state, event) as SagaState
  }
  return null
}

function undoFault(definition: SagaDefinition, state: SagaState, name: string, world: World): string | null {
  const step = definition.byName.get(name) as StepDefinition
  const { phase } = stepOf(state, name)
  const deciding = state.cancel?.after === true && name === definition.cancelDecidedBy
  if (phase === 'rejected' || phase === 'todo') return `${name} is undone although it is ${phase}`
  if (world.sent[`s:${name}:do`] === undefined) return `${name} is undone although it was never sent`
  const pivot = definition.steps.find((other) => other.place === 'pivot')
  if (pivot !== undefined && stepOf(state, pivot.name).phase === 'done' && state.cancel?.after !== true)
    return `${name} is undone after the pivot`
  if (phase === 'undoing' || phase === 'stuck') return null // a repeat; what was found since is undone after it
  const newer = definition.steps.find(
    (other) => other.index > step.index && other.undo !== null && mayRemain(stepOf(state, other.name)),
  )
  return newer === undefined || deciding ? null : `${name} is undone before the newer ${newer.name}`
}
