/**
 * The operator's API, the same on every orchestrator, under `/ops`: what a console and a command line stand on, and nothing
 * else. Times are ISO 8601 in UTC; errors are problem details (RFC 9457).
 */
import type { Store } from 'ordersaga/store'
import type { Logger } from 'pino'
import type { Shell } from '../shell.ts'
import { addOpsActions } from './actions.ts'
import { addOpsBulk } from './bulk.ts'
import { addOpsDefinitions } from './definitions.ts'
import { addOpsMoves } from './moves.ts'
import { addOpsSagas } from './sagas.ts'
import { opsView, type OpsView } from './view.ts'

export interface OpsOptions {
  readonly store: Store
  readonly log: Logger
  /** Steps whose answers are for the saga alone. */
  readonly secretSteps: readonly string[]
}

export interface Ops extends Shell {
  readonly store: Store
  readonly log: Logger
  readonly view: OpsView
}

export function addOps(shell: Shell, { store, log, secretSteps }: OpsOptions): void {
  const ops: Ops = { ...shell, store, log, view: opsView(secretSteps) }
  addOpsDefinitions(ops)
  addOpsSagas(ops)
  addOpsMoves(ops)
  addOpsActions(ops)
  addOpsBulk(ops)
}
