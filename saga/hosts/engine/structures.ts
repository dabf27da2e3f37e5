/**
 * Before an engine runs: what it declares is held against what the store knows, and what it leaves is said.
 */
import type { Clock } from '../../clock.ts'
import type { OnProblem } from '../../problem.ts'
import type { Store, StructureConflict } from '../../stores/store.ts'
import { EngineError } from './errors.ts'
import { conflictText, named, type Registry } from './registry.ts'

export interface StructuresOptions {
  readonly store: Store
  readonly registry: Registry
  readonly clock: Clock
  readonly owner: string
  readonly silentMs: number
  readonly onProblem: OnProblem
}

/** How often it is looked whether a process that ran a version as it was is gone, in milliseconds. */
const lookMs = 200

/**
 * Keeps the structures of this build. One that differs from what live sagas began under is refused; where only another
 * process runs it as it was, that process may be on its way out, or have died just now: it is waited for as long as it takes
 * to be sure.
 *
 * @throws EngineError structure_changed
 */
export async function registerStructures(options: StructuresOptions): Promise<void> {
  const { store, registry, clock, owner, silentMs } = options
  const began = clock.elapsed()
  for (;;) {
    const conflicts = (await store.register(owner, registry.known, silentMs)).filter(
      (conflict) => textOf(registry, conflict) !== '',
    )
    if (conflicts.length === 0) break
    const final = conflicts.some(({ sagas }) => sagas > 0) || clock.elapsed() - began > silentMs
    if (final)
      throw new EngineError('structure_changed', conflicts.map((conflict) => textOf(registry, conflict)).join(' '))
    await new Promise<void>((resolve) => clock.after(lookMs, resolve))
  }
  await sayWhatIsLeft(options)
}

function textOf(registry: Registry, conflict: StructureConflict): string {
  const definition = registry.find(conflict.definition, conflict.version)
  return definition === undefined ? '' : conflictText(conflict, definition.structure)
}

async function sayWhatIsLeft({ store, registry, onProblem }: StructuresOptions): Promise<void> {
  const missing = (await store.liveVersions()).filter(
    (each) => registry.find(each.definition, each.version) === undefined,
  )
  if (missing.length === 0) return
  const list = missing.map((each) => `${each.count} of ${named(each)}`).join(', ')
  onProblem({
    what: `the store holds live sagas of versions that are not registered here: ${list}. They are left to processes that run these versions; where there are none, register them too, since a saga ends under the version that it started with`,
    needsPerson: true,
  })
}
