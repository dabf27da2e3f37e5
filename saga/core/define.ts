/**
 * Declares a saga with types: each payload function sees the input and the answers of earlier steps, each typed by its
 * contract, so a wrong name does not compile. What types cannot see is checked here, once, when the saga is declared.
 */
import type { CommandContract, EventContract, Schema } from './contract.ts'
import type { Follow, SagaDefinition, Settlement, StepContext, StepDefinition, UndoContext } from './definition.ts'
import { DefinitionError } from './definition.ts'
import type { RetryPolicy } from './retry.ts'
import { defaultRetry } from './retry.ts'
import { structureKey, structureOf } from './structure.ts'
import { whyNoTime, whyNoRetry } from './timing.ts'

interface Timing {
  /** Attempts and pauses; 8 tries from 0.2 s to 30 s, as far as nothing else is given. */
  readonly retry?: Partial<RetryPolicy>
  /** Of the undo; as `retry`, as far as nothing else is given. */
  readonly undoRetry?: Partial<RetryPolicy>
  /** Milliseconds one attempt may take before its outcome counts as unknown; 10,000 where none is given. */
  readonly attemptMs?: number
  /** Milliseconds all attempts together may take. */
  readonly stepMs?: number
}

export interface StepOptions<
  Input,
  Replies,
  Payload,
  Data,
  Kept,
  Undo,
  Query,
  Exhausted extends 'stop' | 'continue',
> extends Timing {
  readonly do: CommandContract<Payload, Data, unknown, unknown>
  readonly with: (context: StepContext<Input, Replies>) => NoInfer<Payload>
  readonly undo?: CommandContract<Undo, unknown, unknown, unknown>
  readonly undoWith?: (context: UndoContext<Input, Replies, NoInfer<Kept>>) => NoInfer<Undo>
  /**
   * `none` says that it only reads: whatever became of it, nothing is to be undone. Before the pivot a step has an undo or says
   * this.
   */
  readonly effect?: 'none'
  /** How an unknown outcome is settled: `repeat` under the same id (the default), `query`, `undo`, or `park`. */
  readonly onUnknown?: Settlement
  /** Asks whether the command took effect: done with its data, or refused where it (yet) did not. */
  readonly query?: CommandContract<Query, NoInfer<Data>, unknown, unknown>
  readonly queryWith?: (context: StepContext<Input, Replies>) => NoInfer<Query>
  /** `retry` tries a refused command again under a new id; `undo` (the default) makes the saga undo itself. */
  readonly onRejected?: 'undo' | 'retry'
  /** After the pivot, when the tries are used up: `stop` and park (the default), or `continue` without. */
  readonly onExhausted?: Exhausted
  /** With `continue`: the saga cancels itself this many milliseconds after the step was first asked. */
  readonly thenCancelAfterMs?: number
  /**
   * The part of the answer that later steps use; all of it where none is given. Write it before `undoWith`: TypeScript
   * reads the options in order, and types `reply` there by what it has seen.
   */
  readonly keep?: (reply: Data) => Kept
}

export interface WaitOptions<Data, Exhausted extends 'stop' | 'continue'> {
  readonly for: EventContract<Data>
  /** Milliseconds to wait. Without the event in time the step is rejected (`stop`), or the saga goes on (`continue`). */
  readonly withinMs: number
  readonly onExhausted?: Exhausted
}

type Answered<Data, Exhausted> = Exhausted extends 'continue' ? Data | undefined : Data

export interface SagaOptions<Input, Given = unknown> {
  readonly version: number
  /** Checks what a saga is started with; its steps see what the schema makes of that. */
  readonly input: Schema<Input, Given>
  /** Whole-saga deadline in milliseconds. */
  readonly deadlineMs?: number
}

export interface EndOptions<Input, Replies> {
  /** It may be cancelled after completion; this step's undo is sent first and decides. */
  readonly cancelDecidedBy?: keyof Replies & string
  /** What the business calls this saga, for lists. */
  readonly businessKey?: (context: {
    readonly input: Input
    readonly replies: Partial<Replies>
  }) => string | null | undefined
  /** What follows events that no step waits for, while the saga runs and after it has completed. */
  readonly follows?: readonly FollowOptions<Replies>[]
}

export type FollowOptions<Replies> = {
  readonly event: EventContract
  /** Who is said to have asked for a cancel, and why. */
  readonly by: string
  readonly reason: string
} & (
  | { readonly then: 'cancel' }
  | {
      /** A step after the pivot is asked again, under a new id, once the saga is complete. */
      readonly then: 'ask'
      readonly step: keyof Replies & string
      /** Later than this many milliseconds after the step was first asked, the saga cancels instead. */
      readonly withinMs?: number
    }
)

/**
 * Starts a saga declaration; `.end()` gives the definition.
 *
 * @throws DefinitionError from the step, group or end that holds a mistake, saying what to change
 */
export function defineSaga<Input, Given = Input>(
  name: string,
  options: SagaOptions<Input, Given>,
): SagaBuilder<Input, unknown, Given> {
  const fail = (why: string): never => {
    throw new DefinitionError(`Saga ${String(name)}: ${why}`)
  }
  if (typeof name !== 'string' || !/^[\w.-]{1,100}$/.test(name))
    fail('use at most 100 letters, digits, dots, - and _ in its name; it becomes part of lists, groups and ids.')
  if (!Number.isSafeInteger(options?.version) || options.version < 1 || options.version > 1e9)
    fail(`give a version of 1 or more, a whole number; it is ${String(options?.version)}.`)
  if (typeof (options.input as typeof options.input | undefined)?.['~standard']?.validate !== 'function')
    fail('give input a schema that follows Standard Schema, such as z.object({ ... }).')
  const why = options.deadlineMs === undefined ? null : whyNoTime(options.deadlineMs)
  if (why !== null) fail(`deadlineMs ${why}.`)
  return new SagaBuilder<Input, unknown, Given>(name, options, [], null)
}

/** A step before its place in the saga is known. */
type Draft = Omit<StepDefinition, 'index' | 'stage' | 'place'>

/** Collects steps; each call gives a new builder, so a common beginning can be shared. */
export class SagaBuilder<Input, Replies, Given = Input> {
  readonly #name: string
  readonly #options: SagaOptions<unknown>
  readonly #stages: readonly (readonly Draft[])[]
  readonly #pivot: number | null

  constructor(
    name: string,
    options: SagaOptions<unknown>,
    stages: readonly (readonly Draft[])[],
    pivot: number | null,
  ) {
    this.#name = name
    this.#options = options
    this.#stages = stages
    this.#pivot = pivot
  }

  /** Adds a step: a command, and how to undo it. */
  step<
    Name extends string,
    Payload,
    Data,
    Kept = Data,
    Undo = never,
    Query = never,
    Exhausted extends 'stop' | 'continue' = 'stop',
  >(
    name: Name,
    options: StepOptions<Input, Replies, Payload, Data, Kept, Undo, Query, Exhausted>,
  ): SagaBuilder<Input, Replies & { readonly [K in Name]: Answered<Kept, Exhausted> }, Given> {
    return this.#with([commandStep(name, options as unknown as ErasedStepOptions)])
  }

  /** Adds a step that waits for an event from outside. It sends nothing and has nothing to undo. */
  wait<Name extends string, Data, Exhausted extends 'stop' | 'continue' = 'stop'>(
    name: Name,
    options: WaitOptions<Data, Exhausted>,
  ): SagaBuilder<Input, Replies & { readonly [K in Name]: Answered<Data, Exhausted> }, Given> {
    return this.#with([waitStep(name, options)])
  }

  /** Adds steps that run side by side. The saga goes on when each of them is settled. */
  parallel<Added>(
    group: (steps: GroupBuilder<Input, Replies, unknown>) => GroupBuilder<Input, Replies, Added>,
  ): SagaBuilder<Input, Replies & Added, Given> {
    const drafts = group(new GroupBuilder<Input, Replies, unknown>([])).drafts
    if (drafts.length === 0) this.#fail('a parallel group needs at least one step; add one or remove the group.')
    return this.#with(drafts)
  }

  /** Makes the step just added the point of no return: what comes after it is only retried, never undone. */
  pivot(): SagaBuilder<Input, Replies, Given> {
    const last = this.#stages.at(-1)
    if (this.#pivot !== null) this.#fail('it has two pivots; remove one.')
    if (last === undefined || last.length !== 1) this.#fail('the pivot must follow a single step, which then decides.')
    if (last?.[0]?.do === null) this.#fail('a step that waits cannot be the pivot; put .pivot() after a command.')
    return new SagaBuilder(this.#name, this.#options, this.#stages, this.#stages.length - 1)
  }

  /** Checks the whole and gives the definition. */
  end(options: EndOptions<Input, Replies> = {}): SagaDefinition<Given, Replies> {
    const pivot = this.#pivot ?? Infinity
    let index = 0
    const stages = this.#stages.map((drafts, stage) =>
      drafts.map((draft): StepDefinition => {
        const place = stage < pivot ? 'before' : stage === pivot ? 'pivot' : 'after'
        return Object.freeze({ ...draft, index: index++, stage, place })
      }),
    )
    const steps = stages.flat()
    const cancelDecidedBy = options.cancelDecidedBy ?? null
    if (steps.length === 0) this.#fail('it has no steps; add at least one.')
    const names = new Set<string>()
    for (const step of steps) {
      if (names.has(step.name)) this.#fail(`step ${step.name}: there are two steps of this name; rename one.`)
      names.add(step.name)
      checkStep(step, cancelDecidedBy !== null, (why) => this.#fail(`step ${step.name}: ${why}`))
    }
    const byName = new Map(steps.map((step) => [step.name, step]))
    if (cancelDecidedBy !== null && byName.get(cancelDecidedBy)?.undo == null)
      this.#fail(`cancelDecidedBy names ${cancelDecidedBy}, which has no undo; give it one or name another step.`)
    const follows = (options.follows ?? []).map((each) => this.#follow(each, byName, cancelDecidedBy))
    const businessKey = options.businessKey as ((context: unknown) => unknown) | undefined
    const definition: Omit<SagaDefinition, 'structure' | 'structureKey'> = {
      name: this.#name,
      version: this.#options.version,
      input: this.#options.input,
      deadlineMs: this.#options.deadlineMs ?? null,
      businessKey: (context: unknown) => businessKey?.(context) ?? null,
      stages,
      steps,
      byName,
      byAnswer: byType(steps, answersOf),
      byEvent: byType(steps, ({ event }) => (event === null ? [] : [event.type])),
      cancelDecidedBy,
      follows,
    }
    const structure = structureOf(definition)
    return Object.freeze({ ...definition, structure, structureKey: structureKey(structure) }) as SagaDefinition<
      Given,
      Replies
    >
  }

  #follow(
    follow: FollowOptions<Replies>,
    steps: ReadonlyMap<string, StepDefinition>,
    cancelDecidedBy: string | null,
  ): Follow {
    const { event, by, reason } = follow
    const type = String((event as Follow['event'] | undefined)?.type)
    if (follow.then === 'cancel') return { event, then: { kind: 'cancel' }, by, reason }
    if (follow.then !== 'ask') return this.#fail(`what follows ${type} must be 'cancel' or 'ask'.`)
    const { step: name, withinMs = null } = follow
    const step = steps.get(name)
    if (step?.place !== 'after' || step.do === null)
      this.#fail(`${type} asks ${String(name)} again, which is no command after the pivot; name one that is.`)
    const why = withinMs === null ? null : whyNoTime(withinMs)
    if (why !== null) this.#fail(`withinMs of what follows ${type} ${why}.`)
    if (withinMs !== null && cancelDecidedBy === null)
      this.#fail(`what follows ${type} would cancel after completion: declare .end({ cancelDecidedBy }).`)
    return { event, then: { kind: 'ask', step: name, withinMs }, by, reason }
  }

  #with(drafts: readonly Draft[]): SagaBuilder<Input, never, Given> {
    return new SagaBuilder(this.#name, this.#options, [...this.#stages, drafts], this.#pivot)
  }

  #fail(why: string): never {
    throw new DefinitionError(`Saga ${this.#name}: ${why}`)
  }
}

const answersOf = (step: StepDefinition): readonly string[] =>
  [step.do, step.undo, step.query]
    .flatMap((command) => (command === null ? [] : [command.done.type, command.rejected?.type ?? '']))
    .filter((type) => type !== '')

function byType(
  steps: readonly StepDefinition[],
  typesOf: (step: StepDefinition) => readonly string[],
): ReadonlyMap<string, readonly StepDefinition[]> {
  const found = new Map<string, StepDefinition[]>()
  for (const step of steps)
    for (const type of new Set(typesOf(step))) {
      const list = found.get(type)
      if (list === undefined) found.set(type, [step])
      else list.push(step)
    }
  return found
}

/** Collects the steps of one parallel group; they see the answers of what came before the group. */
export class GroupBuilder<Input, Replies, Added> {
  readonly drafts: readonly Draft[]

  constructor(drafts: readonly Draft[]) {
    this.drafts = drafts
  }

  step<
    Name extends string,
    Payload,
    Data,
    Kept = Data,
    Undo = never,
    Query = never,
    Exhausted extends 'stop' | 'continue' = 'stop',
  >(
    name: Name,
    options: StepOptions<Input, Replies, Payload, Data, Kept, Undo, Query, Exhausted>,
  ): GroupBuilder<Input, Replies, Added & { readonly [K in Name]: Answered<Kept, Exhausted> }> {
    return new GroupBuilder([...this.drafts, commandStep(name, options as unknown as ErasedStepOptions)])
  }

  wait<Name extends string, Data, Exhausted extends 'stop' | 'continue' = 'stop'>(
    name: Name,
    options: WaitOptions<Data, Exhausted>,
  ): GroupBuilder<Input, Replies, Added & { readonly [K in Name]: Answered<Data, Exhausted> }> {
    return new GroupBuilder([...this.drafts, waitStep(name, options)])
  }
}

type ErasedStepOptions = StepOptions<unknown, unknown, unknown, unknown, unknown, unknown, unknown, 'stop' | 'continue'>

/** Without what is given as undefined. */
const given = (policy: Partial<RetryPolicy> | undefined): Partial<RetryPolicy> =>
  Object.fromEntries(Object.entries(policy ?? {}).filter(([, value]) => value !== undefined))

const nothing = (): null => null
const itself = (reply: unknown): unknown => reply

function commandStep(name: string, options: ErasedStepOptions): Draft {
  const fail = (why: string): never => {
    throw new DefinitionError(`Step ${name}: ${why}`)
  }
  if ((options.undo === undefined) !== (options.undoWith === undefined))
    fail('give undo and undoWith together, or neither.')
  if ((options.query === undefined) !== (options.queryWith === undefined))
    fail('give query and queryWith together, or neither.')
  const onUnknown = options.onUnknown ?? 'repeat'
  if (onUnknown === 'query' && options.query === undefined)
    fail("onUnknown 'query' has no settlement; give query and queryWith, or choose 'repeat', 'undo' or 'park'.")
  if (onUnknown === 'undo' && options.undo?.safeOnNothing !== true)
    fail(
      "onUnknown 'undo' needs an undo that is safe where nothing was done (safeOnNothing); choose 'repeat', 'query' or 'park'.",
    )
  const retry = { ...defaultRetry, ...given(options.retry) }
  return {
    name,
    do: options.do,
    with: options.with,
    undo: options.undo ?? null,
    undoWith: options.undoWith ?? nothing,
    query: options.query ?? null,
    queryWith: options.queryWith ?? nothing,
    event: null,
    effect: options.effect ?? 'some',
    onUnknown,
    onRejected: options.onRejected ?? 'undo',
    onExhausted: options.onExhausted ?? 'stop',
    thenCancelAfterMs: options.thenCancelAfterMs ?? null,
    retry,
    undoRetry: { ...retry, ...given(options.undoRetry) },
    attemptMs: options.attemptMs ?? 10_000,
    stepMs: options.stepMs ?? null,
    keep: options.keep ?? itself,
  }
}

function waitStep(name: string, options: WaitOptions<unknown, 'stop' | 'continue'>): Draft {
  return {
    name,
    do: null,
    with: nothing,
    undo: null,
    undoWith: nothing,
    query: null,
    queryWith: nothing,
    event: options.for,
    effect: 'none',
    onUnknown: 'repeat',
    onRejected: 'undo',
    onExhausted: options.onExhausted ?? 'stop',
    thenCancelAfterMs: null,
    retry: { ...defaultRetry, tries: 1 },
    undoRetry: defaultRetry,
    attemptMs: options.withinMs,
    stepMs: null,
    keep: itself,
  }
}

type Fail = (why: string) => never

function checkStep(step: StepDefinition, cancellable: boolean, fail: Fail): void {
  if (typeof step.name !== 'string' || !/^[\w-]{1,100}$/.test(step.name))
    fail('use at most 100 letters, digits, - and _ in its name; it becomes part of command ids.')
  if (step.name in {}) fail('every JavaScript object has something of this name already; choose another.')
  checkOptions(step, fail)
  checkTimes(step, fail)
  checkUndo(step, cancellable, fail)
  if (step.place === 'after') checkAfterPivot(step, fail)
  else if (step.onExhausted === 'continue' && step.do !== null)
    fail("onExhausted 'continue' is for steps after the pivot; remove it, or move the step behind .pivot().")
  if (step.thenCancelAfterMs !== null && (!cancellable || step.onExhausted !== 'continue'))
    fail("thenCancelAfterMs needs onExhausted: 'continue' on the step and .end({ cancelDecidedBy }) on the saga.")
  if (step.place === 'pivot' && step.onUnknown === 'undo')
    fail("the pivot's unknown outcome cannot be settled by 'undo'; use 'repeat', 'query' or 'park'.")
}

const allowed = {
  effect: ['some', 'none'],
  onUnknown: ['repeat', 'query', 'undo', 'park'],
  onRejected: ['undo', 'retry'],
  onExhausted: ['stop', 'continue'],
} as const

/** What the types forbid may come from JavaScript, or from a value that was cast. */
function checkOptions(step: StepDefinition, fail: Fail): void {
  for (const [option, values] of Object.entries(allowed)) {
    const value = step[option as keyof typeof allowed]
    if (!(values as readonly string[]).includes(value))
      fail(`${option} is ${JSON.stringify(value)}; use ${values.map((each) => `'${each}'`).join(', ')}.`)
  }
  for (const name of ['with', 'undoWith', 'queryWith', 'keep'] as const)
    if (typeof step[name] !== 'function') fail(`${name} must be a function.`)
  const commands = [step.do, step.undo, step.query].filter((command) => command !== null)
  if (commands.some((command) => typeof command.type !== 'string' || typeof command.belongs !== 'function'))
    fail('do, undo and query must be commands that a participantContract made.')
  if (step.do === null && typeof step.event?.type !== 'string')
    fail("it waits for no event: give for: { type: '...', data: schema }.")
  if (step.do?.answered === false && step.do.done.type !== '')
    fail('an undo may stay without an answer, but what is done tells what later steps need; declare it with .notice().')
}

function checkTimes(step: StepDefinition, fail: Fail): void {
  for (const [name, policy] of Object.entries({ retry: step.retry, undoRetry: step.undoRetry })) {
    const why = whyNoRetry(policy)
    if (why !== null) fail(`${name}: ${why}.`)
  }
  const { attemptMs, stepMs, thenCancelAfterMs } = step
  for (const [name, ms] of Object.entries({
    [step.do === null ? 'withinMs' : 'attemptMs']: attemptMs,
    stepMs,
    thenCancelAfterMs,
  })) {
    const why = ms === null ? null : whyNoTime(ms)
    if (why !== null) fail(`${name} ${why}.`)
  }
}

function checkUndo(step: StepDefinition, cancellable: boolean, fail: Fail): void {
  if (step.effect === 'none' && step.undo !== null) fail("it has an undo, and says effect: 'none'; remove one of them.")
  if (step.place === 'before' && step.undo === null && step.effect !== 'none')
    fail(
      "it has no undo, so that a failure after it would leave its effect behind. Give undo and undoWith, declare effect: 'none' where it only reads, or make it the point of no return by .pivot().",
    )
  if (step.place !== 'before' && step.undo !== null && !cancellable)
    fail(
      'it stands at or after the pivot and has an undo that nothing would ever send; remove the undo, move the step before .pivot(), or declare .end({ cancelDecidedBy }).',
    )
}

function checkAfterPivot(step: StepDefinition, fail: Fail): void {
  if (step.do !== null && step.do.rejected !== null && step.onRejected === 'undo')
    fail("it stands after the pivot and may be rejected; set onRejected: 'retry', or move it before .pivot().")
  if (step.do === null && step.onExhausted === 'stop')
    fail(
      "it waits after the pivot and its deadline would reject it; set onExhausted: 'continue', or move it before .pivot().",
    )
  if (step.onUnknown === 'undo')
    fail("it stands after the pivot, where nothing is undone; choose 'repeat', 'query' or 'park'.")
}
