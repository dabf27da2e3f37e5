/** Makes what the store needs in a database: the database itself, a schema, and its tables in their newest version. */
import { createHash } from 'node:crypto'
import pg from 'pg'
import { StoreError } from '../store.ts'
import { migrations } from './migrations.ts'

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

export type ConnectionSettings = pg.ClientConfig & { readonly connectionString: string }

/** How often it is told that all waits for a migration. */
const tellEveryMs = 30_000

/**
 * Brings the schema to its newest version, in a database that is made where the server does not have it. Processes that start
 * at once do so one after the other. However long it takes: a large table takes minutes, and who gave up would begin anew.
 */
export async function migrate(
  settings: ConnectionSettings,
  name: string,
  onProblem: (what: string, cause: unknown) => void = () => undefined,
): Promise<void> {
  const client = await connect({ ...settings, query_timeout: 0, keepAliveInitialDelayMillis: 10_000 })
  const telling = setInterval(
    () => onProblem(`schema ${name} is still being made or upgraded, here or by another process`, null),
    tellEveryMs,
  )
  try {
    await client.query('begin')
    await client.query('set local statement_timeout = 0; set local lock_timeout = 0')
    await client.query('select pg_advisory_xact_lock($1)', [lockOf(name)])
    const at = await versionOf(client, name)
    if (at > migrations.length)
      throw new StoreError(
        'unusable',
        `Schema ${name} was made by a newer version (${at}, known ${migrations.length}). Use that version.`,
      )
    const schema = quoted(name)
    for (const migration of migrations.slice(at)) await client.query(migration.replaceAll('S.', `${schema}.`))
    if (at < migrations.length) await client.query(`insert into ${schema}.saga_schema values ($1)`, [migrations.length])
    await client.query('commit')
  } finally {
    clearInterval(telling)
    await client.end().catch(() => undefined)
  }
}

async function versionOf(client: pg.Client, name: string): Promise<number> {
  const schema = quoted(name)
  const { rows: found } = await client.query('select from pg_namespace where nspname = $1', [name])
  // Asked first: a role that may use a schema need not have the right to make one.
  if (found.length === 0) await client.query(`create schema ${schema}`)
  await client.query(`create table if not exists ${schema}.saga_schema (version int not null)`)
  const { rows } = await client.query<{ version: number | null }>(
    `select max(version) as version from ${schema}.saga_schema`,
  )
  return rows[0]?.version ?? 0
}

const lockOf = (schema: string): number => createHash('sha256').update(`ordersaga:${schema}`).digest().readInt32BE()

/** Makes the database that the URL names where the server does not have it, by way of the server's own `postgres`. */
async function connect(settings: ConnectionSettings): Promise<pg.Client> {
  try {
    return await connected(settings)
  } catch (error) {
    if ((error as { readonly code?: string }).code !== '3D000') throw error
    await createDatabase(settings)
    return connected(settings)
  }
}

async function connected(settings: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(settings)
  // A connection that breaks outside of a query says so by an event; unheard, that would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return client
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

async function createDatabase(settings: ConnectionSettings): Promise<void> {
  const name = new pg.Client(settings).database ?? ''
  const maintenance = new URL(settings.connectionString)
  maintenance.pathname = '/postgres'
  let client: pg.Client | null = null
  try {
    client = await connected({ ...settings, connectionString: maintenance.href })
    await client.query(`create database ${quoted(name)}`)
  } catch (error) {
    const { code = '', message = String(error) } = error as { readonly code?: string; readonly message?: string }
    if (code === '42P04' || code === '23505') return // another process has made it in this very moment
    throw new StoreError(
      'unusable',
      `Database ${name} does not exist and could not be made (${message}). Create it, or let the role create databases.`,
      error,
    )
  } finally {
    await client?.end()
  }
}
