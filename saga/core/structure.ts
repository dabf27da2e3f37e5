/**
 * What a definition fixes for the sagas that run under it: steps, their order and groups, contracts, pivot, undos, how an
 * unknown is settled. A saga that began under one structure cannot go on under another: a step that was done might never be
 * undone, or be done twice. Payload functions, schemas and timings are no part of it: they may change.
 */
import type { CommandContract } from './contract.ts'
import type { SagaDefinition, StepDefinition } from './definition.ts'

/** Plain JSON: it is kept beside the sagas, and compared with what a later build declares. */
export interface Structure {
  readonly steps: readonly StepStructure[]
  readonly cancelDecidedBy: string | null
  /** What follows an event, in the order of declaration. */
  readonly follows: readonly string[]
}

type StepStructure = { readonly name: string; readonly stage: number } & Readonly<
  Record<string, string | number | null>
>

export function structureOf(definition: Pick<SagaDefinition, 'steps' | 'cancelDecidedBy' | 'follows'>): Structure {
  return {
    steps: definition.steps.map(stepStructure),
    cancelDecidedBy: definition.cancelDecidedBy,
    follows: definition.follows.map(({ event, then }) =>
      then.kind === 'cancel' ? `${event.type} cancels` : `${event.type} asks ${then.step} again`,
    ),
  }
}

const stepStructure = (step: StepDefinition): StepStructure => ({
  name: step.name,
  stage: step.stage,
  place: step.place,
  do: commandText(step.do),
  undo: commandText(step.undo),
  query: commandText(step.query),
  event: step.event?.type ?? null,
  effect: step.effect,
  onUnknown: step.onUnknown,
  onRejected: step.onRejected,
  onExhausted: step.onExhausted,
})

/** Names what is sent and which answers are read. */
function commandText(command: CommandContract | null): string | null {
  if (command === null) return null
  const { participant, type, done, rejected, answered } = command
  const answers = [done.type, rejected?.type].filter((each) => each !== undefined && each !== '').join(' or ')
  return `${participant}.${type}${answers === '' ? '' : ` (${answers})`}${answered ? '' : ', sent only'}`
}

/** What a person would say of the difference; empty where there is none. */
export function differences(before: Structure, after: Structure): readonly string[] {
  const was = new Map(before.steps.map((step) => [step.name, step]))
  const is = new Map(after.steps.map((step) => [step.name, step]))
  const removed = before.steps.filter(({ name }) => !is.has(name)).map(({ name }) => `step ${name} is gone`)
  const added = after.steps.filter(({ name }) => !was.has(name)).map(({ name }) => `step ${name} is new`)
  const kept = after.steps.filter(({ name }) => was.has(name))
  const changed = kept.flatMap((step) => stepDifferences(was.get(step.name) as StepStructure, step))
  const order = (steps: readonly StepStructure[], others: ReadonlyMap<string, unknown>): string =>
    steps
      .filter(({ name }) => others.has(name))
      .map(({ name }) => name)
      .join(', ')
  const [orderBefore, orderAfter] = [order(before.steps, is), order(after.steps, was)]
  const moved = orderBefore === orderAfter ? [] : [`the order was ${orderBefore} and is ${orderAfter}`]
  const grouped =
    removed.length + added.length + moved.length === 0 && groups(before) !== groups(after)
      ? [`the groups were ${groups(before)} and are ${groups(after)}`]
      : []
  return [
    ...removed,
    ...added,
    ...moved,
    ...grouped,
    ...changed,
    ...difference('cancelDecidedBy', before.cancelDecidedBy, after.cancelDecidedBy),
    ...difference('what follows events', before.follows.join('; '), after.follows.join('; ')),
  ]
}

/** A stage tells nothing by itself: it counts from the beginning. */
const stepDifferences = (before: StepStructure, after: StepStructure): readonly string[] =>
  Object.keys({ ...before, ...after })
    .filter((field) => field !== 'name' && field !== 'stage')
    .flatMap((field) => difference(`${field} of step ${after.name}`, before[field], after[field]))

const difference = (what: string, before: unknown, after: unknown): readonly string[] =>
  before === after ? [] : [`${what} was ${said(before)} and is ${said(after)}`]

const said = (value: unknown): string => (value == null || value === '' ? 'none' : String(value))

const groups = ({ steps }: Structure): string =>
  [...new Set(steps.map(({ stage }) => stage))]
    .map((stage) => steps.filter((step) => step.stage === stage).map(({ name }) => name))
    .map((names) => (names.length === 1 ? names[0] : `(${names.join(' beside ')})`))
    .join(', ')

/** A short name for a structure, kept with each saga (FNV-1a, twice 32 bits; spread matters here, secrecy does not). */
export function structureKey(structure: Structure): string {
  const text = JSON.stringify(structure)
  return fnv(text, 0x811c9dc5) + fnv(text, 0x050c5d1f)
}

function fnv(text: string, basis: number): string {
  let hash = basis
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
