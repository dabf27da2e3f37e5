/**
 * The steps of a saga that have begun, by name.
 *
 * Kept in two levels of small groups, so that changing one step copies a few entries whether the saga has ten steps or ten
 * thousand: a flat object of 10,000 entries takes milliseconds to copy.
 */
import type { StepState } from './state.ts'

export type Group = Readonly<Record<string, StepState>>
/** Plain JSON: group numbers of the first level, of the second, then the names. */
export type Steps = Readonly<Record<string, Readonly<Record<string, Group>>>>

export const noSteps: Steps = {}

export function stepIn(steps: Steps, name: string): StepState | undefined {
  const place = placeOf(name)
  return steps[place & mask]?.[place >>> bits]?.[name]
}

export function withStepIn(steps: Steps, name: string, step: StepState): Steps {
  const place = placeOf(name)
  const [first, second] = [place & mask, place >>> bits]
  const groups = steps[first]
  return { ...steps, [first]: { ...groups, [second]: { ...groups?.[second], [name]: step } } }
}

/** All that have begun, in no particular order. */
export const entriesOf = (steps: Steps): readonly (readonly [name: string, step: StepState])[] =>
  Object.values(steps).flatMap((groups) => Object.values(groups).flatMap((group) => Object.entries(group)))

/** Steps as an earlier version kept them: one flat object. */
export function readSteps(kept: Steps | Group): Steps {
  const [first] = Object.values(kept) as readonly (StepState | undefined)[]
  if (typeof first?.phase !== 'string') return kept as Steps
  return Object.entries(kept as Group).reduce((steps, [name, step]) => withStepIn(steps, name, step), noSteps)
}

const bits = 5
const mask = (1 << bits) - 1

/** Ten bits of a hash of the name (the multiplier of Java's String.hashCode). */
function placeOf(name: string): number {
  let hash = 0
  for (let at = 0; at < name.length; at++) hash = (Math.imul(hash, 31) + name.charCodeAt(at)) | 0
  return (hash ^ (hash >>> 10) ^ (hash >>> 20)) & ((1 << (2 * bits)) - 1)
}
