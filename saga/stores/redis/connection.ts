/**
 * One connection to Redis, made again by itself for as long as the store is open.
 *
 * Invariants:
 * - nothing is sent over a connection before it was prepared (checked), each one anew: a server that comes back with other
 *   settings is not written to;
 * - the driver keeps no command back and repeats none. A command whose answer does not come is of unknown outcome: at once
 *   where the connection breaks, and at the latest after `commandTimeoutMs`, when one that is silent is taken for broken;
 * - who calls while it is being made waits for that attempt, at most `connectTimeoutMs`; once one has failed, nobody waits.
 */
import type { Redis } from 'ioredis'
import { driver } from '../../driver.ts'
import { StoreError } from '../store.ts'
import type { Script } from './script.ts'

const ioredis = driver('ioredis', 'ordersaga/stores/redis') as { readonly Redis: typeof Redis }

export interface ConnectionSettings {
  readonly url: URL
  /** What a person changes to name another server, or another database. */
  readonly setBy: { readonly server: string; readonly database: string }
  readonly connectTimeoutMs: number
  readonly commandTimeoutMs: number
  /** The pause before the connection is made again; it doubles with each attempt that fails, up to `mostMs`. */
  readonly retry: { readonly firstMs: number; readonly mostMs: number }
}

/** How long a goodbye may take. */
const goodbyeMs = 1_000

export class Connection {
  readonly #settings: ConnectionSettings
  readonly #prepare: (client: Redis) => Promise<void>
  readonly #client: Redis
  readonly #waiting = new Set<(problem: Error | null) => void>()
  #state: 'being made' | 'prepared' | 'failed' | 'closed' = 'being made'
  /** Attempts that failed since the last that did not. */
  #failures = 0
  /** What the last attempt met. */
  #problem: Error | null = null

  /** @param prepare runs on every new connection before all else; where it throws, another one is made */
  constructor(settings: ConnectionSettings, prepare: (client: Redis) => Promise<void>) {
    this.#settings = settings
    this.#prepare = prepare
    const { firstMs, mostMs } = settings.retry
    this.#client = new ioredis.Redis(settings.url.href, {
      connectionName: 'ordersaga',
      disableClientInfo: true,
      connectTimeout: settings.connectTimeoutMs,
      socketTimeout: settings.commandTimeoutMs,
      disconnectTimeout: goodbyeMs,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0, // what waits for an answer is told as soon as the connection breaks
      enableReadyCheck: false, // `prepare` asks, and says what is wrong
      autoResubscribe: false,
      // A primary that has become a replica: its name may lead to the new one by now.
      reconnectOnError: ({ message }) => message.startsWith('READONLY'),
      retryStrategy: () => Math.min(firstMs * 2 ** this.#failures, mostMs),
    })
    this.#client
      .on('error', (error) => (this.#problem = error))
      .on('ready', () => void this.#begin())
      .on('close', () => this.#broke())
      .on('end', () => this.#broke())
  }

  get isReady(): boolean {
    return this.#state === 'prepared'
  }

  /** The client, once commands can be sent. @throws StoreError: nothing was sent */
  async ready(): Promise<Redis> {
    try {
      if (this.#state === 'being made') await this.#made()
      if (this.#state === 'closed') throw closed()
      if (this.#state === 'failed' && this.#problem !== null) throw this.#problem
      return this.#client
    } catch (error) {
      throw describeError(error, this.#settings.url, startOrCheck(this.#settings))
    }
  }

  /** Lets what is under way be answered, and ends in any case. */
  async close(): Promise<void> {
    const { isReady } = this
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#settle(closed())
    const ended = new Promise((resolve) => this.#client.once('end', resolve))
    if (isReady) await soon(this.#client.quit())
    this.#client.disconnect()
    if (isReady) await soon(ended)
  }

  async #begin(): Promise<void> {
    try {
      await this.#prepare(this.#client)
      if (this.#client.status !== 'ready' || this.#state === 'closed') return
      this.#state = 'prepared'
      this.#problem = null
      this.#failures = 0
      this.#settle(null)
    } catch (error) {
      this.#problem = error instanceof Error ? error : new Error(String(error))
      if (this.#client.status === 'ready') this.#client.disconnect(true)
    }
  }

  #broke(): void {
    if (this.#state === 'closed') return
    this.#problem ??= new Error('the connection was closed')
    if (this.#state === 'prepared') this.#state = 'being made'
    else {
      this.#state = 'failed'
      this.#failures += 1
      this.#settle(this.#problem)
    }
  }

  #settle(problem: Error | null): void {
    this.#waiting.forEach((settle) => settle(problem))
  }

  #made(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (problem: Error | null): void => {
        clearTimeout(timer)
        this.#waiting.delete(settle)
        if (problem === null) resolve()
        else reject(problem)
      }
      const { connectTimeoutMs } = this.#settings
      const late = new Error(`no connection within ${connectTimeoutMs} ms`)
      const timer = setTimeout(settle, connectTimeoutMs, late)
      this.#waiting.add(settle)
    })
  }
}

/** Runs a script. It is sent a second time, whole, only where the server has said that it does not know it. */
export async function runScript(client: Redis, { sha, text }: Script, args: readonly string[]): Promise<unknown> {
  try {
    return await client.call('evalsha', [sha, '0', ...args])
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return client.call('eval', [text, '0', ...args])
  }
}

/** Resolves when it ends, however it does, and at the latest after a while. */
async function soon(what: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, goodbyeMs)))
  await Promise.race([what.catch(() => undefined), late])
  clearTimeout(timer)
}

const closed = (): StoreError => new StoreError('unavailable', 'The Redis store is closed.')

/** Answers after which a retry does not help: wrong login, missing rights, also in the words that scripts have for them. */
const unusable = /^(NOAUTH|WRONGPASS|NOPERM)\b|^ERR (ACL failure in script|The user executing the script)\b/

/** What follows where the server does not answer. */
export interface Fate {
  readonly of: 'connection' | 'command'
  readonly text: string
}

export const startOrCheck = ({ setBy }: ConnectionSettings): Fate => ({
  of: 'connection',
  text: `Start it, or check ${setBy.server}.`,
})
export const maybeStored: Fate = { of: 'command', text: 'What was under way may or may not be stored.' }

/** Says in the store's words what Redis or the connection to it refused, and of what. */
export function describeError(error: unknown, { host }: URL, fate: Fate): Error {
  if (error instanceof StoreError || error instanceof RangeError) return error
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) }
  // What an answer complains of may hold what was sent, and so does the error itself: neither goes on.
  const cause = new Error(message.replace(/,? with args beginning with.*/s, ''))
  const [kind = ''] = message.split(' ')
  if (name !== 'ReplyError')
    return new StoreError(
      'unavailable',
      `Redis at ${host} does not answer: ${connectionProblem(name, message)}. ${fate.text}`,
      cause,
    )
  const isForeign = kind === 'WRONGTYPE' // a key of another program
  if (unusable.test(message) || (isForeign && fate.of === 'connection'))
    return new StoreError(
      'unusable',
      `Redis at ${host} cannot be used: ${cause.message}. Check the login, the user's rights (ACL) and the prefix.`,
      cause,
    )
  // Not 'refused': it is no fault of these sagas, and the same batch succeeds once there is room.
  if (kind === 'OOM')
    return new StoreError(
      'unwritable',
      `Redis at ${host} has used up its maxmemory and stored nothing of this. Raise maxmemory, or remove ended sagas sooner.`,
      cause,
    )
  // A connection is refused for no saga's sake: the server has too many of them.
  if ((kind === 'ERR' || isForeign) && fate.of === 'command')
    return new StoreError('refused', `Redis refused it: ${cause.message}`, cause)
  return new StoreError('unavailable', `Redis at ${host} cannot do it now: ${cause.message}`, cause)
}

function connectionProblem(name: string, message: string): string {
  if (name === 'MaxRetriesPerRequestError' || /^(Connection is closed|Stream isn't writeable)/.test(message))
    return 'the connection broke'
  return message
}
