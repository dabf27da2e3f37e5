/**
 * What follows from an input: a total, synchronous, deterministic function of definition, state, input and now.
 *
 * `decide` returns the events that follow (none where nothing does); it never throws, whatever arrives. It holds the
 * rules of a saga. Each event is folded before the next is decided, so the state always agrees with them.
 *
 * After an input's direct consequence, the saga is moved as far as it goes by itself (`advance`): forward until a step is
 * outstanding, backward until an undo is, or to an end. So afterwards it has ended, is parked, or has a next cause.
 */
import { advance, beginCancel, parkAt } from './advance.ts'
import { act } from './act.ts'
import type { Action } from './act.ts'
import { check, type Checked, type ReplyMessage } from './contract.ts'
import type { SagaDefinition } from './definition.ts'
import type { Event } from './events.ts'
import { evolve } from './evolve.ts'
import { whyNotPlain } from './plain.ts'
import type { Command } from './pending.ts'
import { receive, sent } from './receive.ts'
import type { SagaState } from './state.ts'
import { hasEnded } from './state.ts'
import { timeCame } from './time.ts'
import { Turn } from './turn.ts'

export type Input =
  /** `seed` is any integer; it spreads the retries of different sagas. */
  | { readonly type: 'start'; readonly id: string; readonly input: unknown; readonly seed: number }
  | { readonly type: 'reply'; readonly reply: ReplyMessage }
  /** The transport has taken a command that nobody need answer. */
  | { readonly type: 'sent'; readonly commandId: string }
  /** A wake-up that `pending` asked for; harmless at any other time. */
  | { readonly type: 'time' }
  | { readonly type: 'cancel'; readonly by: string; readonly reason: string }
  | { readonly type: 'act'; readonly action: Action; readonly by: string; readonly reason: string }
  /** The host could not carry out a move of this saga; it parks alone. */
  | { readonly type: 'fault'; readonly reason: string }

/** What follows from an input, and the state after it. */
export interface Transition {
  readonly events: readonly Event[]
  /** Null where nothing has started. */
  readonly state: SagaState | null
}

/**
 * @param state null before the start; the host has read the start's input by `readInput`
 * @param now Unix milliseconds
 */
export const decide = (
  definition: SagaDefinition,
  state: SagaState | null,
  input: Input,
  now: number,
): readonly Event[] => transition(definition, state, input, now).events

/**
 * `decide`, with the state that folding its events gives: a host that keeps the state need not fold them again. `built` is for
 * a host that keeps the saga's commands too: those that it has are not built again, and what is built is put there.
 */
export function transition(
  definition: SagaDefinition,
  state: SagaState | null,
  input: Input,
  now: number,
  built?: Command[],
): Transition {
  if (state === null) return input.type === 'start' ? start(definition, input, now, built) : { events: [], state }
  const turn = new Turn(definition, state, now, built)
  respond(turn, input)
  advance(turn)
  return turn
}

/** The input of a start as the definition's schema takes it. Not plain JSON, it would be another after a restart. */
export function readInput(definition: SagaDefinition, input: unknown): Checked<unknown> {
  const checked = check(definition.input, input)
  const why = checked.ok ? whyNotPlain(checked.value, 'input') : null
  return why === null ? checked : { ok: false, why }
}

/** Folds a history; null where it is empty. */
export const replay = (events: readonly Event[]): SagaState | null => events.reduce<SagaState | null>(evolve, null)

function start(
  definition: SagaDefinition,
  input: Input & { type: 'start' },
  now: number,
  built: Command[] | undefined,
): Transition {
  const first: Event = {
    type: 'SagaStarted',
    id: input.id,
    definition: definition.name,
    version: definition.version,
    seed: input.seed,
    input: input.input,
    at: now,
    deadline: definition.deadlineMs === null ? null : now + definition.deadlineMs,
    structure: definition.structureKey,
  }
  const turn = new Turn(definition, evolve(null, first) as SagaState, now, built)
  advance(turn)
  return { events: [first, ...turn.events], state: turn.state }
}

function respond(turn: Turn, input: Input): void {
  switch (input.type) {
    case 'start':
      return // starting is idempotent: it runs already
    case 'reply':
      return receive(turn, input.reply)
    case 'sent':
      return sent(turn, input.commandId)
    case 'time':
      return timeCame(turn)
    case 'cancel':
      return cancel(turn, input.by, input.reason)
    case 'act':
      return act(turn, input.action, input.by, input.reason)
    case 'fault':
      if (!hasEnded(turn.state.status) && turn.state.status !== 'PARKED') parkAt(turn, turn.currentStep(), input.reason)
  }
}

/** A cancel that is asked for again while the first is open changes nothing. */
function cancel(turn: Turn, by: string, reason: string): void {
  const { state } = turn
  if (state.status !== 'STARTED' && state.status !== 'COMPLETED')
    return turn.emit({ type: 'RequestRefused', request: 'cancel', why: whyNotNow(state), by, reason })
  if (state.cancel === null) beginCancel(turn, by, reason)
}

function whyNotNow({ status }: SagaState): string {
  if (status === 'PARKED') return 'it is parked; an operator must retry, skip or give up first'
  if (status === 'COMPENSATING' || status === 'CANCELLING') return `it is ${status} already`
  return `it has ended ${status}`
}
