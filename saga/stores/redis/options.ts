/** Options of the Redis store, and the connection that follows from them. */
import { aFlag, checkOptions, milliseconds } from '../options.ts'
import { StoreError } from '../store.ts'
import type { ConnectionSettings } from './connection.ts'

export interface RedisStoreOptions {
  /**
   * Such as `redis://user:password@host:6379/0`, or `rediss://` for TLS. One server, not a cluster: a batch moves any sagas
   * together, and a cluster keeps them apart.
   */
  readonly url: string
  /** What a person changes to name another server, or another database, as messages say it; `the URL` where none is given. */
  readonly setBy?: { readonly server: string; readonly database: string }
  /** What every key begins with, before a colon; `ordersaga` where none is given. Letters, digits, `.`, `_` and `-`. */
  readonly prefix?: string
  /**
   * True: acknowledged sagas may be lost. The server is then taken whatever its settings are: it may keep nothing on disk, lag
   * behind with it, or drop keys when memory runs out.
   */
  readonly acceptLoss?: boolean
  /** How long a connection may take, and a call waits for one; 5,000 where none is given. */
  readonly connectTimeoutMs?: number
  /** How long the server may be silent while something is asked of it; 10,000 where none is given. */
  readonly commandTimeoutMs?: number
  /** Pauses before a broken connection is made again, the first and the longest; 50 and 1,000 where none is given. */
  readonly retry?: { readonly firstMs: number; readonly mostMs: number }
}

const optionChecks: Parameters<typeof checkOptions>[2] = {
  url: [() => true, ''], // has a word of its own
  setBy: [
    (value) =>
      [(value as SetBy | null)?.server, (value as SetBy | null)?.database].every((one) => typeof one === 'string'),
    'two texts: { server, database }',
  ],
  // A colon would let keys of two prefixes meet; braces and wildcards mean something to Redis.
  prefix: [(value) => typeof value === 'string' && /^[\w.-]+$/.test(value), "of letters, digits, '.', '_' and '-'"],
  acceptLoss: aFlag,
  connectTimeoutMs: milliseconds,
  commandTimeoutMs: milliseconds,
  retry: [
    (value) => [(value as RetryPauses | null)?.firstMs, (value as RetryPauses | null)?.mostMs].every(milliseconds[0]),
    'two pauses in milliseconds: { firstMs, mostMs }',
  ],
}

type SetBy = NonNullable<RedisStoreOptions['setBy']>
type RetryPauses = NonNullable<RedisStoreOptions['retry']>

/** @throws StoreError where the URL is none, or says what this store does not take from it */
export function settingsOf(options: RedisStoreOptions): ConnectionSettings {
  checkOptions('redisStore', options, optionChecks)
  const { url: text, setBy, connectTimeoutMs, commandTimeoutMs, retry } = options
  const url = URL.canParse(text) ? new URL(text) : null
  // The driver takes a query for options, and a database that is no number for the first one.
  const sound = url !== null && /^rediss?:$/.test(url.protocol) && url.search === '' && /^(\/\d*)?$/.test(url.pathname)
  // Not quoted: it may hold a password.
  if (!sound)
    throw new StoreError('unusable', 'The URL of Redis must read like redis://user:password@host:6379/0, no more.')
  return {
    url,
    setBy: setBy ?? { server: 'the URL', database: 'the URL' },
    connectTimeoutMs: connectTimeoutMs ?? 5_000,
    commandTimeoutMs: commandTimeoutMs ?? 10_000,
    retry: retry ?? { firstMs: 50, mostMs: 1_000 },
  }
}
