/**
 * Breaks a saga in every way before production does: lost, late, repeated and reordered messages, refusals, timeouts, cancels,
 * a host that fails, an operator who acts, events that come early or twice. Every state that can be reached is visited, and
 * what must hold in each is checked.
 */
import type { SagaDefinition } from '../../core/definition.ts'
import type { StepSamples } from './answers.ts'
import { Answers } from './answers.ts'
import type { Node } from './explore.ts'
import { Explorer } from './explore.ts'
import { outsideOf } from './inputs.ts'
import { Beliefs } from './network.ts'
import { foreignParticipant } from './foreign-participant.ts'
import { ownParticipant } from './own-participant.ts'
import type { Broken } from './promises.ts'
import type { Rules } from './rules.ts'
import { rules as production } from './rules.ts'
import { storyOf } from './story.ts'
import { timeless } from './timeless.ts'

export { SampleError, type StepSamples } from './answers.ts'
export type { Rules } from './rules.ts'

export interface CheckOptions {
  /** What the saga is started with; found by trying what its schema takes, where none is given. */
  readonly input?: unknown
  /** Payloads of answers by step, where those that the schemas take are not found by trying. */
  readonly samples?: Readonly<Record<string, StepSamples>>
  /** Payloads of events that something follows, by type. */
  readonly events?: Readonly<Record<string, unknown>>
  /** At most so many tries of a step or an undo; 2 where none is given. More are alike, and take longer. */
  readonly tries?: number
  /** Participants of others: they name no command in their answers, keep no answers and leave no tombstones. */
  readonly foreign?: readonly string[]
  /** Of these, the ones that do not answer undos. */
  readonly silentUndos?: readonly string[]
  /** Whether a cancel comes, the host fails, an operator acts, each once; true where not given. */
  readonly cancels?: boolean
  readonly hostFails?: boolean
  readonly operator?: boolean
  /** How many messages come of events that no step waits for; 1 where none is given. */
  readonly surplusEvents?: number
  /** True for a saga that is never meant to complete. */
  readonly neverCompletes?: boolean
  /** More states than these are a fault; 200,000 where none is given. */
  readonly mostStates?: number
  /** Replaced rules, to see that a mistake in them would be found. */
  readonly rules?: Partial<Rules>
}

export interface Checked {
  /** How many states were visited, */
  readonly states: number
  /** and how many of them with each status. */
  readonly statuses: Readonly<Record<string, number>>
  /** The first promise that was found broken, and how it came to that. */
  readonly fault: { readonly promise: string; readonly story: readonly string[] } | null
}

/**
 * Visits every state that a saga can reach. Pure: the same each time.
 *
 * @throws SampleError where a payload must be given, saying which
 *
 * @example
 * const { fault } = check(createOrder)
 * expect(fault).toBeNull()
 */
export function check<Input, Replies>(declared: SagaDefinition<Input, Replies>, options: CheckOptions = {}): Checked {
  const { network, explored } = explore(declared, options)
  const { nodes, broken, path } = explored
  const statuses = count(nodes)
  const fault = broken === null ? null : { promise: broken.promise, story: storyOf(path, network, broken) }
  const incomplete = statuses['COMPLETED'] === undefined && options.neverCompletes !== true
  return { states: nodes.length, statuses, fault: fault ?? (incomplete ? neverCompleted(nodes, network) : null) }
}

/** @internal The walk itself, with all that it met. */
export function explore<Input, Replies>(declared: SagaDefinition<Input, Replies>, options: CheckOptions) {
  const rules = { ...production, ...options.rules }
  const definition = timeless(declared, options.tries ?? 2)
  const network = networkOf(definition, rules, options)
  const answers = new Answers(definition, { steps: options.samples ?? {}, events: options.events ?? {} })
  const setting = {
    definition,
    rules,
    answers,
    network,
    input: answers.input(options.input),
    outside: outsideOf(definition),
    cancels: options.cancels ?? true,
    hostFails: options.hostFails ?? true,
    operator: options.operator ?? true,
    events: options.surplusEvents ?? 1,
    most: options.mostStates ?? 200_000,
  }
  return { network, explored: new Explorer(setting).run() }
}

const networkOf = ({ steps }: SagaDefinition, rules: Rules, options: CheckOptions): readonly (Beliefs | null)[] =>
  steps.map((step) => {
    if (step.do === null) return null
    const { participant } = step.do
    if (options.foreign?.includes(participant) !== true) return new Beliefs(ownParticipant(step, rules))
    return new Beliefs(foreignParticipant(step, options.silentUndos?.includes(participant) !== true))
  })

function count(nodes: readonly Node[]): Readonly<Record<string, number>> {
  const statuses: Record<string, number> = {}
  for (const { world } of nodes) {
    const { status } = world.saga.state
    statuses[status] = (statuses[status] ?? 0) + 1
  }
  return statuses
}

/** Told by a way to where it comes farthest. */
function neverCompleted(nodes: readonly Node[], network: readonly (Beliefs | null)[]): Checked['fault'] {
  const farthest = nodes.reduce(
    (best, { world }, index) => (world.saga.state.stage > (nodes[best] as Node).world.saga.state.stage ? index : best),
    0,
  )
  const path: Node[] = []
  for (let at = farthest; at >= 0; at = (nodes[at] as Node).from) path.unshift(nodes[at] as Node)
  const broken: Broken = { promise: 'it can never be COMPLETED' }
  return { ...broken, story: storyOf(path, network, broken) }
}
