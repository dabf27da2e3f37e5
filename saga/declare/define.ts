/**
 * Declares a saga with types: each payload function sees the input and the answers of earlier steps, each typed by its
 * contract, so a wrong name does not compile. What types cannot see is checked here, once, when the saga is declared.
 */
import { headMistake, optionsMistake, sagaMistake } from './mistakes.ts'
import { answerTypes, type CommandContract, type EventContract, type Schema } from '../core/contract.ts'
import type {
  Follow,
  SagaDefinition,
  Settlement,
  StepContext,
  StepDefinition,
  UndoContext,
} from '../core/definition.ts'
import { DefinitionError } from '../core/definition.ts'
import type { RetryPolicy } from '../core/retry.ts'
import { defaultRetry } from '../core/retry.ts'
import { structureKey, structureOf } from './structure.ts'

export interface Timing {
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

export type Answered<Data, Exhausted> = Exhausted extends 'continue' ? Data | undefined : Data

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
  | { readonly reaction: 'cancel' }
  | {
      /** A step after the pivot is asked again, under a new id, once the saga is complete. */
      readonly reaction: 'ask'
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
  const mistake = headMistake(name, options)
  if (mistake !== null) throw new DefinitionError(`Saga ${String(name)}: ${mistake}`)
  return new SagaBuilder(name, options, [], null)
}

/** A step before its place in the saga is known. */
export type Draft = Omit<StepDefinition, 'index' | 'stage' | 'place'>

export type Kind = 'saga' | 'group'
export type Named<Name extends string, Reply> = { readonly [K in Name]: Reply }

/**
 * Collects steps; each call gives a new builder, so a common beginning can be shared. `Seen` is what the next step's functions
 * see: all answers so far, or, within a parallel group, those from before it.
 */
export class SagaBuilder<Input, Seen, Given = Input, All = Seen, Of extends Kind = 'saga'> {
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
    options: StepOptions<Input, Seen, Payload, Data, Kept, Undo, Query, Exhausted>,
  ): After<Input, Seen, Given, All, Of, Named<Name, Answered<Kept, Exhausted>>> {
    return this.#with([commandStep(name, options as unknown as ErasedStepOptions)])
  }

  /** Adds a step that waits for an event from outside. It sends nothing and has nothing to undo. */
  wait<Name extends string, Data, Exhausted extends 'stop' | 'continue' = 'stop'>(
    name: Name,
    options: WaitOptions<Data, Exhausted>,
  ): After<Input, Seen, Given, All, Of, Named<Name, Answered<Data, Exhausted>>> {
    return this.#with([waitStep(name, options)])
  }

  /** Adds steps that run side by side. The saga goes on when each of them is settled. */
  parallel<Added>(
    this: SagaBuilder<Input, Seen, Given, All>,
    group: (
      steps: SagaBuilder<Input, Seen, Given, unknown, 'group'>,
    ) => SagaBuilder<Input, Seen, Given, Added, 'group'>,
  ): SagaBuilder<Input, Seen & Added, Given, All & Added> {
    const drafts = group(new SagaBuilder(this.#name, this.#options, [], null)).#stages.flat()
    if (drafts.length === 0) this.#fail('a parallel group needs at least one step; add one or remove the group.')
    return this.#with(drafts)
  }

  /** Makes the step just added the point of no return: what comes after it is only retried, never undone. */
  pivot(this: SagaBuilder<Input, Seen, Given, All>): SagaBuilder<Input, Seen, Given, All> {
    const last = this.#stages.at(-1)
    if (this.#pivot !== null) this.#fail('it has two pivots; remove one.')
    if (last === undefined || last.length !== 1) this.#fail('the pivot must follow a single step, which then decides.')
    if (last?.[0]?.do === null) this.#fail('a step that waits cannot be the pivot; put .pivot() after a command.')
    return new SagaBuilder(this.#name, this.#options, this.#stages, this.#stages.length - 1)
  }

  /** Checks the whole and gives the definition. */
  end(this: SagaBuilder<Input, Seen, Given, All>, options: EndOptions<Input, Seen> = {}): SagaDefinition<Given, Seen> {
    const pivot = this.#pivot ?? Infinity
    let index = 0
    const stages = this.#stages.map((drafts, stage) =>
      drafts.map((draft): StepDefinition => {
        const place = stage < pivot ? 'before' : stage === pivot ? 'pivot' : 'after'
        return Object.freeze({ ...draft, index: index++, stage, place })
      }),
    )
    const steps = stages.flat()
    const byName = new Map(steps.map((step) => [step.name, step]))
    const { cancelDecidedBy = null, businessKey } = options as EndOptions<unknown, Record<string, unknown>>
    const follows = (options.follows ?? []).map(followOf)
    const mistake = sagaMistake({ steps, byName, cancelDecidedBy, follows })
    if (mistake !== null) this.#fail(mistake)
    const structure = structureOf({ steps, cancelDecidedBy, follows })
    return Object.freeze({
      name: this.#name,
      version: this.#options.version,
      input: this.#options.input as Schema<unknown, Given>,
      deadlineMs: this.#options.deadlineMs ?? null,
      businessKey: businessKey ?? nothing,
      stages,
      steps,
      byName,
      byAnswer: byType(steps, answersOf),
      byEvent: byType(steps, ({ event }) => (event === null ? [] : [event.type])),
      cancelDecidedBy,
      follows,
      structure,
      structureKey: structureKey(structure),
    })
  }

  #with(drafts: readonly Draft[]): SagaBuilder<Input, never, Given, never, never> {
    return new SagaBuilder(this.#name, this.#options, [...this.#stages, drafts], this.#pivot)
  }

  #fail(why: string): never {
    throw new DefinitionError(`Saga ${this.#name}: ${why}`)
  }
}

export type After<Input, Seen, Given, All, Of extends Kind, Added> = SagaBuilder<
  Input,
  Of extends 'saga' ? Seen & Added : Seen,
  Given,
  All & Added,
  Of
>

function followOf<Replies>(options: FollowOptions<Replies>): Follow {
  const { event, reaction, by, reason } = options
  if (reaction === 'cancel') return { event, reaction: { kind: reaction }, by, reason }
  return { event, reaction: { kind: reaction, step: options.step, withinMs: options.withinMs ?? null }, by, reason }
}

const answersOf = (step: StepDefinition): readonly string[] =>
  [step.do, step.undo, step.query].flatMap((command) => (command === null ? [] : answerTypes(command)))

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

type ErasedStepOptions = StepOptions<unknown, unknown, unknown, unknown, unknown, unknown, unknown, 'stop' | 'continue'>

const nothing = (): null => null
const itself = (reply: unknown): unknown => reply

/** What a step is where nothing is said of it. */
const plainStep: Omit<Draft, 'name'> = {
  do: null,
  with: nothing,
  undo: null,
  undoWith: nothing,
  query: null,
  queryWith: nothing,
  event: null,
  effect: 'some',
  onUnknown: 'repeat',
  onRejected: 'undo',
  onExhausted: 'stop',
  thenCancelAfterMs: null,
  retry: defaultRetry,
  undoRetry: defaultRetry,
  attemptMs: 10_000,
  stepMs: null,
  keep: itself,
}

function commandStep(name: string, options: ErasedStepOptions): Draft {
  const mistake = optionsMistake(options)
  if (mistake !== null) throw new DefinitionError(`Step ${name}: ${mistake}`)
  const retry = { ...defaultRetry, ...given(options.retry ?? {}) }
  const undoRetry = { ...retry, ...given(options.undoRetry ?? {}) }
  return { ...plainStep, ...given(options), name, retry, undoRetry }
}

const waitStep = (
  name: string,
  { for: event, withinMs, onExhausted = 'stop' }: WaitOptions<unknown, 'stop' | 'continue'>,
): Draft => ({
  ...plainStep,
  name,
  event,
  effect: 'none',
  onExhausted,
  retry: { ...defaultRetry, tries: 1 },
  attemptMs: withinMs,
})

/** Without what is given as undefined. */
const given = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
