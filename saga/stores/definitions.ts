/** What becomes of definitions that are registered: kept, or in conflict with a structure that is still needed. */
import { versionKey } from './processes.ts'
import type { DefinitionVersion, KnownDefinition, StructureConflict } from './store.ts'

/** Who still needs the structure that is kept. */
export type Needs = Pick<StructureConflict, 'sagas' | 'processes'>

/**
 * Of the definitions, those under whose version another structure is kept; each with that one. Completed sagas count also where
 * only the new structure lets them move: they began without what that asks of them.
 */
export function differing(
  definitions: readonly KnownDefinition[],
  kept: readonly KnownDefinition[],
): readonly KnownDefinition[] {
  const next = new Map(definitions.map((each) => [versionKey(each), each]))
  return kept.flatMap((each) => {
    const other = next.get(versionKey(each))
    if (other === undefined || other.structure === each.structure) return []
    return [{ ...each, cancellable: each.cancellable || other.cancellable }]
  })
}

/** Null where nobody needs the kept structure any more. */
export const conflictOf = (
  { definition, version, structure }: KnownDefinition,
  { sagas, processes }: Needs,
): StructureConflict | null => (sagas + processes === 0 ? null : { definition, version, structure, sagas, processes })

/** Those that are kept: no conflict is of their version. */
export function without<Version extends DefinitionVersion>(
  definitions: readonly Version[],
  conflicts: readonly DefinitionVersion[],
): readonly Version[] {
  const refused = new Set(conflicts.map(versionKey))
  return definitions.filter((each) => !refused.has(versionKey(each)))
}
