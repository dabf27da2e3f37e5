/** What the walk itself remembers of a run, apart from the rules that it tests: tries, events that came, what is owed. */
import type { Input } from '../../core/decide.ts'
import type { Follow, SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import { stepOf } from '../../core/evolve.ts'
import type { SagaState } from '../../core/state.ts'
import { turnsBackForGood } from './normal-form.ts'

type Counts = Readonly<Record<string, number>>

export interface Ledger {
  /** How often each step, and its undo, was asked since it had all its tries. */
  readonly asks: Counts
  readonly undoAsks: Counts
  /** How many messages of an event's type came, and how many of these a wait had a use for. */
  readonly came: Counts
  readonly usable: Counts
  /** Events whose consequence is still to come. */
  readonly owed: readonly string[]
  /** Steps that an event had asked again. */
  readonly again: readonly string[]
  readonly spent: Spent
}

/** What comes once has come. */
export interface Spent {
  readonly cancel: boolean
  readonly fault: boolean
  readonly act: boolean
}

/** More may come in the first than in the second: what follows in the second follows in the first. */
export const sparesMore = (first: Spent, second: Spent): boolean =>
  (!first.cancel || second.cancel) && (!first.fault || second.fault) && (!first.act || second.act)

const noCounts: Counts = {}

export const nothingYet: Ledger = {
  asks: noCounts,
  undoAsks: noCounts,
  came: {},
  usable: {},
  owed: [],
  again: [],
  spent: { cancel: false, fault: false, act: false },
}

/** More tries than these are not told apart; the walk uses fewer. */
const mostAsks = 9
const add = (counts: Counts, key: string): Counts => ({ ...counts, [key]: Math.min(mostAsks, (counts[key] ?? 0) + 1) })
const without = (counts: Counts, key: string): Counts => ({ ...counts, [key]: 0 })
const set = (counts: Counts, key: string, count: number): Counts => ({ ...counts, [key]: count })

/** Counts an event of the history; `turn` is all that followed from the same input. */
type TurnTaken = { readonly input: Input; readonly events: readonly Event[] }

export function counted(ledger: Ledger, event: Event, turn: TurnTaken): Ledger {
  switch (event.type) {
    case 'StepAsked':
    case 'StepQueried': // what an operator has asked again has all its tries again
      return {
        ...ledger,
        asks: add(turn.input.type === 'act' ? without(ledger.asks, event.step) : ledger.asks, event.step),
      }
    case 'UndoAsked':
      return { ...ledger, undoAsks: add(ledger.undoAsks, event.step) }
    case 'SagaReopened':
      return { ...ledger, asks: {} }
    case 'UndoDone':
      return { ...ledger, undoAsks: without(ledger.undoAsks, event.step) }
    case 'CancelRefused':
      return { ...ledger, undoAsks: {} }
    case 'EffectFound': {
      // The undo begins anew, unless that of another success is under way.
      const anew = turn.events.some((each) => each.type === 'UndoAsked' && each.step === event.step)
      return anew ? { ...ledger, undoAsks: without(ledger.undoAsks, event.step) } : ledger
    }
    default:
      return ledger
  }
}

/** After all events of a turn: what no longer counts is dropped, so that states which behave alike are one. */
export function settled(definition: SagaDefinition, ledger: Ledger, saga: SagaState): Ledger {
  const asks = openOf(definition, ledger.asks, saga, false)
  const undoAsks = openOf(definition, ledger.undoAsks, saga, true)
  if (turnsBackForGood(definition, saga)) return { ...ledger, asks, undoAsks, came: {}, usable: {}, owed: [] }
  return asks === ledger.asks && undoAsks === ledger.undoAsks ? ledger : { ...ledger, asks, undoAsks }
}

/** The counts of what is open; that of tries without end tells nothing. */
function openOf(definition: SagaDefinition, counts: Counts, saga: SagaState, undo: boolean): Counts {
  if (counts === noCounts) return counts
  const open: Record<string, number> = {}
  for (const { name, retry, undoRetry } of definition.steps) {
    const { [name]: count = 0 } = counts
    const { nextAt, phase } = stepOf(saga, name)
    if (count === 0 || nextAt === undefined || (phase === 'undoing') !== undo) continue
    open[name] = (undo ? undoRetry : retry).tries === Infinity ? 1 : count
  }
  return Object.keys(open).length === 0 ? noCounts : open
}

const isForward = (saga: SagaState): boolean => (saga.parked?.from ?? saga.status) === 'STARTED'

export const waitsOf = (definition: SagaDefinition, type: string) => definition.byEvent.get(type) ?? []

export const filled = (definition: SagaDefinition, saga: SagaState, type: string): number =>
  waitsOf(definition, type).filter(({ name }) => stepOf(saga, name).phase === 'done').length

/** A message of an event's type comes for the first time, to a saga in this state. */
export function eventCame(definition: SagaDefinition, ledger: Ledger, saga: SagaState, type: string): Ledger {
  const open = waitsOf(definition, type).filter(({ name }) => /todo|asked/.test(stepOf(saga, name).phase)).length
  const usable = ledger.usable[type] ?? 0
  const wanted = isForward(saga) && usable - filled(definition, saga, type) < open
  const follows = !wanted && definition.follows.some(({ event }) => event.type === type)
  return {
    ...ledger,
    came: set(ledger.came, type, (ledger.came[type] ?? 0) + 1),
    usable: wanted ? set(ledger.usable, type, usable + 1) : ledger.usable,
    owed: follows ? [...ledger.owed, type].toSorted() : ledger.owed,
  }
}

/** What is no longer owed, and what was asked again, after the events of a turn. */
export function paid(
  definition: SagaDefinition,
  ledger: Ledger,
  input: Input,
  events: readonly Event[],
  saga: SagaState,
): Ledger {
  const reopened = events.findIndex(({ type }) => type === 'SagaReopened')
  const asked = reopened === -1 ? undefined : events.slice(reopened).find((event) => event.type === 'StepAsked')
  const again = asked === undefined ? ledger.again : [...new Set([...ledger.again, asked.step])].toSorted()
  const cancels = events.some(({ type }) => type === 'CancelRequested' || type === 'CancelRefused')
  const isPaid = ({ event, reaction }: Follow): boolean => {
    // Too late for asking again, the event cancels.
    if (reaction.kind === 'ask') return asked !== undefined || (cancels && isEvent(input, event.type))
    return cancels || saga.cancel !== null
  }
  const owed = ledger.owed.filter(
    (type) => !definition.follows.some((each) => each.event.type === type && isPaid(each)),
  )
  return owed.length === ledger.owed.length && again === ledger.again ? ledger : { ...ledger, owed, again }
}

const isEvent = (input: Input, type: string): boolean => input.type === 'reply' && input.reply.type === type
