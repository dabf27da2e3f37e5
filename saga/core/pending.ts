/**
 * What is outstanding, from the state alone: the commands to send (again) and the next wake-up.
 *
 * Ids are derived from saga, step and direction, so sending again needs no memory of having sent: a repeat carries the
 * same id, and the participant answers it from its store.
 */
import type { CommandContract } from './contract.ts'
import type { SagaDefinition, StepContext, StepDefinition } from './definition.ts'
import { openSteps, stepOf } from './evolve.ts'
import { said, whyNotPlain } from './plain.ts'
import type { SagaState } from './state.ts'
import { entriesOf } from './steps.ts'

export type Direction = 'do' | 'undo' | 'query'

/** A command to be sent. */
export interface Command {
  readonly id: string
  readonly sagaId: string
  readonly step: string
  readonly direction: Direction
  readonly attempt: number
  readonly participant: string
  readonly channel: string
  readonly type: string
  readonly payload: unknown
  /** Nobody need answer it: that the transport has taken it is told to the saga (input `sent`). */
  readonly unanswered: boolean
  /** Of an undo: the id of the command that it undoes. */
  readonly undoes: string | null
}

export interface Pending {
  readonly commands: readonly Command[]
  /** Unix milliseconds; null where no time is waited for. */
  readonly wakeAt: number | null
}

/** The derived id of a step's command; a definite refusal that is tried again starts a new round. */
export function commandId(state: SagaState, step: string, direction: Direction): string {
  const { round, undoRound } = stepOf(state, step)
  const count = direction === 'do' ? round : direction === 'undo' ? undoRound : 1
  return `${state.id}:${step}:${direction}${count === undefined || count === 1 ? '' : String(count)}`
}

/** The step that a command id of this saga names. No step's name holds a colon. */
export const stepNamed = ({ id }: SagaState, command: string): string =>
  command.slice(id.length + 1).replace(/:.*/s, '')

/** What is outstanding now. A saga that is parked or ended has no commands. */
export function pending(definition: SagaDefinition, state: SagaState, known?: Command[]): Pending {
  if (state.status === 'COMPLETED') return { commands: [], wakeAt: state.expiresAt }
  if (!isMoving(state)) return { commands: [], wakeAt: null }
  const commands: Command[] = []
  let wakeAt = deadlineOf(definition, state)
  for (const step of open(definition, state)) {
    wakeAt = Math.min(wakeAt ?? Infinity, stepOf(state, step.name).nextAt as number) // open: it has one
    const direction = outstanding(step, state)
    const built = direction === null ? null : buildCommand(definition, state, step, direction, known)
    if (built?.ok === true) commands.push(built.command)
  }
  return { commands, wakeAt }
}

/** Steps that a time is set for, in the order of the definition. */
export function open({ byName }: SagaDefinition, state: SagaState): readonly StepDefinition[] {
  const steps = openSteps(state).map((name) => byName.get(name) as StepDefinition) // a saga's steps are its definition's
  return steps.length < 2 ? steps : steps.sort((a, b) => a.index - b.index)
}

const isMoving = ({ status }: SagaState): boolean =>
  status === 'STARTED' || status === 'COMPENSATING' || status === 'CANCELLING'

/** The saga's own deadline counts until its pivot is asked. */
function deadlineOf(definition: SagaDefinition, state: SagaState): number | null {
  return state.status === 'STARTED' && state.cancel === null && canTurnBack(definition, state) ? state.deadline : null
}

/** True until the pivot has been asked: a cancel then takes effect at once. */
export function canTurnBack(definition: SagaDefinition, state: SagaState): boolean {
  const current = definition.stages[state.stage]?.[0]
  return current?.place === 'before' || (current?.place === 'pivot' && stepOf(state, current.name).phase === 'todo')
}

/** Steps that have begun, in the order of the definition. */
export const begun = (definition: SagaDefinition, state: SagaState): readonly StepDefinition[] =>
  definition.steps.filter((step) => stepOf(state, step.name).phase !== 'todo')

/** What an open step asks for; null where it waits for an event, or stands still. */
function outstanding(step: StepDefinition, state: SagaState): Direction | null {
  const { phase, paused, querying } = stepOf(state, step.name)
  if (querying === true) return 'query'
  if (paused === true || step.do === null) return null
  return phase === 'undoing' ? 'undo' : 'do'
}

export type Built = { readonly ok: true; readonly command: Command } | { readonly ok: false; readonly why: string }

/**
 * Builds a step's command. A payload function that throws, or gives what is no JSON, is a mistake, told by `why`.
 *
 * @param known commands that were built for the saga before: a repeat is the same, so that a payload function runs once. What
 * is built is put there.
 */
export function buildCommand(
  definition: SagaDefinition,
  state: SagaState,
  step: StepDefinition,
  direction: Direction,
  known?: Command[],
): Built {
  const id = commandId(state, step.name, direction)
  const { attempts } = stepOf(state, step.name)
  const before = known?.find((command) => command.id === id)
  if (before !== undefined)
    return { ok: true, command: before.attempt === attempts ? before : { ...before, attempt: attempts } }
  const built = build(definition, state, step, direction)
  if (built.ok) known?.push(built.command)
  return built
}

function build(definition: SagaDefinition, state: SagaState, step: StepDefinition, direction: Direction): Built {
  try {
    const contract = contractOf(step, direction)
    const payload = payloadOf(definition, state, step, direction)
    const why = whyNotPlain(payload, 'it')
    if (why !== null) return { ok: false, why: `the ${direction} payload of step ${step.name} is no JSON: ${why}` }
    const command = {
      id: commandId(state, step.name, direction),
      sagaId: state.id,
      step: step.name,
      direction,
      attempt: stepOf(state, step.name).attempts,
      participant: contract.participant,
      channel: contract.commandChannel,
      type: contract.type,
      payload,
      unanswered: !contract.answered,
      undoes: direction === 'undo' ? commandId(state, step.name, 'do') : null,
    }
    return { ok: true, command }
  } catch (error) {
    return { ok: false, why: `the ${direction} payload of step ${step.name} could not be built: ${said(error)}` }
  }
}

/** The contract of a direction that the caller knows to exist. */
export const contractOf = (step: StepDefinition, direction: Direction): CommandContract =>
  (direction === 'do' ? step.do : direction === 'undo' ? step.undo : step.query) as CommandContract

function payloadOf(definition: SagaDefinition, state: SagaState, step: StepDefinition, direction: Direction): unknown {
  const context: StepContext = {
    sagaId: state.id,
    commandId: commandId(state, step.name, 'do'),
    input: state.input,
    replies: repliesOf(definition, state, step.stage),
    since: stepOf(state, step.name).since,
  }
  if (direction === 'do') return step.with(context)
  if (direction === 'query') return step.queryWith(context)
  const reason = state.cancel?.reason ?? state.error?.reason ?? ''
  return step.undoWith({ ...context, reply: stepOf(state, step.name).reply, reason })
}

interface Replies {
  readonly definition: SagaDefinition
  readonly state: SagaState
  /** Answers of this stage and later ones are not seen. */
  readonly before: number
}

/** Answers are looked up when read, so that a payload of the 200th step costs what the first one's does. */
const lookUp: ProxyHandler<Replies> = {
  get({ definition, state, before }, name) {
    const step = definition.byName.get(String(name))
    return step !== undefined && step.stage < before ? stepOf(state, step.name).reply : undefined
  },
}

/** Answers by step name, of the steps before a stage; of all where none is given. */
export const repliesOf = (definition: SagaDefinition, state: SagaState, before = Infinity): Record<string, unknown> =>
  new Proxy({ definition, state, before }, lookUp) as unknown as Record<string, unknown>

/** What the steps of a saga have answered and kept, by name. */
export const repliesIn = (state: SagaState): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    entriesOf(state.steps).flatMap(([name, { reply }]) => (reply === undefined ? [] : [[name, reply]])),
  )
