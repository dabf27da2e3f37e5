/**
 * Whether a server may be trusted with sagas: asked of it on every new connection, before anything is written.
 *
 * Redis acknowledges what it has only in memory unless it is told otherwise, and may drop keys when memory runs out. A server
 * like that is refused, as is one whose settings cannot be read, unless the loss is accepted.
 */
import type { Redis } from 'ioredis'
import { StoreError } from '../store.ts'
import { runScript } from './connection.ts'
import { probe } from './scripts.ts'

/** What each setting must be, and what happens otherwise. */
const needed = [
  ['appendonly', 'yes', 'nothing is written to disk before it is acknowledged'],
  ['appendfsync', 'always', 'a crash of the machine loses what was not yet on disk'],
  ['no-appendfsync-on-rewrite', 'no', 'nothing is forced to disk while the log is rewritten'],
  // Also with maxmemory 0, and also the policies that spare keys without an expiry, as ours are: both settings can be changed
  // while the server runs, and a server that is told to forget is somebody's cache.
  ['maxmemory-policy', 'noeviction', 'sagas are dropped when memory runs out'],
] as const

const acceptance = 'or set acceptLoss: true, if acknowledged sagas may be lost'

/** @throws StoreError `unusable`, or `unavailable` while the server loads its data */
export async function checkServer(client: Redis, { host, pathname }: URL, acceptLoss: boolean): Promise<void> {
  const info = await client.info().catch((error: unknown) => forbidden(error))
  if (info !== null) checkKind(new Map([...info.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, k, v]) => [k, v])), host)
  await select(client, host, pathname.slice(1))
  if (acceptLoss) return
  const wrong: string[] = []
  for (const [name, right, otherwise] of needed) {
    const value = await readSetting(client, name)
    if (value === null)
      throw new StoreError(
        'unusable',
        `Redis at ${host} does not let its settings be read (CONFIG GET ${name}), so nobody knows whether acknowledged sagas are safe there. Let the user run CONFIG GET, ${acceptance}.`,
      )
    if (value !== right) wrong.push(`${name} is '${value}' (${otherwise}): set it to '${right}'`)
  }
  if (wrong.length > 0)
    throw new StoreError('unusable', `Redis at ${host} would lose sagas: ${wrong.join('; ')}; ${acceptance}.`)
}

function checkKind(info: ReadonlyMap<string | undefined, string | undefined>, host: string): void {
  if (info.get('loading') === '1') throw new StoreError('unavailable', `Redis at ${host} is still loading its data.`)
  const mode = info.get('redis_mode') ?? 'standalone'
  if (mode !== 'standalone')
    throw new StoreError(
      'unusable',
      `Redis at ${host} runs as a ${mode}: a batch of sagas needs all keys in one server. Use a single server (replicas do no harm).`,
    )
  if (info.get('role') === 'slave')
    throw new StoreError(
      'unusable',
      `Redis at ${host} is a replica of ${info.get('master_host')}:${info.get('master_port')}: what is written there is refused or lost. Use the primary.`,
    )
}

/** The driver has done it, and goes on with the first database where it could not. */
async function select(client: Redis, host: string, database: string): Promise<void> {
  try {
    if (database !== '') await client.select(database)
  } catch (error) {
    const { message } = error as Error
    if (!message.startsWith('ERR')) throw error
    throw new StoreError(
      'unusable',
      `Redis at ${host} has no database ${database}: ${message}. Name another in the URL.`,
    )
  }
}

async function readSetting(client: Redis, name: string): Promise<string | null> {
  const answer = await client.config('GET', name).catch((error: unknown) => forbidden(error))
  const value = Array.isArray(answer) ? (answer as unknown[])[1] : null
  return typeof value === 'string' ? value : null
}

/** Null for what the server does not let its user ask: managed ones hide commands or rename them. */
function forbidden(error: unknown): null {
  const { message = '' } = error as { readonly message?: string }
  if (/^NOPERM|^ERR unknown command/.test(message)) return null
  throw error
}

/** @throws StoreError `unusable` where the user may not do all that a batch does */
export async function checkRights(client: Redis, { host }: URL, prefix: string): Promise<void> {
  try {
    await runScript(client, probe, [prefix])
  } catch (error) {
    const { message } = error as Error
    // Full memory is no matter of rights, and what frees some must get through.
    if (message.startsWith('OOM')) return
    if (!/^(ERR|NOPERM)/.test(message)) throw error
    throw new StoreError(
      'unusable',
      `The user of Redis at ${host} may not do all that is needed: ${message}. Give it ~${prefix}:*, &${prefix}:* and +@all -@admin -@dangerous +config|get +info.`,
    )
  }
}

/** Of the layout of keys that `scripts.ts` describes. */
const version = 1

/** @throws StoreError where the keys under the prefix were made by a newer version, or are none of ours */
export async function checkVersion(client: Redis, prefix: string): Promise<void> {
  const key = `${prefix}:version`
  const found = (await client.get(key)) ?? ((await client.setnx(key, version)) === 1 ? version : await client.get(key))
  if (Number(found) === version) return
  throw new StoreError(
    'unusable',
    Number(found) > version
      ? `The sagas under prefix ${prefix} were kept by a newer version (layout ${found}, known ${version}). Use that version.`
      : `The keys under prefix ${prefix} are not sagas (${key} is '${found}'). Choose another prefix.`,
  )
}
