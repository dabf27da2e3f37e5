/**
 * Whether a server may be trusted with sagas: asked of it on every new connection, before anything is written.
 *
 * Redis acknowledges what it has only in memory unless it is told otherwise, and may drop keys when memory runs out. A server
 * like that is refused, as is one whose settings cannot be read, unless the loss is accepted.
 *
 * A server that was restarted is made to rewrite its log before anything is written. A crash may leave part of a transaction at
 * the log's end. Redis passes over it when it starts, but where the crash cut a command in two it leaves the whole ones before
 * it in the log (seen with 7.0.15; valkey-io/valkey#4342), and the next transaction completes them: after one more restart,
 * half a batch that nobody knows of has happened. A log that was rewritten since has no such end. (Should the server crash
 * once more while it rewrites, its next start may stop at 'the truncated file is not the last file', and the one after goes on.)
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { StoreError } from '../store.ts'
import { runScript, type ConnectionSettings } from './connection.ts'
import { placeOld, probe } from './scripts.ts'

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

/** @throws StoreError `unusable`, or `unavailable` while the server loads its data or rewrites its log */
export async function checkServer(
  client: Redis,
  { url, setBy }: Pick<ConnectionSettings, 'url' | 'setBy'>,
  acceptLoss: boolean,
): Promise<void> {
  const { host, pathname } = url
  const info = await readInfo(client)
  if (info !== null) checkKind(info, host)
  await select(client, host, pathname.slice(1), setBy.database)
  if (acceptLoss) return
  const wrong: string[] = []
  for (const [name, right, otherwise] of needed) {
    const value = await readSetting(client, name)
    if (value === null) throw unknowable(host, `CONFIG GET ${name}`)
    if (value !== right) wrong.push(`${name} is '${value}' (${otherwise}): set it to '${right}'`)
  }
  if (wrong.length > 0)
    throw new StoreError('unusable', `Redis at ${host} would lose sagas: ${wrong.join('; ')}; ${acceptance}.`)
  await rewriteLog(client, host)
}

const unknowable = (host: string, command: string): StoreError =>
  new StoreError(
    'unusable',
    `Redis at ${host} does not let this user run ${command}, so nobody knows whether acknowledged sagas are safe there. Allow it, ${acceptance}.`,
  )

type Info = ReadonlyMap<string, string>

async function readInfo(client: Redis): Promise<Info | null> {
  const info = await client.info().catch(forbidden)
  if (info === null) return null
  return new Map([...info.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]))
}

/** How long a call is let wait for the log; with more to rewrite, it is told to come again. */
const rewriteMs = 4_000

/** Sees to it that the server has rewritten its log since it was started. */
async function rewriteLog(client: Redis, host: string): Promise<void> {
  const late = performance.now() + rewriteMs
  for (let asked = false; ; asked = true) {
    const info = await readInfo(client)
    if (info === null) throw unknowable(host, 'INFO')
    const busy = info.get('aof_rewrite_in_progress') === '1' || info.get('aof_rewrite_scheduled') === '1'
    const done = info.get('aof_last_rewrite_time_sec') !== '-1' && info.get('aof_last_bgrewrite_status') === 'ok'
    if (done) return
    if (performance.now() > late || (asked && !busy))
      throw new StoreError(
        'unavailable',
        `Redis at ${host} was restarted, and is used once it has rewritten its log (BGREWRITEAOF), which ${busy ? 'takes its time' : 'has failed: see the log of the server'}.`,
      )
    if (!busy && (await client.bgrewriteaof().catch(unlessUnderWay)) === null) throw unknowable(host, 'BGREWRITEAOF')
    await delay(20)
  }
}

/** Another process may have asked for it in this very moment. */
const unlessUnderWay = (error: unknown): string | null =>
  /already in progress/.test((error as Error).message) ? 'under way' : forbidden(error)

function checkKind(info: Info, host: string): void {
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
async function select(client: Redis, host: string, database: string, setBy: string): Promise<void> {
  try {
    if (database !== '') await client.select(database)
  } catch (error) {
    const { message } = error as Error
    if (!message.startsWith('ERR')) throw error
    throw new StoreError(
      'unusable',
      `Redis at ${host} has no database ${database}: ${message}. Name another in ${setBy}.`,
    )
  }
}

async function readSetting(client: Redis, name: string): Promise<string | null> {
  const answer = await client.config('GET', name).catch(forbidden)
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
      `The user of Redis at ${host} may not do all that is needed: ${message}. Give it ~${prefix}:*, &${prefix}:* and +@all -@admin -@dangerous +config|get +info +bgrewriteaof.`,
    )
  }
}

/**
 * Of the layout of keys that `scripts.ts` describes. Under version 1, the whole state was written with each move; under version 2,
 * moves had no place among those of all sagas, and no status.
 */
const version = 3
const earliest = 1

/** @throws StoreError where the keys under the prefix were made by a newer version, or are none of ours */
export async function checkVersion(client: Redis, prefix: string): Promise<void> {
  const key = `${prefix}:version`
  const found = (await client.get(key)) ?? ((await client.setnx(key, version)) === 1 ? version : await client.get(key))
  if (Number(found) === version) return
  if (Number(found) >= earliest && Number(found) < version) return // `upgrade` follows
  throw new StoreError(
    'unusable',
    Number(found) > version
      ? `The sagas under prefix ${prefix} were kept by a newer version (layout ${found}, known ${version}). Use that version.`
      : `The keys under prefix ${prefix} are not sagas (${key} is '${found}'). Choose another prefix.`,
  )
}

/** Brings the keys under the prefix to this layout, however many processes do so at once. */
export async function upgrade(client: Redis, prefix: string): Promise<void> {
  const key = `${prefix}:version`
  if (Number(await client.get(key)) === version) return
  for (let low = '-'; low !== '';) low = (await runScript(client, placeOld, [prefix, low])) as string
  await client.set(key, version)
}
