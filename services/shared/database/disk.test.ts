/** A service's file: whole after a clean end, and what happens where its disk is full or the file is gone. */
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { sql, type Migration } from 'kysely'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { errorAlone } from '../http/error-shapes.ts'
import { createHttpServer } from '../http/server.ts'
import { newFolder } from '../testing/ask.ts'
import { openDatabase, type Database } from './database.ts'

interface Tables {
  things: { id: string; text: string }
}

const migrations: Record<string, Migration> = {
  '001': {
    up: (db) => sql`create table things (id text primary key, text text not null)`.execute(db).then(() => undefined),
  },
}

async function openFile(file: string): Promise<Database<Tables>> {
  const database = await openDatabase<Tables>({ kind: 'sqlite', file }, migrations)
  onTestFinished(() => database.close())
  return database
}

/** In a transaction, as all that matters is written. */
const write = ({ db }: Database<Tables>, id: string, text = 'x') =>
  db.transaction().execute(async (tx) => {
    await tx.insertInto('things').values({ id, text }).execute()
  })

const ids = async ({ db }: Database<Tables>): Promise<readonly string[]> =>
  (await db.selectFrom('things').select('id').orderBy('id').execute()).map(({ id }) => id)

async function serverOf(database: Database<Tables>) {
  const server = await createHttpServer({
    title: 'Test',
    version: '1.0.0',
    description: 'A server for tests',
    log: pino({ level: 'silent' }),
    ready: async () => ({ database: await database.ready() }),
    errors: errorAlone,
  })
  onTestFinished(() => server.close())
  server.post<{ Params: { id: string } }>('/things/:id', async ({ params }) => {
    await write(database, params.id, 'x'.repeat(100_000))
    return { id: params.id }
  })
  return {
    post: async (id: string) => {
      const answer = await server.inject({ method: 'POST', url: `/things/${id}` })
      return [answer.statusCode, answer.json() as unknown]
    },
    ready: async () => (await server.inject('/health/ready')).statusCode,
  }
}

test('after a clean end the file alone holds all that was committed', async () => {
  const [file, copy] = [join(newFolder(), 'a.db'), join(newFolder(), 'copy.db')]
  const database = await openDatabase<Tables>({ kind: 'sqlite', file }, migrations)
  await write(database, 'a')
  await ids(database)
  await database.close()
  copyFileSync(file, copy)
  expect(existsSync(`${file}-wal`) ? statSync(`${file}-wal`).size : 0).toBe(0)
  expect(await ids(await openFile(copy))).toEqual(['a'])
})

test('a full disk is 503 with the reason, keeps what was acknowledged, and is over when there is room', async () => {
  const database = await openFile(join(newFolder(), 'a.db'))
  const { post, ready } = await serverOf(database)
  expect(await post('a')).toEqual([200, { id: 'a' }])
  await sql`pragma max_page_count = 40`.execute(database.db)
  expect(await post('b')).toEqual([
    503,
    { error: 'the disk of the database is full, and nothing was changed: send it again in a moment' },
  ])
  expect(await ids(database)).toEqual(['a'])
  await sql`pragma max_page_count = 100000`.execute(database.db)
  expect(await post('z')).toEqual([200, { id: 'z' }])
  expect(await ready()).toBe(200)
})

test('a file that can only be read is not ready, and says so', async () => {
  const database = await openFile(join(newFolder(), 'a.db'))
  const { post, ready } = await serverOf(database)
  await sql`pragma query_only = on`.execute(database.db)
  expect(await ready()).toBe(503)
  expect(await post('a')).toEqual([
    503,
    { error: 'the database can only be read now, and nothing was changed: send it again in a moment' },
  ])
  await sql`pragma query_only = off`.execute(database.db)
  expect([await post('a'), await ready()]).toEqual([[200, { id: 'a' }], 200])
})

test.each([
  ['was removed', (folder: string) => rmSync(folder, { recursive: true })],
  ['was moved away', (folder: string) => renameSync(folder, `${folder}-moved`)],
  [
    'was replaced',
    (folder: string) => {
      renameSync(folder, `${folder}-moved`)
      mkdirSync(folder)
      copyFileSync(join(`${folder}-moved`, 'a.db'), join(folder, 'a.db'))
    },
  ],
])('where the folder %s, nothing more is taken', async (_what, remove) => {
  const folder = join(newFolder(), 'data')
  const database = await openFile(join(folder, 'a.db'))
  const { post, ready } = await serverOf(database)
  expect(await post('a')).toEqual([200, { id: 'a' }])
  remove(folder)
  expect(await post('b')).toEqual([
    503,
    { error: 'the file of the database was removed, and nothing was changed: send it again in a moment' },
  ])
  expect(await ready()).toBe(503)
})

test('a file that is removed within a transaction takes nothing of it', async () => {
  const folder = join(newFolder(), 'data')
  const database = await openFile(join(folder, 'a.db'))
  const writing = database.db.transaction().execute(async (tx) => {
    await tx.insertInto('things').values({ id: 'a', text: '' }).execute()
    renameSync(folder, `${folder}-moved`)
  })
  await expect(writing).rejects.toMatchObject({ code: 'removed' })
})
