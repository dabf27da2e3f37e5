/** What the processes of sagas on Temporal have in common: where its server is, and how they connect. */
import { Client, Connection } from '@temporalio/client'

export interface TemporalTarget {
  /** Of its frontend, `host:port`. */
  readonly address: string
  readonly namespace: string
}

export interface TemporalClient {
  readonly client: Client
  /** Asks the server, for so many milliseconds at most. @throws Error where it does not answer, or says so */
  readonly ask: <T>(patienceMs: number, work: () => Promise<T>) => Promise<T>
  /** Once nothing is asked any more: what is tried again on a connection that is closed would end the process. */
  close(): Promise<void>
}

/** A server that was away for long is found again so soon, in milliseconds; gRPC's own pauses grow to two minutes. */
const longestPauseMs = 2_000

/** Connects when it is first used, and again whenever it must: an absent server does not keep a process from starting. */
export function temporalClient({ address, namespace }: TemporalTarget): TemporalClient {
  const connection = Connection.lazy({ address, channelArgs: { 'grpc.max_reconnect_backoff_ms': longestPauseMs } })
  const client = new Client({ connection, namespace })
  const asked = new Set<Promise<unknown>>()
  return {
    client,
    ask(patienceMs, work) {
      const asking = client.withDeadline(Date.now() + patienceMs, work)
      asked.add(asking)
      return asking.finally(() => asked.delete(asking))
    },
    async close() {
      await Promise.allSettled(asked)
      await connection.close()
    },
  }
}
