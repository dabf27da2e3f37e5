/** Checks of what callers hand in: types say it, but JavaScript and casts may give anything. The same on every host. */
import { actionKinds, type Action } from '../../core/act.ts'
import { readInput } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import { repliesIn } from '../../core/pending.ts'
import { longestLabel, labelOf } from '../label.ts'
import { sagaStatuses, type SagaState } from '../../core/state.ts'
import type { PageRequest, SagaFilter } from '../../stores/store.ts'
import type { Incoming, Result, ResultOptions, StartOptions } from '../host.ts'
import type { EngineOptions } from './engine.ts'
import { EngineError } from './errors.ts'

const refuse = (why: string): never => {
  throw new EngineError('invalid_input', why)
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : String(value)

function text(what: string, value: unknown, longest = 10_000): void {
  if (typeof value !== 'string' || value === '' || value.length > longest)
    refuse(`${what} must be a text of 1 to ${longest} characters; it is ${shown(value)}.`)
}

export function checkOptions(options: EngineOptions): void {
  const { store, transport } = options as Partial<EngineOptions>
  if (typeof store?.commit !== 'function') refuse('store must be a store, such as memoryStore().')
  if (typeof transport?.publish !== 'function') refuse('transport must be a transport, such as memoryTransport().')
  if (options.group !== undefined) text('group', options.group, longestLabel)
  const whole = ['lanes', 'maxBatch', 'maxQueued', 'maxRunning', 'cached', 'repeatsPerSecond'] as const
  for (const name of whole) {
    const value = options[name]
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      refuse(`${name} must be a whole number from 1; it is ${shown(value)}.`)
  }
  for (const name of ['heartbeatMs', 'retainMs'] as const) {
    const value = options[name]
    if (value !== undefined && !(Number.isFinite(value) && value >= (name === 'retainMs' ? 0 : 1)))
      refuse(`${name} must be a number of milliseconds; it is ${shown(value)}.`)
  }
  for (const name of ['onProblem', 'onMove'] as const)
    if (options[name] !== undefined && typeof options[name] !== 'function') refuse(`${name} must be a function.`)
}

export function checkKey({ key }: StartOptions): void {
  if (key === undefined) return
  text('the idempotency key', key, longestLabel)
  if (labelOf(key) !== key) refuse('the idempotency key holds NUL or half a surrogate pair; leave them out.')
}

/** The input of a start as the definition's schema reads it. */
export function checkedInput(definition: SagaDefinition, given: unknown): unknown {
  const read = readInput(definition, given)
  if (!read.ok) throw new EngineError('invalid_input', `The input does not fit ${definition.name}: ${read.why}`)
  return read.value
}

/** A settled saga with its answers, typed by the definition that it is said to be of. */
export function resultOf<Replies>(state: SagaState, definition: ResultOptions<Replies>['definition']): Result<Replies> {
  if (definition !== undefined && definition.name !== state.definition)
    refuse(`Saga ${state.id} is none of ${definition.name}, but of ${state.definition}.`)
  return { ...state, replies: repliesIn(state) as Partial<Replies> }
}

export const checkSagaId = (sagaId: string): void => text('the saga id', sagaId)

export function checkRequest(sagaId: string, by: string, reason: string): void {
  checkSagaId(sagaId)
  text('by, who asks,', by)
  if (typeof reason !== 'string') refuse(`reason must be a text; it is ${shown(reason)}.`)
}

export function checkAction(action: Action): void {
  const kind = (action as Action | undefined)?.kind
  if (!actionKinds.includes(kind as Action['kind']))
    refuse(`there is no action ${shown(kind)}; use ${actionKinds.join(', ')}.`)
}

export function checkIncoming(incoming: Incoming): void {
  const { sagaId, type, id, causationId } = (incoming as Incoming | undefined) ?? ({} as Incoming)
  text('sagaId', sagaId)
  text('type', type)
  text('id', id)
  if (causationId !== undefined) text('causationId', causationId)
}

/** The filter as the store keeps what it looks for. */
export function readFilter(filter: SagaFilter): SagaFilter {
  const { status, businessKey } = filter
  if (status !== undefined && !sagaStatuses.includes(status))
    refuse(`there is no status ${shown(status)}; use ${sagaStatuses.join(', ')}.`)
  for (const name of ['createdFrom', 'createdBefore'] as const)
    if (filter[name] !== undefined && !Number.isFinite(filter[name])) refuse(`${name} must be Unix milliseconds.`)
  return businessKey === undefined ? filter : { ...filter, businessKey: labelOf(businessKey) }
}

export function checkPage({ limit }: PageRequest): void {
  if (limit !== undefined && !Number.isFinite(limit)) refuse(`limit must be a number; it is ${shown(limit)}.`)
}
