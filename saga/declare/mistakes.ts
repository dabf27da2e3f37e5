/** What is wrong with a declaration: the first mistake, as a sentence that says what to change; null where nothing is. */
import type { CommandContract, Schema } from '../core/contract.ts'
import type { SagaDefinition, StepDefinition } from '../core/definition.ts'
import type { RetryPolicy } from '../core/retry.ts'

type Mistake = string | null

/** Types promise more than JavaScript, or a cast, keeps. */
export function headMistake(
  name: unknown,
  options: { readonly version: number; readonly input: Schema<unknown>; readonly deadlineMs?: number },
): Mistake {
  const { version, input, deadlineMs } = (options as Partial<typeof options> | undefined) ?? {}
  if (!isName(name, /^[\w.-]{1,100}$/))
    return 'use at most 100 letters, digits, dots, - and _ in its name; it becomes part of lists, groups and ids.'
  if (!(Number.isInteger(version) && Number(version) >= 1 && Number(version) <= 1e9))
    return `give a version of 1 or more, a whole number; it is ${String(version)}.`
  if (typeof input?.['~standard']?.validate !== 'function')
    return 'give input a schema that follows Standard Schema, such as z.object({ ... }).'
  return deadlineMs === undefined ? null : timeMistake('deadlineMs', deadlineMs)
}

const isName = (name: unknown, pattern: RegExp): boolean => typeof name === 'string' && pattern.test(name)

/** A hundred years: longer is a mistake. Infinity and NaN would be null after a restart. */
const longestMs = 100 * 366 * 86_400_000

const timeMistake = (what: string, ms: unknown): Mistake =>
  typeof ms === 'number' && ms >= 0 && ms <= longestMs
    ? null
    : `${what} must be a number of milliseconds from 0 to a hundred years; it is ${String(ms)}.`

function retryMistake(what: string, { tries, firstMs, factor, maxMs, jitter }: RetryPolicy): Mistake {
  if (!(tries >= 1 && (Number.isInteger(tries) || tries === Infinity)))
    return `${what}: tries must be a whole number from 1, or Infinity; it is ${String(tries)}.`
  if (!(factor >= 1 && factor <= 1000)) return `${what}: factor must be 1 to 1000; it is ${String(factor)}.`
  if (!(jitter >= 0 && jitter <= 1)) return `${what}: jitter must be 0 to 1; it is ${String(jitter)}.`
  return timeMistake(`${what}: firstMs`, firstMs) ?? timeMistake(`${what}: maxMs`, maxMs)
}

interface StepOptions {
  readonly undo?: CommandContract | undefined
  readonly undoWith?: unknown
  readonly query?: CommandContract | undefined
  readonly queryWith?: unknown
  readonly onUnknown?: string | undefined
}

export function optionsMistake({ undo, undoWith, query, queryWith, onUnknown }: StepOptions): Mistake {
  if ((undo === undefined) !== (undoWith === undefined)) return 'give undo and undoWith together, or neither.'
  if ((query === undefined) !== (queryWith === undefined)) return 'give query and queryWith together, or neither.'
  if (onUnknown === 'query' && query === undefined)
    return "onUnknown 'query' has no settlement; give query and queryWith, or choose 'repeat', 'undo' or 'park'."
  if (onUnknown === 'undo' && undo?.safeOnNothing !== true)
    return "onUnknown 'undo' needs an undo that is safe where nothing was done (safeOnNothing); choose 'repeat', 'query' or 'park'."
  return null
}

type Saga = Pick<SagaDefinition, 'steps' | 'byName' | 'cancelDecidedBy' | 'follows'>

export function sagaMistake(saga: Saga): Mistake {
  const { steps, byName, cancelDecidedBy } = saga
  if (steps.length === 0) return 'it has no steps; add at least one.'
  for (const step of steps) {
    const twice = byName.get(step.name) !== step
    const mistake = twice
      ? 'there are two steps of this name; rename one.'
      : stepMistake(step, cancelDecidedBy !== null)
    if (mistake !== null) return `step ${step.name}: ${mistake}`
  }
  if (cancelDecidedBy !== null && byName.get(cancelDecidedBy)?.undo == null)
    return `cancelDecidedBy names ${cancelDecidedBy}, which has no undo; give it one or name another step.`
  return followsMistake(saga)
}

function stepMistake(step: StepDefinition, cancellable: boolean): Mistake {
  const { name, attemptMs, stepMs, thenCancelAfterMs } = step
  if (!isName(name, /^[\w-]{1,100}$/))
    return 'use at most 100 letters, digits, - and _ in its name; it becomes part of command ids.'
  if (name in {}) return 'every JavaScript object has something of this name already; choose another.'
  return (
    shapeMistake(step) ??
    retryMistake('retry', step.retry) ??
    retryMistake('undoRetry', step.undoRetry) ??
    timeMistake(step.do === null ? 'withinMs' : 'attemptMs', attemptMs) ??
    timeMistake('stepMs', stepMs ?? 0) ??
    timeMistake('thenCancelAfterMs', thenCancelAfterMs ?? 0) ??
    placeMistake(step, cancellable)
  )
}

const allowed = {
  effect: ['some', 'none'],
  onUnknown: ['repeat', 'query', 'undo', 'park'],
  onRejected: ['undo', 'retry'],
  onExhausted: ['stop', 'continue'],
} as const

/** What the types forbid. */
function shapeMistake(step: StepDefinition): Mistake {
  for (const [option, values] of Object.entries(allowed)) {
    const value: string = step[option as keyof typeof allowed]
    if (!(values as readonly string[]).includes(value))
      return `${option} is ${JSON.stringify(value)}; use ${values.map((each) => `'${each}'`).join(', ')}.`
  }
  const functions = ['with', 'undoWith', 'queryWith', 'keep'] as const
  const missing = functions.find((name) => typeof step[name] !== 'function')
  if (missing !== undefined) return `${missing} must be a function.`
  const commands = [step.do, step.undo, step.query].filter((command) => command !== null)
  if (commands.some((command) => typeof (command as Partial<CommandContract>).tombstones !== 'boolean'))
    return 'do, undo and query must be commands that a participantContract made.'
  if (step.do === null && typeof step.event?.type !== 'string')
    return "it waits for no event: give for: { type: '...', data: schema }."
  if (step.do?.answered === false && step.do.done.type !== '')
    return 'an undo may stay without an answer, but what is done tells what later steps need; declare it with .notice().'
  if (step.do?.rejectedInPart === true) return partMistake(step)
  return null
}

/** Of one who keeps nothing by its id, each repeat might leave another part behind. */
function partMistake({ do: command, undo, onUnknown, onRejected }: StepDefinition): Mistake {
  if (undo?.safeOnNothing !== true)
    return 'a refusal may leave a part of it behind (rejectedInPart); give it an undo that is safe where nothing was done (safeOnNothing).'
  if (command?.tombstones === true || (onRejected === 'undo' && (onUnknown === 'undo' || onUnknown === 'park')))
    return null
  return "a refusal may leave a part of it behind (rejectedInPart), so it is asked once: set onUnknown to 'undo' or 'park', and leave onRejected at 'undo'."
}

function placeMistake({ place, effect, undo, ...step }: StepDefinition, cancellable: boolean): Mistake {
  const undoneWhenRefused = place === 'pivot' && step.do?.rejectedInPart === true
  const continues = step.onExhausted === 'continue'
  if (effect === 'none' && undo !== null) return "it has an undo, and says effect: 'none'; remove one of them."
  if (place === 'before' && undo === null && effect !== 'none')
    return "it has no undo, so that a failure after it would leave its effect behind. Give undo and undoWith, declare effect: 'none' where it only reads, or make it the point of no return by .pivot()."
  if (place !== 'before' && undo !== null && !cancellable && !undoneWhenRefused)
    return 'it stands at or after the pivot and has an undo that nothing would ever send; remove the undo, move the step before .pivot(), or declare .end({ cancelDecidedBy }).'
  if (place === 'after' && step.do?.rejected != null && step.onRejected === 'undo')
    return "it stands after the pivot and may be rejected; set onRejected: 'retry', or move it before .pivot()."
  if (place === 'after' && step.do === null && !continues)
    return "it waits after the pivot and its deadline would reject it; set onExhausted: 'continue', or move it before .pivot()."
  if (place === 'after' && step.onUnknown === 'undo')
    return "it stands after the pivot, where nothing is undone; choose 'repeat', 'query' or 'park'."
  if (place === 'pivot' && step.onUnknown === 'undo')
    return "the pivot's unknown outcome cannot be settled by 'undo'; use 'repeat', 'query' or 'park'."
  if (place !== 'after' && continues && step.do !== null)
    return "onExhausted 'continue' is for steps after the pivot; remove it, or move the step behind .pivot()."
  if (step.thenCancelAfterMs !== null && (!cancellable || !continues))
    return "thenCancelAfterMs needs onExhausted: 'continue' on the step and .end({ cancelDecidedBy }) on the saga."
  return null
}

function followsMistake({ follows, byName, cancelDecidedBy }: Saga): Mistake {
  for (const { event, reaction } of follows) {
    const type = String((event as typeof event | undefined)?.type)
    if (reaction.kind === 'cancel') continue
    if (reaction.kind !== 'ask') return `what follows ${type} must be 'cancel' or 'ask'.`
    const step = byName.get(reaction.step)
    if (step?.place !== 'after' || step.do === null)
      return `${type} asks ${String(reaction.step)} again, which is no command after the pivot; name one that is.`
    if (reaction.withinMs !== null && cancelDecidedBy === null)
      return `what follows ${type} would cancel after completion: declare .end({ cancelDecidedBy }).`
    const late = timeMistake(`withinMs of what follows ${type}`, reaction.withinMs ?? 0)
    if (late !== null) return late
  }
  return null
}
