/** What differs between two structures of a definition, as a person would say it. */
import type { Structure } from '../../core/definition.ts'

type StepStructure = Structure['steps'][number]
type Value = string | number | null | undefined

/** Empty where there is none. */
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

const difference = (what: string, before: Value, after: Value): readonly string[] =>
  before === after ? [] : [`${what} was ${said(before)} and is ${said(after)}`]

const said = (value: Value): string => (value == null || value === '' ? 'none' : `${value}`)

const groups = ({ steps }: Structure): string =>
  [...new Set(steps.map(({ stage }) => stage))]
    .map((stage) => steps.filter((step) => step.stage === stage).map(({ name }) => name))
    .map((names) => (names.length === 1 ? names[0] : `(${names.join(' beside ')})`))
    .join(', ')
