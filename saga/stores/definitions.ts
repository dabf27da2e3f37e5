/** What becomes of definitions that are registered: kept, or in conflict with a structure that is still needed. */
import { versionKey } from './processes.ts'
import type { DefinitionVersion, KnownDefinition, StructureConflict } from './store.ts'

/** Who still needs the structure that is kept. */
export type Needs = Pick<StructureConflict, 'sagas' | 'processes'>

/** Of the definitions, those under whose version another structure is kept; each with that one. */
export function differing(
  definitions: readonly KnownDefinition[],
  kept: readonly KnownDefinition[],
): readonly KnownDefinition[] {
  const structures = new Map(definitions.map((each) => [versionKey(each), each.structure]))
  return kept.filter((each) => {
    const structure = structures.get(versionKey(each))
    return structure !== undefined && structure !== each.structure
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
