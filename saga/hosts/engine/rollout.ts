/**
 * The gate before a rollout: what a new build would do to the sagas that can still move, told from the store and the build's
 * definitions alone. It changes nothing.
 */
import { openSteps } from '../../core/evolve.ts'
import type { SagaState, SagaStatus } from '../../core/state.ts'
import type { SagaDefinition, Structure } from '../../core/definition.ts'
import { differences } from './differences.ts'
import type { KnownDefinition, Store } from '../../stores/store.ts'
import { Registry } from './registry.ts'

/** Sagas of one version that stand at one step, and what becomes of them. */
export interface RolloutLine {
  readonly definition: string
  readonly version: number
  /** The step that they wait at, several joined by ` + `; `completed` for those that are over and can still be cancelled or moved by an event. */
  readonly step: string
  readonly status: SagaStatus
  readonly sagas: number
  readonly verdict:
    /** They go on as they are. */
    | 'unchanged'
    /** The build does not have their version: they wait until a process runs it. */
    | 'keep'
    /** The build declares their version in another way, and would be refused at its start. */
    | 'breaks'
  /** What to do; empty for `unchanged`. */
  readonly why: string
}

export interface Rollout {
  /** True where every saga goes on unchanged. */
  readonly safe: boolean
  readonly lines: readonly RolloutLine[]
}

const live: readonly SagaStatus[] = ['STARTED', 'COMPENSATING', 'CANCELLING', 'PARKED']

/** Sagas that are read at once. */
const portion = 500

/**
 * @param store is opened where it is not yet; an embedded one must not be in use by another process
 *
 * @example
 * const { safe, lines } = await checkRollout({ store, definitions: [orderV1, orderV2] })
 * if (!safe) console.table(lines)
 */
export async function checkRollout({
  store,
  definitions,
}: {
  readonly store: Store
  readonly definitions: readonly SagaDefinition[]
}): Promise<Rollout> {
  const registry = new Registry(definitions)
  await store.open()
  const kept = new Map((await store.definitions()).map((each) => [`${each.definition}@${each.version}`, each] as const))
  const lines = new Map<string, RolloutLine>()
  for (const status of [...live, 'COMPLETED'] as const)
    for await (const state of sagasOf(store, status)) {
      const { definition, version } = state
      const known = kept.get(`${definition}@${version}`)
      if (status === 'COMPLETED' && !canMove(known, registry.find(definition, version))) continue
      const step = stepsOf(state)
      const key = JSON.stringify([definition, version, status, step])
      const sagas = (lines.get(key)?.sagas ?? 0) + 1
      lines.set(key, { definition, version, step, status, sagas, ...verdictOn(state, known?.structure, registry) })
    }
  const all = [...lines.values()]
  return { safe: all.every(({ verdict }) => verdict === 'unchanged'), lines: all }
}

/** Whether completed sagas are still of interest: by what was kept, or by what the build declares. */
const canMove = (kept: KnownDefinition | undefined, build: SagaDefinition | undefined): boolean =>
  kept?.cancellable === true || (build !== undefined && (build.cancelDecidedBy !== null || build.follows.length > 0))

async function* sagasOf(store: Store, status: SagaStatus): AsyncGenerator<SagaState, void, undefined> {
  for (let after: string | null | undefined; after !== null;) {
    const page = await store.list({ status }, { limit: portion, after })
    for (const { state } of page.items) yield state
    after = page.next
  }
}

function stepsOf(state: SagaState): string {
  if (state.status === 'COMPLETED') return 'completed'
  return state.parked?.step ?? openSteps(state).join(' + ')
}

function verdictOn(
  { definition, version, structure }: SagaState,
  kept: string | undefined,
  registry: Registry,
): Pick<RolloutLine, 'verdict' | 'why'> {
  const build = registry.find(definition, version)
  if (build === undefined)
    return {
      verdict: 'keep',
      why: `register ${definition} version ${version} beside the others until its sagas are over`,
    }
  const changed = kept === undefined ? [] : differences(JSON.parse(kept) as Structure, build.structure)
  if (changed.length > 0)
    return {
      verdict: 'breaks',
      why: `${changed.join('; ')}. Give the changed definition a new version, and keep this one`,
    }
  // Nothing was kept of it, or another structure has taken its place: the saga itself may know what it began under.
  if (structure !== undefined && structure !== build.structureKey)
    return { verdict: 'breaks', why: 'it began under other steps. Register the version as it was' }
  return { verdict: 'unchanged', why: '' }
}
