import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql, type Migration } from 'kysely'
import { afterEach, expect, test } from 'vitest'
import { newFolder } from '../testing/ask.ts'
import { openDatabase, type Database } from './database.ts'
import { isAway, isContention, isUniqueViolation } from './errors.ts'

interface Tables {
  things: { id: string; cents: number | null }
}

const things: Migration = {
  async up(db) {
    await db.schema
      .createTable('things')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('cents', 'bigint')
      .execute()
  },
}

const open: Database<Tables>[] = []

async function openFile(file: string, migrations: Record<string, Migration> = { '001': things }) {
  const database = await openDatabase<Tables>({ kind: 'sqlite', file }, migrations)
  open.push(database)
  return database
}

afterEach(async () => {
  for (const database of open.splice(0)) await database.close()
})

test('the folder is made, and what was committed is there after it was opened again', async () => {
  const file = join(newFolder(), 'deep', 'er', 'a.db')
  const first = await openFile(file)
  await first.db.insertInto('things').values({ id: 'a', cents: 123_456_789_012 }).execute()
  await first.close()
  open.pop()
  const second = await openFile(file)
  expect(await second.db.selectFrom('things').selectAll().execute()).toEqual([{ id: 'a', cents: 123_456_789_012 }])
  expect(await second.ready()).toBe(true)
})

test('a commit is synced to disk, in a write-ahead log, with foreign keys enforced', async () => {
  const { db } = await openFile(join(newFolder(), 'a.db'))
  const pragma = async (name: string) => Object.values((await sql.raw(`pragma ${name}`).execute(db)).rows[0] ?? {})[0]
  expect(await pragma('journal_mode')).toBe('wal')
  expect(await pragma('synchronous')).toBe(2)
  expect(await pragma('foreign_keys')).toBe(1)
})

/**
 * For programs: tries again where others had the file for as long as it is waited for, as they may on a slow disk. What
 * is refused at once, such as a write after a read that is out of date, fails.
 */
const patiently = `const patiently = async (work) => {
      for (let tries = 1; ; tries++) {
        const began = performance.now()
        try {
          return await work()
        } catch (error) {
          const waited = performance.now() - began > 1_000
          if (!['SQLITE_BUSY', 'locked'].includes(error.code) || !waited || tries === 10) throw error
        }
      }
    }`

test('transactions of several processes that read and then write wait for each other and lose nothing', async () => {
  const file = join(newFolder(), 'a.db')
  const { db } = await openFile(file)
  await db.insertInto('things').values({ id: 'n', cents: 0 }).execute()
  const program = `
    const { openDatabase } = await import('./services/shared/database/database.ts')
    const { sql } = await import('kysely')
    ${patiently}
    const { db, close } = await patiently(() =>
      openDatabase({ kind: 'sqlite', file: ${JSON.stringify(file)} }, { '001': { async up() {} } }))
    // They begin together, or they might never meet.
    await patiently(() => db.insertInto('things').values({ id: String(process.pid), cents: 0 }).execute())
    const all = async () => (await db.selectFrom('things').select('id').execute()).length === 4
    for (let looks = 0; looks < 20_000 && !(await all()); looks++) await new Promise((resolve) => setTimeout(resolve, 1))
    for (let i = 0; i < 50; i++) await patiently(() => db.transaction().execute(async (tx) => {
      const { cents } = await tx.selectFrom('things').select('cents').where('id', '=', 'n').executeTakeFirstOrThrow()
      await new Promise((resolve) => setImmediate(resolve))
      await tx.updateTable('things').set({ cents: cents + 1 }).where('id', '=', 'n').execute()
    }))
    await close()`
  expect(await Promise.all([0, 1, 2].map(() => runNode(program)))).toEqual(['', '', ''])
  expect(await db.selectFrom('things').select('cents').where('id', '=', 'n').execute()).toEqual([{ cents: 150 }])
})

test('processes that start at once on one file all come up, and each migration happens once', async () => {
  const file = join(newFolder(), 'a.db')
  const program = `
    const { openDatabase } = await import('./services/shared/database/database.ts')
    const { inboxMigration } = await import('./services/shared/database/inbox.ts')
    const { sql } = await import('kysely')
    const slow = { async up(db) {
      await sql\`create table log (at text)\`.execute(db)
      await sql\`insert into log values ('once')\`.execute(db)
      await new Promise((r) => setTimeout(r, 50)) // the others come meanwhile
    } }
    ${patiently}
    const database = await patiently(() =>
      openDatabase({ kind: 'sqlite', file: ${JSON.stringify(file)} }, { '001': inboxMigration, '002': slow }))
    const { rows } = await sql\`select * from log\`.execute(database.db)
    console.log(rows.length)
    await database.close()`
  expect(await Promise.all([0, 1, 2].map(() => runNode(program)))).toEqual(['1', '1', '1'])
})

test('a migration that fails leaves nothing behind, and says so', async () => {
  const file = join(newFolder(), 'a.db')
  const broken: Migration = {
    async up(db) {
      await sql`create table half (a text)`.execute(db)
      await sql`insert into nowhere values (1)`.execute(db)
    },
  }
  await expect(openFile(file, { '001': things, '002': broken })).rejects.toMatchObject({
    name: 'DatabaseError',
    code: 'migration',
    message: expect.stringContaining('nowhere'),
  })
  const { db } = await openFile(file)
  const tables = await db.introspection.getTables()
  expect(tables.map(({ name }) => name)).toEqual(['readiness', 'things'])
})

test.each([
  ['a folder that is a file', 'unwritable', (at: string) => (writeFileSync(join(at, 'f'), ''), join(at, 'f', 'a.db'))],
  [
    'a file that is no database',
    'unusable',
    (at: string) => (writeFileSync(join(at, 'x.db'), 'x'.repeat(9000)), join(at, 'x.db')),
  ],
])('%s is one clear error: %s', async (_what, code, prepare) => {
  const file = prepare(newFolder())
  await expect(openFile(file)).rejects.toMatchObject({ code, message: expect.stringContaining(file) })
})

test('a file that another process holds is reported as locked after a bounded wait', async () => {
  const file = join(newFolder(), 'a.db')
  const holder = await openFile(file)
  await sql`begin immediate`.execute(holder.db)
  await expect(openFile(file)).rejects.toMatchObject({ code: 'locked', retryable: true })
  await sql`rollback`.execute(holder.db)
})

test('after a file was busy for too long the next transactions commit as if nothing had been', async () => {
  const file = join(newFolder(), 'a.db')
  const { db } = await openFile(file)
  const holder = await openFile(file)
  const transaction = (id: string) =>
    db.transaction().execute((tx) => tx.insertInto('things').values({ id, cents: 1 }).returning('id').execute())
  await sql`begin immediate`.execute(holder.db)
  await expect(transaction('busy')).rejects.toSatisfy(isContention)
  await expect(db.insertInto('things').values({ id: 'busy', cents: 1 }).execute()).rejects.toSatisfy(isContention)
  await sql`commit`.execute(holder.db)
  for (const id of ['a', 'b']) await transaction(id)
  expect(await holder.db.selectFrom('things').select('id').orderBy('id').execute()).toEqual([{ id: 'a' }, { id: 'b' }])
})

test('a value that SQLite cannot hold is an error and not the end of the process', async () => {
  const { db } = await openFile(join(newFolder(), 'a.db'))
  await db
    .insertInto('things')
    .values({ id: 'flag', cents: true as unknown as number })
    .execute()
  expect(await db.selectFrom('things').select('cents').execute()).toEqual([{ cents: 1 }])
  for (const bad of [undefined, Number.NaN, { a: 1 }, new Date(0)]) {
    await expect(sql`insert into things values ('x', ${bad})`.execute(db)).rejects.toThrow(TypeError)
  }
})

test('a key that is taken is told apart from other errors', async () => {
  const { db } = await openFile(join(newFolder(), 'a.db'))
  const insert = () => db.insertInto('things').values({ id: 'a', cents: 1 }).execute()
  await insert()
  await expect(insert()).rejects.toSatisfy(isUniqueViolation)
  await expect(sql`insert into nowhere values (1)`.execute(db)).rejects.not.toSatisfy(isUniqueViolation)
})

async function runNode(program: string): Promise<string> {
  const child = spawn(process.execPath, [
    '--conditions=source',
    '--import',
    'tsx',
    '--input-type=module',
    '-e',
    program,
  ])
  let output = ''
  child.stdout.on('data', (data: Buffer) => (output += data.toString()))
  child.stderr.on('data', (data: Buffer) => (output += data.toString()))
  await new Promise((resolve) => child.on('close', resolve))
  return output.trim()
}

test('a database that cannot be reached or is full is away; one that refuses is not', () => {
  const coded = (code: string): Error => Object.assign(new Error('said by a driver'), { code })
  for (const code of [
    'ECONNREFUSED',
    'ECONNRESET',
    '57P01',
    '53300',
    '08006',
    '40001',
    '25006',
    '58030',
    'SQLITE_FULL',
    'SQLITE_IOERR_WRITE',
    'SQLITE_READONLY',
    'SQLITE_READONLY_DBMOVED',
    'SQLITE_CANTOPEN',
  ])
    expect(isAway(coded(code)), code).toBe(true)
  expect(isAway(new Error('Connection terminated unexpectedly'))).toBe(true)
  expect(isAway(new Error('timeout exceeded when trying to connect'))).toBe(true)
  expect(isAway(new Error('Query read timeout'))).toBe(true)
  for (const code of [
    '23505',
    '42P01',
    '22P02',
    '25P02',
    '57014',
    'SQLITE_CONSTRAINT_UNIQUE',
    'SQLITE_ERROR',
    'ERR_ASSERTION',
  ])
    expect(isAway(coded(code)), code).toBe(false)
  expect(isAway(new Error('something else'))).toBe(false)
  expect(isAway('away')).toBe(false)
})
