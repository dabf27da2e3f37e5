/** Where connections come from: the store makes its own, or takes them from a pool of the caller's. */
import type { ClientBase, ClientConfig, Pool } from 'pg'
import { pg } from './driver.ts'
import type { PostgresPool, PostgresPoolClient } from './pool.ts'
import { Connections, silentFor, types } from './pool.ts'
import { within } from '../within.ts'

export interface Dedicated {
  readonly client: Omit<PostgresPoolClient, 'release'>
  end(): Promise<void>
}

export interface Source {
  /** For all that is prepared. */
  readonly work: Connections
  /** Lists and counts come in many shapes: planned for what is asked, on connections that no commit waits for. */
  readonly lists: Connections
  /** A connection for one purpose, for as long as that takes; its questions have no time limit but what they are given. */
  dedicated(): Promise<Dedicated>
  close(): Promise<void>
}

export interface OwnSettings {
  readonly connectionString: string
  readonly maxConnections: number
  readonly timeoutMs: number
}

/** Index access and nested loops, planned once and for all; see the head of `postgres-store.ts`. */
export const planning = `
  set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
  set jit = off; set plan_cache_mode = force_generic_plan`

/** Lists follow the index that has their order, also where statistics are missing; a bitmap would be sorted as a whole. */
const inOrder = 'set enable_seqscan = off; set enable_bitmapscan = off; set jit = off'

const ignore = (): void => undefined

export function ownSource({ connectionString, maxConnections, timeoutMs }: OwnSettings): Source {
  const settings = clientSettings(connectionString)
  function poolOf(max: number, session: string): Pool {
    // The pool waits for what this returns, although its types do not say so.
    const begin = (client: ClientBase): unknown => {
      client.on('error', ignore) // unheard, it would end the process
      return client.query(session)
    }
    const pool = new pg.Pool({ ...settings, query_timeout: timeoutMs, max, onConnect: begin })
    return pool.on('error', ignore)
  }
  const [work, lists] = [poolOf(maxConnections, planning), poolOf(2, inOrder)]
  return {
    work: new Connections({ pool: work, isOwn: true, timeoutMs }),
    lists: new Connections({ pool: lists, isOwn: true, timeoutMs }),
    dedicated: () => connected(settings),
    async close() {
      await Promise.all([work.end(), lists.end()])
    },
  }
}

export function callersSource(pool: PostgresPool, timeoutMs: number): Source {
  const connections = new Connections({ pool, isOwn: false, timeoutMs })
  return {
    work: connections,
    lists: connections,
    async dedicated() {
      const client = await within(timeoutMs, pool.connect(), silentFor(timeoutMs), (late) => late.release())
      client.on('error', ignore)
      let isOver = false
      return {
        client,
        async end() {
          if (isOver) return
          isOver = true
          client.release(true)
          client.removeListener('error', ignore)
        },
      }
    },
    close: async () => undefined, // the caller's own
  }
}

export const clientSettings = (connectionString: string): ClientConfig & { readonly connectionString: string } => ({
  connectionString,
  types,
  keepAlive: true,
  keepAliveInitialDelayMillis: 10_000,
  connectionTimeoutMillis: 5_000,
  application_name: 'ordersaga',
})

export async function connected(settings: ClientConfig): Promise<Dedicated> {
  const client = new pg.Client(settings)
  const end = (): Promise<void> => client.end().catch(ignore)
  client.on('error', ignore)
  try {
    await client.connect()
    return { client, end }
  } catch (error) {
    await end()
    throw error
  }
}
