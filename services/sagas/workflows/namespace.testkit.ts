/** A namespace of a suite's own on a Temporal server: the names of queues are fixed, and suites run side by side. */
import { randomUUID } from 'node:crypto'
import { Client, Connection } from '@temporalio/client'
import { vi } from 'vitest'
import type { TemporalTarget } from './temporal.ts'

export interface Namespace {
  readonly target: TemporalTarget
  readonly client: Client
  /** Ends what still runs there. */
  close(): Promise<void>
}

/** `Keyword`, as Temporal numbers its types. */
const keyword = 2

const day = 86_400

export async function freshNamespace(address: string): Promise<Namespace> {
  const connection = await Connection.connect({ address })
  const namespace = `test-${randomUUID()}`
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: day as never },
  })
  // A new one is known everywhere after a moment.
  await vi.waitFor(() => addAttributes(connection, namespace), { timeout: 30_000, interval: 100 })
  return {
    target: { address, namespace },
    client: new Client({ connection, namespace }),
    async close() {
      await connection.operatorService.deleteNamespace({ namespace })
      await connection.close()
    },
  }
}

const addAttributes = (connection: Connection, namespace: string): Promise<unknown> =>
  connection.operatorService.addSearchAttributes({
    namespace,
    searchAttributes: { SagaDefinition: keyword, SagaStatus: keyword, SagaBusinessKey: keyword },
  })
