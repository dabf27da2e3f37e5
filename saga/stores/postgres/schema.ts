/** Makes what the store needs in a database: a schema, its tables in their newest version, and the database itself if told to. */
import { createHash } from 'node:crypto'
import type { OnProblem } from '../../problem.ts'
import { StoreError } from '../store.ts'
import { migrations } from './migrations.ts'
import { pg } from './driver.ts'
import type { PostgresClient } from './pool.ts'
import { clientSettings, connected } from './source.ts'

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A lock that goes with the transaction. */
export const lockOf = (schema: string, purpose = ''): number =>
  createHash('sha256').update(`ordersaga:${schema}${purpose}`).digest().readInt32BE()

/** How often it is told that all waits for a migration. */
const tellEveryMs = 30_000

/**
 * Brings the schema to its newest version. Processes that start at once do so one after the other. However long it takes: a
 * large table takes minutes, and who gave up would begin anew.
 */
export async function migrate(client: PostgresClient, name: string, onProblem: OnProblem): Promise<void> {
  const what = `Schema ${name} is still being made or upgraded, here or by another process; nothing runs until that is done.`
  const telling = setInterval(() => onProblem({ what, needsPerson: false }), tellEveryMs)
  const run = (text: string, values: unknown[] = []): ReturnType<PostgresClient['query']> =>
    client.query({ text, values })
  try {
    await run('begin isolation level read committed')
    await run('set local statement_timeout = 0')
    await run('set local lock_timeout = 0')
    await run('select pg_advisory_xact_lock($1)', [lockOf(name)])
    const at = await versionOf(run, name)
    if (at > migrations.length)
      throw new StoreError(
        'unusable',
        `Schema ${name} was made by a newer version (${at}, known ${migrations.length}). Use that version.`,
      )
    const schema = quoted(name)
    for (const migration of migrations.slice(at)) await run(migration.replaceAll('S.', `${schema}.`))
    if (at < migrations.length) await run(`insert into ${schema}.saga_schema values ($1)`, [migrations.length])
    await countOn(run, schema)
    await run('commit')
  } finally {
    clearInterval(telling)
  }
}

type Run = (text: string, values?: unknown[]) => ReturnType<PostgresClient['query']>

/**
 * A dump that was restored on another server has brought moves with transactions that this one has not reached: they are
 * counted on from there, or else what comes next would be placed among the moves that readers have seen.
 */
async function countOn(run: Run, schema: string): Promise<void> {
  const { rows } = await run(
    `select h.xact from ${schema}.saga_history h, ${schema}.saga_store s
     where h.xact > 0 and h.xact >= s.xact_base + pg_snapshot_xmax(pg_current_snapshot())::text::bigint
     order by h.xact desc limit 1`,
  )
  const [last] = rows as { readonly xact: string }[]
  if (last === undefined) return
  const base = BigInt(last.xact)
  await run(`update ${schema}.saga_store set xact_base = ${base}`)
  await run(
    `alter table ${schema}.saga_history alter column xact set default ${base} + pg_current_xact_id()::text::bigint`,
  )
}

async function versionOf(run: Run, name: string): Promise<number> {
  const schema = quoted(name)
  const { rows: found } = await run('select from pg_namespace where nspname = $1', [name])
  // Asked first: a role that may use a schema need not have the right to make one.
  if (found.length === 0) await run(`create schema ${schema}`)
  await run(`create table if not exists ${schema}.saga_schema (version int not null)`)
  const { rows } = await run(`select max(version) as version from ${schema}.saga_schema`)
  return (rows as { version: number | null }[])[0]?.version ?? 0
}

export const isMissingDatabase = (error: unknown): boolean => (error as { readonly code?: string }).code === '3D000'

export const nameOfDatabase = (connectionString: string): string => new pg.Client({ connectionString }).database ?? ''

/** Makes the database that the URL names, by way of the server's own `postgres`. */
export async function createDatabase(connectionString: string): Promise<void> {
  const name = nameOfDatabase(connectionString)
  const maintenance = new URL(connectionString)
  maintenance.pathname = '/postgres'
  let admin: Awaited<ReturnType<typeof connected>> | null = null
  try {
    admin = await connected(clientSettings(maintenance.href))
    await admin.client.query({ text: `create database ${quoted(name)}` })
  } catch (error) {
    const { code = '', message = String(error) } = error as { readonly code?: string; readonly message?: string }
    if (code === '42P04' || code === '23505') return // another process has made it in this very moment
    throw new StoreError(
      'unusable',
      `Database ${name} does not exist and could not be made (${message}). Create it, or let the role create databases.`,
      error,
    )
  } finally {
    await admin?.end()
  }
}
