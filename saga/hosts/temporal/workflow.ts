/**
 * Sagas inside a Temporal workflow. A file of workflows exports one for each definition, under the name of its workflow type
 * (the definition's name, unless the host is told another), and is bundled by the worker; nothing here needs Node.
 */
import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  makeContinueAsNewFunc,
} from '@temporalio/workflow'
import type { SagaDefinition } from '../../core/definition.ts'
import { repliesIn } from '../../core/pending.ts'
import type { SagaState } from '../../core/state.ts'
import type { Begin, Ended } from './protocol.ts'
import { WorkflowSaga } from './workflow-saga.ts'

export type { Begin, Carried, Ended } from './protocol.ts'

export interface SagaWorkflowOptions {
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
  const known = 'name' in definitions ? [definitions] : definitions
  const { openMs = 30 * day, lateMs = 600_000, continueAfterEvents = Infinity } = options
  for (const [name, value] of Object.entries({ openMs, lateMs, continueAfterEvents }))
    if (!(value >= 0)) throw new RangeError(`${name} must be a number from 0; it is ${String(value)}.`)

  return async function run(begin: Begin): Promise<Ended> {
    const definition = definitionOf(known, begin)
    const root = CancellationScope.current()
    // Temporal's own cancel asks the saga to undo itself: it must not take timers and activities from it.
    return CancellationScope.nonCancellable(async () => {
      const saga = new WorkflowSaga(definition, begin, { openMs, lateMs, continueAfterEvents })
      root.cancelRequested.catch(() => saga.cancel('temporal', 'cancelled in Temporal'))
      saga.begin()
      await condition(() => saga.isOver || saga.continues)
      if (!saga.isOver) return makeContinueAsNewFunc<typeof run>()({ ...begin, carried: saga.carried })
      return endOf(definition, saga.state, root.consideredCancelled)
    })
  }
}

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
  const { status, error, leftBehind } = state
  const ended: Ended = { status, replies: repliesIn(state), error, leftBehind }
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
