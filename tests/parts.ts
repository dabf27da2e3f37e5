/**
 * The real parts that suites run against: where they are, and a fresh corner of them for each suite.
 *
 * Invariant: a suite whose part is missing is skipped by name on a developer's machine and fails in CI; it never passes
 * by not running.
 */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { describe, test } from 'vitest'

const port = process.env['ORDERSAGA_POSTGRES_PORT'] ?? '54329'
const local = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`

/** The server of TEST_POSTGRES_URL, else the one `npm run services` starts; null where neither is to be had. */
export async function postgresUrl(): Promise<string | null> {
  const given = process.env['TEST_POSTGRES_URL']
  if (given !== undefined && given !== '') return given
  return (await answers(local)) ? local : null
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** A database of its own, so that suites neither see nor wait for each other; `drop` also cuts whoever is still in it. */
export async function freshDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const server = await postgresUrl()
  if (server === null) throw new Error(`PostgreSQL does not answer: ${remedy}`)
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await run(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => run(server, `drop database if exists ${name} with (force)`) }
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

const remedy = 'start it with `npm run services`, or name a server in TEST_POSTGRES_URL'

/**
 * Describes a suite on a real part.
 *
 * @example
 * suiteOn('PostgreSQL', await postgresUrl(), 'the PostgreSQL store', () => storeContract('postgres', open))
 */
export function suiteOn(part: string, url: string | null, name: string, body: (url: string) => void): void {
  if (url !== null) {
    describe(name, () => {
      body(url)
    })
  } else if (process.env['CI'] === 'true') {
    test(name, () => {
      throw new Error(`${part} does not answer: ${remedy}`)
    })
  } else {
    describe.skip(`${name} (${part} does not answer: ${remedy})`, () => {
      test('the whole suite', () => undefined)
    })
  }
}
