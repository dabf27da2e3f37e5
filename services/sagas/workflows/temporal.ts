/** What the processes of sagas on Temporal have in common: where its server is, and how they connect. */
import { Client, Connection } from '@temporalio/client'

export interface TemporalTarget {
  /** Of its frontend, `host:port`. */
  readonly address: string
  readonly namespace: string
}

export interface TemporalClient {
  readonly client: Client
  close(): Promise<void>
}

/** Connects when it is first used, and again whenever it must: an absent server does not keep a process from starting. */
export function temporalClient({ address, namespace }: TemporalTarget): TemporalClient {
  const connection = Connection.lazy({ address })
  return { client: new Client({ connection, namespace }), close: () => connection.close() }
}
