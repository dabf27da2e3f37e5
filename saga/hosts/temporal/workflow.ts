/**
 * Sagas inside a Temporal workflow. A file of workflows exports one for each definition, under the name of its workflow type
 * (the definition's name, unless the host is told another), and is bundled by the worker; nothing here needs Node.
 */
import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  deprecatePatch,
  executeChild,
  makeContinueAsNewFunc,
  patched,
  workflowInfo,
} from '@temporalio/workflow'
import { readInput, transition } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import { repliesIn, type Command } from '../../core/pending.ts'
import { seedOf } from '../../core/seed.ts'
import type { SagaState } from '../../core/state.ts'
import { businessKeyOf } from '../engine/business-key.ts'
import type { ActivityCall } from './calls.ts'
import { attributes, type Begin, type Ended } from './protocol.ts'
import { WorkflowSaga } from './workflow-saga.ts'

export type { ActivityCall, Outcome, Said } from './calls.ts'
export type { Begin, Carried, Ended } from './protocol.ts'

export interface SagaWorkflowOptions {
  /** Commands that activities of others carry out, with names, arguments and results of their own; null for the rest. */
  readonly call?: (command: Command) => ActivityCall | null
  /**
   * Milliseconds that the workflow of a completed saga stays open where a cancel, an event or a time may still move it; thirty
   * days. Closed, it is moved by nothing any more.
   */
  readonly openMs?: number
  /** Milliseconds that the workflow of an ended saga stays open where a late answer may still tell of an effect; ten minutes. */
  readonly lateMs?: number
  /** Events of a run after which it continues as new; when the server suggests it, where none is given. */
  readonly continueAfterEvents?: number
}

const day = 86_400_000

/**
 * @param definitions all versions of one definition that have sagas; a saga of another waits for a worker that has it
 *
 * @example
 * export const buy = sagaWorkflow(buyDefinition) // in the file of workflows
 */
export function sagaWorkflow(
  definitions: SagaDefinition | readonly SagaDefinition[],
  options: SagaWorkflowOptions = {},
): (begin: Begin) => Promise<Ended> {
  const known = listOf(definitions, 'sagaWorkflow')
  const checked = checkedOptions(options)
  return async function run(begin: Begin): Promise<Ended> {
    checkBegin(begin)
    const end = await runSaga(definitionOf(known, begin), begin, checked)
    return end.kind === 'ended' ? end.ended : continued(end.begin)
  }
}

export interface ForeignWorkflowOptions extends SagaWorkflowOptions {
  /** What a saga is started with, of the workflow's arguments. */
  readonly input: (...args: readonly unknown[]) => unknown
  /** What the workflow returns when its saga has ended well; what became of the saga where none is given. */
  readonly result?: (ended: Ended) => unknown
}

/**
 * Sagas inside a workflow that others start, with arguments of their own: its type, arguments and result are what they know. A
 * saga's id is the workflow's with its first run's, since others may start a workflow again under its id. Arguments that do not
 * fit fail the workflow, and so does a saga that was undone. One that was started with an execution timeout runs its saga in a child
 * workflow, which that does not end. Of several versions a saga begins under the newest.
 *
 * @example
 * export const BuyWorkflow = foreignSagaWorkflow(buy, { input: (order) => order, result: () => 'bought' })
 */
export function foreignSagaWorkflow(
  definitions: SagaDefinition | readonly SagaDefinition[],
  { input, result = (ended) => ended, ...options }: ForeignWorkflowOptions,
): (...args: readonly unknown[]) => Promise<unknown> {
  const known = listOf(definitions, 'foreignSagaWorkflow')
  const checked = checkedOptions(options)
  return async function run(...args: readonly unknown[]): Promise<unknown> {
    const { executionExpirationTime, parent } = workflowInfo()
    if (executionExpirationTime !== undefined && parent === undefined) return withoutEnd(args)
    const begin = isContinued(args[0]) ? args[0] : beginOf(newestOf(known), input(...args))
    const end = await runSaga(definitionOf(known, begin), begin, checked)
    return end.kind === 'ended' ? result(completed(end.ended)) : continued(end.begin)
  }
}

/** @throws TypeError */
function listOf(given: SagaDefinition | readonly SagaDefinition[], by: string): readonly SagaDefinition[] {
  const known = (Array.isArray(given) ? given : [given]) as readonly SagaDefinition[]
  if (known.length === 0) throw new TypeError(`${by} needs at least one definition; its list is empty.`)
  const versions = new Set<string>()
  for (const each of known) {
    const { name, version, structureKey } =
      (each as SagaDefinition | null | undefined) ?? ({} as Partial<SagaDefinition>)
    if (typeof name !== 'string' || typeof version !== 'number' || typeof structureKey !== 'string')
      throw new TypeError(`${by} takes what defineSaga(...).end() has made; it was given ${typeof each}.`)
    if (versions.has(`${name}@${version}`))
      throw new TypeError(`${by} was given ${name} version ${version} twice: give one of them another version.`)
    versions.add(`${name}@${version}`)
  }
  return known
}

/** @throws RangeError */
function checkedOptions({ call = () => null, ...times }: SagaWorkflowOptions) {
  const { openMs = 30 * day, lateMs = 600_000, continueAfterEvents = Infinity } = times
  for (const [name, value] of Object.entries({ openMs, lateMs, continueAfterEvents }))
    if (!(value >= 0)) throw new RangeError(`${name} must be a number from 0; it is ${String(value)}.`)
  return { call, openMs, lateMs, continueAfterEvents }
}

type End = { readonly kind: 'ended'; readonly ended: Ended } | { readonly kind: 'continues'; readonly begin: Begin }

/** Until the saga has ended, or this run is long enough. */
function runSaga(
  definition: SagaDefinition,
  begin: Begin,
  options: ConstructorParameters<typeof WorkflowSaga>[2],
): Promise<End> {
  const root = CancellationScope.current()
  // Temporal's own cancel asks the saga to undo itself: it must not take timers and activities from it.
  return CancellationScope.nonCancellable(async () => {
    const saga = new WorkflowSaga(definition, begin, options)
    root.cancelRequested.catch(() => saga.cancel('temporal', 'cancelled in Temporal'))
    saga.begin()
    await condition(() => saga.isOver || saga.continues)
    if (!saga.isOver) return { kind: 'continues', begin: { ...begin, carried: saga.carried } }
    return { kind: 'ended', ended: endOf(definition, saga.state, root.consideredCancelled) }
  })
}

/** Left to itself the next run has the memo of the start, which does not say that the saga is parked. */
function continued(begin: Begin): Promise<never> {
  const { memo } = workflowInfo()
  return makeContinueAsNewFunc<(begin: Begin) => Promise<unknown>>(memo === undefined ? {} : { memo })(begin)
}

/**
 * Whoever started it has set a time after which Temporal ends it, in the middle of whatever it does: the saga runs in a workflow of
 * its own, which ends as it ends.
 */
async function withoutEnd(args: readonly unknown[]): Promise<unknown> {
  const { workflowId, workflowType, firstExecutionRunId, typedSearchAttributes } = workflowInfo()
  const options = { parentClosePolicy: 'ABANDON', cancellationType: 'WAIT_CANCELLATION_COMPLETED' } as const
  try {
    return await executeChild<(...args: readonly unknown[]) => Promise<unknown>>(workflowType, {
      ...options,
      workflowId: `${workflowId}/${firstExecutionRunId}`,
      args: [...args],
      typedSearchAttributes,
    })
  } catch (error) {
    const { cause } = error as { readonly cause?: unknown }
    throw cause instanceof ApplicationFailure || cause instanceof CancelledFailure ? cause : error
  }
}

/** What others start has one good end. */
function completed(ended: Ended): Ended {
  if (ended.status === 'COMPLETED') return ended
  const message = `it was undone, because that was asked for: ${ended.status}`
  throw ApplicationFailure.create({ type: ended.status, nonRetryable: true, message, details: [ended] })
}

/** What whoever starts a workflow gives is never taken for what a run before has left. */
const isContinued = (argument: unknown): argument is Begin =>
  workflowInfo().continuedFromExecutionRunId !== undefined &&
  typeof argument === 'object' &&
  argument !== null &&
  'carried' in argument &&
  'structure' in argument

/** The newest version; replayed, the one that was the newest then. */
function newestOf(known: readonly SagaDefinition[]): SagaDefinition {
  const [oldest, ...newer] = [...known].sort((one, other) => one.version - other.version)
  if (oldest === undefined) throw new Error('a workflow needs a definition')
  const later = newer.reverse().find((each) => patched(patchOf(each)))
  if (later !== undefined) return later
  if (oldest.version > 1) deprecatePatch(patchOf(oldest))
  return oldest
}

const patchOf = ({ name, version }: SagaDefinition): string => `${name} version ${version}`

function beginOf(definition: SagaDefinition, given: unknown): Begin {
  const { workflowId, firstExecutionRunId, typedSearchAttributes } = workflowInfo()
  const input = readInput(definition, given)
  if (!input.ok) throw invalidInput(`The workflow's arguments do not fit ${definition.name}: ${input.why}`)
  const id = `${workflowId}/${firstExecutionRunId}`
  const seed = seedOf(id)
  const { state } = transition(definition, null, { type: 'start', id, input: input.value, seed }, 0)
  return {
    id,
    definition: definition.name,
    version: definition.version,
    structure: definition.structureKey,
    seed,
    input: input.value,
    indexed: typedSearchAttributes.getAll().some(({ key }) => key.name === attributes.definition),
    businessKey: state === null ? null : businessKeyOf(definition, state),
  }
}

/**
 * Who starts a saga's workflow without our host may give anything. What can never be begun fails it at once. The input is as the
 * schema has read it, which a schema that transforms could not read again.
 */
function checkBegin(begin: unknown): void {
  const { id, definition, version, structure, seed } = Object(begin) as Partial<Begin>
  const fits =
    [id, definition, structure].every((each) => typeof each === 'string') &&
    [version, seed].every((each) => typeof each === 'number')
  if (!fits)
    throw invalidInput(
      'A workflow of sagaWorkflow is started by temporalHost, with one argument: { id, definition, version, structure, seed, input, indexed, businessKey }. For a workflow that is started with arguments of its own, use foreignSagaWorkflow.',
    )
}

const invalidInput = (message: string): ApplicationFailure =>
  ApplicationFailure.create({ type: 'invalid_input', nonRetryable: true, message })

/** Thrown as it is, so that the workflow's task fails and is tried again: the saga waits, and is not undone for it. */
function definitionOf(known: readonly SagaDefinition[], { id, definition, version, structure }: Begin): SagaDefinition {
  const found = known.find((each) => each.name === definition && each.version === version)
  if (found === undefined)
    throw new Error(
      `saga ${id} runs under ${definition} version ${version}, which this worker does not have: pass that version to sagaWorkflow too`,
    )
  if (found.structureKey !== structure)
    throw new Error(
      `saga ${id} began under other steps than ${definition} version ${version} has here: give the changed definition a new version`,
    )
  return found
}

/** A saga that failed is a failed workflow in Temporal's list, and one that was cancelled there is a cancelled one. */
function endOf(definition: SagaDefinition, state: SagaState, cancelledThere: boolean): Ended {
  const { status, input, error, leftBehind } = state
  const ended: Ended = { status, input, replies: repliesIn(state), error, leftBehind }
  if (status === 'FAILED' || status === 'COMPENSATED')
    throw ApplicationFailure.create({
      type: status,
      nonRetryable: true,
      message: `${definition.name} ${status}${error === null ? '' : ` after step ${error.step}: ${error.reason}`}${leftBehind.length === 0 ? '' : `; may remain: ${leftBehind.join(', ')}`}`,
      details: [ended],
    })
  if (status === 'CANCELLED' && cancelledThere)
    throw new CancelledFailure(`${definition.name} was undone: ${state.cancel?.reason ?? ''}`, [ended])
  return ended
}
