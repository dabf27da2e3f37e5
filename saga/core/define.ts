/**
 * Declares a saga with types: each payload function sees the input and the answers of earlier steps, each typed by its
 * contract, so a wrong name does not compile. What types cannot see is checked here, once, when the saga is declared.
 */
import type { CommandContract, EventContract, Schema } from './contract.ts'
import type { SagaDefinition, Settlement, StepDefinition } from './definition.ts'
import { DefinitionError } from './definition.ts'
import type { RetryPolicy } from './retry.ts'
import { defaultRetry } from './retry.ts'

export interface StepContext<Input, Replies> {
  readonly sagaId: string
  readonly commandId: string
  readonly input: Input
  readonly replies: Readonly<Replies>
  /** When the step was first asked, Unix milliseconds: the same on every repeat. */
  readonly since: number
}

export interface UndoStepContext<Input, Replies, Kept> extends StepContext<Input, Replies> {
  /** The step's own answer; undefined where it never came. */
  readonly reply: Kept | undefined
  /** Why the saga is undone. */
  readonly reason: string
}

interface Timing {
  /** Attempts and pauses; 8 tries from 0.2 s to 30 s where none is given. */
  readonly retry?: RetryPolicy
  readonly undoRetry?: RetryPolicy
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
  readonly do: CommandContract<Payload, Data>
  readonly with: (context: StepContext<Input, Replies>) => NoInfer<Payload>
  readonly undo?: CommandContract<Undo>
  readonly undoWith?: (context: UndoStepContext<Input, Replies, NoInfer<Kept>>) => NoInfer<Undo>
  /** How an unknown outcome is settled: `repeat` under the same id (the default), `query`, `undo`, or `park`. */
  readonly onUnknown?: Settlement
  /** Asks whether the command took effect: done with its data, or refused where it (yet) did not. */
  readonly query?: CommandContract<Query, NoInfer<Data>>
  readonly queryWith?: (context: StepContext<Input, Replies>) => NoInfer<Query>
  /** `retry` tries a refused command again under a new id; `undo` (the default) makes the saga undo itself. */
  readonly onRejected?: 'undo' | 'retry'
  /** After the pivot, when the tries are used up: `stop` and park (the default), or `continue` without. */
  readonly onExhausted?: Exhausted
  /** With `continue`: the saga cancels itself this many milliseconds after the step was first asked (rule 12). */
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

export interface SagaOptions<Input> {
  readonly version: number
  readonly input: Schema<Input>
  /** Whole-saga deadline in milliseconds. */
  readonly deadlineMs?: number
}

export interface EndOptions<Input, Replies> {
  /** Design rule 12: it may be cancelled after completion; this step's undo is sent first and decides. */
  readonly cancelDecidedBy?: keyof Replies & string
  /** What the business calls this saga, for lists. */
  readonly businessKey?: (context: {
    readonly input: Input
    readonly replies: Partial<Replies>
  }) => string | null | undefined
}

/**
 * Starts a saga declaration; `.end()` gives the definition.
 *
 * @throws DefinitionError from the step, group or end that holds a mistake, saying what to change
 */
export function defineSaga<Input>(name: string, options: SagaOptions<Input>): SagaBuilder<Input, unknown> {
  if (!Number.isInteger(options.version) || options.version < 1)
    throw new DefinitionError(
      `Saga ${name}: give a version of 1 or more, a whole number; it is ${String(options.version)}.`,
    )
  return new SagaBuilder<Input, unknown>(name, options, [], null)
}

/** A step before its place in the saga is known. */
type Draft = Omit<StepDefinition, 'index' | 'stage' | 'place'>

/** Collects steps; each call gives a new builder, so a common beginning can be shared. */
export class SagaBuilder<Input, Replies> {
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
  ): SagaBuilder<Input, Replies & { readonly [K in Name]: Answered<Kept, Exhausted> }> {
    return this.#with([commandStep(name, options as unknown as ErasedStepOptions)])
  }

  /** Adds a step that waits for an event from outside. It sends nothing and has nothing to undo. */
  wait<Name extends string, Data, Exhausted extends 'stop' | 'continue' = 'stop'>(
    name: Name,
    options: WaitOptions<Data, Exhausted>,
  ): SagaBuilder<Input, Replies & { readonly [K in Name]: Answered<Data, Exhausted> }> {
    return this.#with([waitStep(name, options)])
  }

  /** Adds steps that run side by side. The saga goes on when each of them is settled. */
  parallel<Added>(
    group: (steps: GroupBuilder<Input, Replies, unknown>) => GroupBuilder<Input, Replies, Added>,
  ): SagaBuilder<Input, Replies & Added> {
    const drafts = group(new GroupBuilder<Input, Replies, unknown>([])).drafts
    if (drafts.length === 0) this.#fail('a parallel group needs at least one step; add one or remove the group.')
    return this.#with(drafts)
  }

  /** Makes the step just added the point of no return: what comes after it is only retried, never undone. */
  pivot(): SagaBuilder<Input, Replies> {
    const last = this.#stages.at(-1)
    if (this.#pivot !== null) this.#fail('it has two pivots; remove one.')
    if (last === undefined || last.length !== 1) this.#fail('the pivot must follow a single step, which then decides.')
    if (last?.[0]?.do === null) this.#fail('a step that waits cannot be the pivot; put .pivot() after a command.')
    return new SagaBuilder(this.#name, this.#options, this.#stages, this.#stages.length - 1)
  }

  /** Checks the whole and gives the definition. */
  end(options: EndOptions<Input, Replies> = {}): SagaDefinition<Input> {
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
    for (const step of steps) this.#check(step, steps, cancelDecidedBy !== null)
    if (cancelDecidedBy !== null && steps.find((step) => step.name === cancelDecidedBy)?.undo === null)
      this.#fail(`cancelDecidedBy names ${cancelDecidedBy}, which has no undo; give it one or name another step.`)
    const businessKey = options.businessKey as ((context: unknown) => string | null | undefined) | undefined
    return Object.freeze({
      name: this.#name,
      version: this.#options.version,
      input: this.#options.input as Schema<Input>,
      deadlineMs: this.#options.deadlineMs ?? null,
      businessKey: (context: unknown) => businessKey?.(context) ?? null,
      stages,
      steps,
      byName: new Map(steps.map((step) => [step.name, step])),
      cancelDecidedBy,
    })
  }

  #with(drafts: readonly Draft[]): SagaBuilder<Input, never> {
    return new SagaBuilder(this.#name, this.#options, [...this.#stages, drafts], this.#pivot)
  }

  #check(step: StepDefinition, all: readonly StepDefinition[], cancellable: boolean): void {
    const fail = (why: string): never => this.#fail(`step ${step.name}: ${why}`)
    if (!/^[\w-]+$/.test(step.name))
      fail('use only letters, digits, - and _ in its name; it becomes part of command ids.')
    if (step.name in {}) fail('every JavaScript object has something of this name already; choose another.')
    if (all.some((other) => other.name === step.name && other.index < step.index))
      fail('there are two steps of this name; rename one.')
    checkTiming(step, fail)
    if (step.place !== 'before' && step.undo !== null && !cancellable)
      fail(
        'it stands at or after the pivot and has an undo that nothing would ever send; remove the undo, move the step before .pivot(), or declare .end({ cancelDecidedBy }).',
      )
    if (step.place === 'after') checkAfterPivot(step, fail)
    else if (step.onExhausted === 'continue' && step.do !== null)
      fail("onExhausted 'continue' is for steps after the pivot; remove it, or move the step behind .pivot().")
    if (step.thenCancelAfterMs !== null && (!cancellable || step.onExhausted !== 'continue'))
      fail("thenCancelAfterMs needs onExhausted: 'continue' on the step and .end({ cancelDecidedBy }) on the saga.")
    if (step.place === 'pivot' && step.onUnknown === 'undo')
      fail("the pivot's unknown outcome cannot be settled by 'undo'; use 'repeat', 'query' or 'park'.")
  }

  #fail(why: string): never {
    throw new DefinitionError(`Saga ${this.#name}: ${why}`)
  }
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
  const retry = options.retry ?? defaultRetry
  return {
    name,
    do: options.do,
    with: options.with,
    undo: options.undo ?? null,
    undoWith: options.undoWith ?? nothing,
    query: options.query ?? null,
    queryWith: options.queryWith ?? nothing,
    event: null,
    onUnknown,
    onRejected: options.onRejected ?? 'undo',
    onExhausted: options.onExhausted ?? 'stop',
    thenCancelAfterMs: options.thenCancelAfterMs ?? null,
    retry,
    undoRetry: options.undoRetry ?? retry,
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

function checkTiming(step: StepDefinition, fail: (why: string) => never): void {
  for (const policy of [step.retry, step.undoRetry])
    if (!(
      policy.tries >= 1 &&
      policy.firstMs >= 0 &&
      policy.maxMs >= 0 &&
      policy.factor >= 1 &&
      policy.jitter >= 0 &&
      policy.jitter <= 1
    ))
      fail('its retry policy needs tries >= 1, pauses >= 0, factor >= 1 and jitter from 0 to 1.')
  if (!(step.attemptMs >= 0) || (step.stepMs !== null && !(step.stepMs >= 0)))
    fail('its times must be numbers of milliseconds, 0 or more.')
}

function checkAfterPivot(step: StepDefinition, fail: (why: string) => never): void {
  if (step.do !== null && step.do.rejected !== null && step.onRejected === 'undo')
    fail("it stands after the pivot and may be rejected; set onRejected: 'retry', or move it before .pivot().")
  if (step.do === null && step.onExhausted === 'stop')
    fail(
      "it waits after the pivot and its deadline would reject it; set onExhausted: 'continue', or move it before .pivot().",
    )
  if (step.onUnknown === 'undo')
    fail("it stands after the pivot, where nothing is undone; choose 'repeat', 'query' or 'park'.")
}
