import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { sql, type Migration } from 'kysely'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { openDatabase, retryContention, type Database } from './database.ts'
import { driverCode, isAway, isContention, isUniqueViolation } from './errors.ts'

interface Tables {
  things: { id: string; cents: number }
}

const things: Migration = {
  async up(db) {
    await sql`create table things (id text primary key, cents bigint not null)`.execute(db)
    await sql`insert into things values ('seed', 9007199254740991)`.execute(db)
  },
}

suiteOn('PostgreSQL', await postgresUrl(), 'a database on PostgreSQL', (server) => {
  const cleanups: (() => Promise<void>)[] = []

  const openAt = async (url: string, migrations: Record<string, Migration> = { '001': things }) => {
    const database = await openDatabase<Tables>({ kind: 'postgres', url }, migrations)
    cleanups.push(() => database.close())
    return database
  }
  const fresh = async (): Promise<string> => {
    const database = await freshDatabase()
    cleanups.push(() => database.drop())
    return database.url
  }
  const missing = (): string => {
    const name = `test_${randomUUID().replaceAll('-', '')}`
    const url = new URL(server)
    url.pathname = `/${name}`
    cleanups.push(() => asAdmin(`drop database if exists ${name} with (force)`))
    return url.href
  }
  const asAdmin = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: server })
    await client.connect()
    try {
      await client.query(statement)
    } finally {
      await client.end()
    }
  }

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  test('a missing database is made, also where several processes start at once, and each migration happens once', async () => {
    const url = missing()
    const databases = await Promise.all([openAt(url), openAt(url), openAt(url), openAt(url)])
    for (const { db } of databases) {
      expect(await db.selectFrom('things').selectAll().execute()).toEqual([
        { id: 'seed', cents: Number.MAX_SAFE_INTEGER },
      ])
    }
    expect(await databases[0]?.ready()).toBe(true)
  })

  test('a role that may not create the missing database is told what to do', async () => {
    const role = `role_${randomUUID().slice(0, 8)}`
    await asAdmin(`create role ${role} login password 'secret'`)
    cleanups.push(() => asAdmin(`drop role ${role}`))
    const url = new URL(missing())
    url.username = role
    url.password = 'secret'
    const failure = await openAt(url.href).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'refused', message: expect.stringContaining('create it') })
    expect(String(failure)).not.toContain('secret')
  })

  test('a server that is not there is reported as unreachable, without the password', async () => {
    const probe = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => probe.once('listening', resolve))
    const { port } = probe.address() as { port: number }
    await new Promise((resolve) => probe.close(resolve))
    const failure = await openAt(`postgres://me:secret@127.0.0.1:${port}/x`).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'unreachable', retryable: true })
    expect(String(failure)).toContain(String(port))
    expect(String(failure)).not.toContain('secret')
  })

  test('a migration that fails leaves nothing behind', async () => {
    const url = await fresh()
    const broken: Migration = { up: (db) => sql`insert into nowhere values (1)`.execute(db).then(() => undefined) }
    await expect(openAt(url, { '001': things, '002': broken })).rejects.toMatchObject({ code: 'migration' })
    const { db } = await openAt(url)
    expect((await db.introspection.getTables()).map(({ name }) => name)).toEqual(['readiness', 'things'])
  })

  test('cut connections, idle ones and one inside a transaction, cost one statement and not the process', async () => {
    const database = await openAt(await fresh())
    const { db } = database
    const cut = () => sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`
    const failing = db.transaction().execute(async (tx) => {
      await tx.insertInto('things').values({ id: 'lost', cents: 1 }).execute()
      await cut().execute(db)
      await tx.insertInto('things').values({ id: 'lost too', cents: 1 }).execute()
    })
    await expect(failing).rejects.toThrow()
    await expect.poll(() => database.ready()).toBe(true)
    expect(await db.selectFrom('things').select('id').execute()).toEqual([{ id: 'seed' }])
  })

  test('a statement that the server works on too long is cancelled, and is no reason to wait for the database', async () => {
    const database = await openDatabase<Tables>(
      { kind: 'postgres', url: await fresh(), limitMs: 8_000 },
      { '001': things },
    )
    cleanups.push(() => database.close())
    const slow = await sql`select pg_sleep(60)`.execute(database.db).catch((error: unknown) => error)
    expect([driverCode(slow), isAway(slow)]).toEqual(['57014', false])
    expect(await database.ready()).toBe(true)
  })

  test('a migration may take longer than a statement', async () => {
    const slow: Migration = { up: (db) => sql`select pg_sleep(1.5)`.execute(db).then(() => undefined) }
    const database = await openDatabase<Tables>(
      { kind: 'postgres', url: await fresh(), limitMs: 1_000 },
      { '001': slow },
    )
    cleanups.push(() => database.close())
    expect(database.dialect).toBe('postgres')
  })

  test('a whole number that would lose digits throws instead', async () => {
    const { db } = await openAt(await fresh())
    await expect(sql`select 9007199254740993::bigint as n`.execute(db)).rejects.toThrow('too large')
  })

  test('a lost race is told apart, and done again it succeeds', async () => {
    const { db } = await openAt(await fresh())
    const add = (database: Database<Tables>['db'], onRead: () => Promise<void>) =>
      database
        .transaction()
        .setIsolationLevel('serializable')
        .execute(async (tx) => {
          const { cents } = await tx.selectFrom('things').select('cents').executeTakeFirstOrThrow()
          await onRead()
          await tx
            .updateTable('things')
            .set({ cents: cents - 1 })
            .execute()
        })
    let disturbed = 0
    const disturb = async (): Promise<void> => {
      if (disturbed++ === 0) await add(db, async () => undefined)
    }
    await expect(add(db, disturb)).rejects.toSatisfy(isContention)
    disturbed = 0
    await retryContention(() => add(db, disturb))
    expect((await db.selectFrom('things').select('cents').executeTakeFirstOrThrow()).cents).toBe(
      Number.MAX_SAFE_INTEGER - 3,
    )
    const again = db.insertInto('things').values({ id: 'seed', cents: 1 }).execute()
    await expect(again).rejects.toSatisfy(isUniqueViolation)
  })
})
