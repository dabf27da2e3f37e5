/**
 * The steps of a saga that have begun, by name. Most sagas have few, in one object. From there on they are kept in two levels
 * of small groups, so that changing one step copies a few entries, also where there are ten thousand: a flat object of so many
 * takes milliseconds to copy.
 */
import type { StepState } from './state.ts'

export type Group = Readonly<Record<string, StepState>>
export type Groups = Readonly<Record<string, Readonly<Record<string, Group>>>>

/** Plain JSON. */
export type Steps =
  | { readonly few: Group }
  /** Group numbers of the first level, of the second, then the names. */
  | { readonly many: Groups }

/** As many as one object holds. */
const mostInOne = 48

export const noSteps: Steps = { few: {} }

export function stepIn(steps: Steps, name: string): StepState | undefined {
  if ('few' in steps) return steps.few[name]
  const place = placeOf(name)
  return steps.many[place & mask]?.[place >>> bits]?.[name]
}

export function withStepIn(steps: Steps, name: string, step: StepState): Steps {
  if (!('few' in steps)) return { many: withInGroups(steps.many, name, step) }
  const fits = steps.few[name] !== undefined || Object.keys(steps.few).length < mostInOne
  return fits ? { few: { ...steps.few, [name]: step } } : { many: withInGroups(grouped(steps.few), name, step) }
}

const grouped = (few: Group): Groups =>
  Object.entries(few).reduce<Groups>((groups, [name, step]) => withInGroups(groups, name, step), {})

function withInGroups(all: Groups, name: string, step: StepState): Groups {
  const place = placeOf(name)
  const [first, second] = [place & mask, place >>> bits]
  const groups = all[first]
  return { ...all, [first]: { ...groups, [second]: { ...groups?.[second], [name]: step } } }
}

/** All that have begun, in no particular order. */
export function entriesOf(steps: Steps): readonly (readonly [name: string, step: StepState])[] {
  if ('few' in steps) return Object.entries(steps.few)
  return Object.values(steps.many).flatMap((groups) => Object.values(groups).flatMap((group) => Object.entries(group)))
}

/** Steps as an earlier version kept them: one flat object. */
export function readSteps(kept: Steps | Group): Steps {
  const [first] = Object.values(kept) as readonly (Partial<StepState> | undefined)[]
  if (first !== undefined && typeof first.phase !== 'string') return kept as Steps
  const few = kept as Group
  return Object.keys(few).length <= mostInOne ? { few } : { many: grouped(few) }
}

const bits = 5
const mask = (1 << bits) - 1

/** Ten bits of a hash of the name (the multiplier of Java's String.hashCode). */
function placeOf(name: string): number {
  let hash = 0
  for (let at = 0; at < name.length; at++) hash = (Math.imul(hash, 31) + name.charCodeAt(at)) | 0
  return (hash ^ (hash >>> 10) ^ (hash >>> 20)) & ((1 << (2 * bits)) - 1)
}
