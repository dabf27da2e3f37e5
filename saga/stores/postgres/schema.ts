/** Makes what the store needs in a database: the database itself, a schema, and its tables in their newest version. */
import { createHash } from 'node:crypto'
import pg from 'pg'
import { StoreError } from '../store.ts'
import { migrations } from './migrations.ts'

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Brings the schema to its newest version. Processes that start at once do so one after the other. */
export async function migrate(pool: pg.Pool, name: string): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
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
    client.release()
  } catch (error) {
    client.release(true)
    throw error
  }
}

async function versionOf(client: pg.PoolClient, name: string): Promise<number> {
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
export async function ensureDatabase(settings: pg.ClientConfig & { readonly connectionString: string }): Promise<void> {
  const client = new pg.Client(settings)
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    if ((error as { readonly code?: string }).code !== '3D000') throw error
    await createDatabase(settings, client.database ?? '')
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function createDatabase(
  settings: pg.ClientConfig & { readonly connectionString: string },
  name: string,
): Promise<void> {
  const maintenance = new URL(settings.connectionString)
  maintenance.pathname = '/postgres'
  const client = new pg.Client({ ...settings, connectionString: maintenance.href })
  client.on('error', () => undefined)
  try {
    await client.connect()
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
    await client.end().catch(() => undefined)
  }
}
