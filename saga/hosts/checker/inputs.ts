/** What may happen to a saga in a world: all inputs that may come now. */
import type { Action } from '../../core/act.ts'
import type { EventContract } from '../../core/contract.ts'
import type { Input } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import { stepOf } from '../../core/evolve.ts'
import { hasEnded } from '../../core/state.ts'
import type { Occurred, Setting, World } from './explore.ts'
import type { Ledger, Spent } from './ledger.ts'
import { eventCame, waitsOf } from './ledger.ts'
import { idOf, sayingName } from './network.ts'
import type { Saga, Sagas, Turn } from './sagas.ts'
import { armed, due, early, firing, late } from './timeless.ts'

export interface Happening {
  /** For the story. */
  readonly tells: string
  readonly turn: Turn
  /** What it shows of participants. */
  readonly occurred: readonly Occurred[]
  readonly ledger: Ledger
  /** `bound`: it comes sooner or later; `optional`: it may as well never come. */
  readonly kind: 'bound' | 'optional'
}

export function* happenings(setting: Setting, sagas: Sagas, world: World): Generator<Happening> {
  yield* answersCome(setting, sagas, world)
  yield* timesCome(setting, sagas, world)
  yield* messagesAreTaken(setting, sagas, world)
  yield* eventsCome(setting, sagas, world)
  yield* personsAct(setting, sagas, world)
}

const shown = (step: number, occurrence: Occurred['occurrence']): readonly Occurred[] => [{ step, occurrence }]

function* answersCome({ definition, answers, network }: Setting, sagas: Sagas, world: World): Generator<Happening> {
  for (const step of definition.steps) {
    const belief = world.beliefs[step.index]
    const participant = network[step.index]?.participant
    if (belief == null || participant === undefined) continue
    for (const saying of belief.sayings) {
      const { to, kind } = saying
      const id = participant.forgetful ? undefined : idOf(belief, saying)
      const name = `${sayingName(saying)} of ${step.name}`
      const input = (): Input => ({ type: 'reply', reply: answers.to(step, to, kind, id) })
      const turn = sagas.turn(world.saga, `${name} ${id}`, input, early)
      if (turn === null) continue
      const occurred = shown(step.index, { type: 'hear', saying })
      yield { tells: `the answer comes: ${name}`, turn, occurred, ledger: world.ledger, kind: 'bound' }
    }
  }
}

function* timesCome({ definition }: Setting, sagas: Sagas, { saga, ledger }: World): Generator<Happening> {
  for (const time of armed(definition, saga.state, saga.pending.wakeAt)) {
    const which =
      time.what === 'step'
        ? `the time of ${time.step} comes${time.last ? ', its last' : ''}`
        : time.what === 'all'
          ? 'all times come at once'
          : `the saga's ${time.what} comes`
    const from = firing(definition, saga.state, time)
    const turn = sagas.turn(saga, which, () => ({ type: 'time' }), due, from)
    if (turn !== null) yield { tells: which, turn, occurred: [], ledger, kind: 'bound' }
  }
}

function* messagesAreTaken({ definition }: Setting, sagas: Sagas, { saga, ledger }: World): Generator<Happening> {
  for (const { id, step, direction, unanswered } of saga.pending.commands) {
    if (!unanswered) continue
    const turn = sagas.turn(saga, `sent ${id}`, () => ({ type: 'sent', commandId: id }), early)
    const index = definition.byName.get(step)?.index
    if (turn === null || index === undefined) continue
    const occurred = shown(index, { type: 'taken', direction })
    yield { tells: `the transport has taken the ${direction} of ${step}`, turn, occurred, ledger, kind: 'bound' }
  }
}

function* eventsCome(setting: Setting, sagas: Sagas, { saga, ledger }: World): Generator<Happening> {
  const { definition, answers } = setting
  for (const contract of setting.outside) {
    const { type } = contract
    const follow = definition.follows.find(({ event }) => event.type === type)
    const inTime = follow?.reaction.kind !== 'ask' || follow.reaction.withinMs === null
    const { [type]: came = 0 } = ledger.came
    const ids = Array.from({ length: came + (mayCome(setting, ledger, type) ? 1 : 0) }, (_each, id) => id)
    for (const id of ids)
      for (const now of inTime ? [early] : [early, late]) {
        const tells = `${type} comes${id < came ? ' again' : ''}${now === late ? ', late' : ''}`
        const message = answers.event(contract, `${type}#${id}`)
        const turn = sagas.turn(saga, `${tells} ${id}`, () => ({ type: 'reply', reply: message }), now)
        const counts = id < came ? ledger : eventCame(definition, ledger, saga.state, type)
        // An event that changes nothing counts as well: it must not have been one that is waited for.
        const lost = turn === null && id === came && concerns(ledger, counts) && !isUndone(saga)
        const after = lost ? unchanged(saga, message) : turn
        if (after !== null) yield { tells, turn: after, occurred: [], ledger: counts, kind: 'optional' }
      }
  }
}

const concerns = (before: Ledger, after: Ledger): boolean =>
  before.usable !== after.usable || before.owed.length !== after.owed.length

const isUndone = ({ state }: Saga): boolean => hasEnded(state.status) && state.status !== 'COMPLETED'

const unchanged = (saga: Saga, reply: (Input & { type: 'reply' })['reply']): Turn => ({
  input: { type: 'reply', reply },
  events: [],
  before: [],
  next: saga,
})

/** Of events that have the same consequence one stands for all. */
export function outsideOf({ byEvent, follows }: SagaDefinition): readonly EventContract[] {
  const waited = [...byEvent.values()].flatMap(([step]) => step?.event ?? [])
  const followed = follows.filter(
    ({ event, reaction }, index, all) =>
      !byEvent.has(event.type) &&
      all.findIndex((other) => JSON.stringify(other.reaction) === JSON.stringify(reaction)) === index,
  )
  return [...waited, ...followed.map(({ event }) => event)]
}

function mayCome({ definition, events }: Setting, { came }: Ledger, type: string): boolean {
  const waits = (of: string): number => waitsOf(definition, of).length
  if ((came[type] ?? 0) < waits(type)) return true
  if (!definition.follows.some(({ event }) => event.type === type)) return false
  return Object.entries(came).reduce((sum, [of, count]) => sum + Math.max(0, count - waits(of)), 0) < events
}

function* personsAct(setting: Setting, sagas: Sagas, world: World): Generator<Happening> {
  const { saga, ledger } = world
  const { spent } = ledger
  const spend = (what: keyof Spent): Ledger => ({ ...ledger, spent: { ...spent, [what]: true } })
  const optional = function* (tells: string, input: Input, after: Ledger, occurred: readonly Occurred[] = []) {
    const turn = sagas.turn(saga, tells, () => input, early)
    // Where nothing changed, what was spent on it may as well come later.
    if (turn !== null) yield { tells, turn, occurred, ledger: after, kind: 'optional' } as const
  }
  if (!spent.cancel) yield* optional('a cancel comes', { type: 'cancel', by: 'c', reason: 'r' }, spend('cancel'))
  if (!spent.fault) yield* optional('the host fails', { type: 'fault', reason: 'f' }, spend('fault'))
  if (spent.act || saga.state.parked === null) return
  for (const [action, occurred] of actions(setting, world))
    yield* optional(
      `an operator acts: ${action.kind}`,
      { type: 'act', action, by: 'o', reason: 'r' },
      spend('act'),
      occurred,
    )
}

/** An operator tells the truth as it is now. What is still on its way may prove them wrong. */
function* actions(setting: Setting, { saga, beliefs }: World): Generator<readonly [Action, readonly Occurred[]]> {
  const { definition, network, answers } = setting
  yield [{ kind: 'retry' }, []]
  yield [{ kind: 'giveUp' }, []]
  const step = definition.byName.get(saga.state.parked?.step ?? '')
  if (step === undefined) return
  const belief = beliefs[step.index]
  const of = network[step.index]
  if (belief == null || of == null) {
    yield [{ kind: 'skip' }, []] // a wait: nobody else knows of it
    return
  }
  for (const effect of [true, false]) {
    if (of.after(belief, { type: 'look', effect }) === null) continue
    const looked = shown(step.index, { type: 'look', effect })
    if (!effect) yield [{ kind: 'skip' }, looked]
    else if (stepOf(saga.state, step.name).phase === 'unknown')
      yield [{ kind: 'resolve', reply: answers.to(step, 'do', 'done', undefined).payload }, looked]
  }
}
