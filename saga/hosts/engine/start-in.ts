/**
 * Starts a saga within a transaction of the caller's: it exists exactly if what the caller writes with it does. Nobody owns it
 * until the transaction has committed; then the store hints, and an engine takes it up like one that was left behind.
 */
import { transition, type Input } from '../../core/decide.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { SagaState } from '../../core/state.ts'
import type { Store } from '../../stores/store.ts'
import type { StartedIn } from './engine.ts'
import { EngineError, keyReused } from './errors.ts'
import { businessKeyOf } from './business-key.ts'

interface Beginning {
  readonly definition: SagaDefinition
  readonly begin: Input & { readonly type: 'start' }
  readonly key: string | null
  readonly fingerprint: string
  /** Unix milliseconds. */
  readonly at: number
}

/** @throws EngineError invalid_input where the store has no such transactions, key_reused */
export async function startIn(store: Store, tx: unknown, beginning: Beginning): Promise<StartedIn> {
  if (store.commitIn === undefined)
    throw new EngineError(
      'invalid_input',
      "This store cannot start a saga in a caller's transaction. PostgreSQL and SQLite can; else start it without tx, under an idempotency key.",
    )
  const { definition, begin, key, fingerprint, at } = beginning
  const { events, state } = transition(definition, null, begin, at)
  const started = state as SagaState // a start that nothing precedes always gives one
  const result = await store.commitIn(tx, {
    saga: {
      id: begin.id,
      definition: definition.name,
      version: definition.version,
      seq: 1,
      state: started,
      owner: '',
      key,
      fingerprint,
      businessKey: businessKeyOf(definition, started),
      createdAt: at,
      updatedAt: at,
    },
    entry: { sagaId: begin.id, seq: 1, at, inputId: `start:${begin.id}`, events, status: started.status },
    live: true, // also where it parks at once: so that an engine takes it up, and tells of it
  })
  if (result.kind === 'started') return { id: begin.id, fresh: true }
  if (result.fingerprint === fingerprint) return { id: result.id, fresh: false }
  throw keyReused()
}
