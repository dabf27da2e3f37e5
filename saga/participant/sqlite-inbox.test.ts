import type { Problem } from '../problem.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'libsql'
import { afterAll, expect, test } from 'vitest'
import { inboxContract } from './inbox.contract.ts'
import { sqliteInbox, sqliteInboxSql } from './sqlite-inbox.ts'

const folder = mkdtempSync(join(tmpdir(), 'ordersaga-inbox-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const newFile = (): string => join(folder, `${(files += 1)}.db`)
const openFile = (file: string): Database.Database => {
  const database = new Database(file)
  database.exec('pragma journal_mode = wal; pragma busy_timeout = 50')
  return database
}
const reply = (commandId: string) => ({ commandId, kind: 'done', type: 'ok', payload: null }) as const

inboxContract('SQLite', async () => {
  const database = openFile(newFile())
  let passed = 0
  const inbox = sqliteInbox(database, { now: () => Date.now() + passed })
  await inbox.migrate()
  return { inbox, passes: async (ms) => (passed += ms), close: async () => database.close() }
})

test('a clock that jumps 400 days ahead makes no reply old, is told of, and is not believed over starts either', async () => {
  const database = openFile(newFile())
  const day = 86_400_000
  const problems: Problem[] = []
  let ahead = 0
  const start = () =>
    sqliteInbox(database, { now: () => Date.now() + ahead, onProblem: (problem) => problems.push(problem) })
  const first = start()
  await first.migrate()
  await first.transaction((tx) => first.save(tx, [{ commandId: 'c', kind: 'done', type: 'ok', payload: null }]))
  ahead = 400 * day
  for (let run = 0; run < 2; run += 1) expect(await first.removeOld(30 * day)).toBe(0)
  expect(problems).toMatchObject([{ what: expect.stringContaining('399 days ahead') as string, needsPerson: true }])
  for (let restart = 0; restart < 3; restart += 1) expect(await start().removeOld(30 * day)).toBe(0)
  expect(await first.transaction((tx) => first.find(tx, ['c']))).toHaveLength(1)
  database.close()
})

test('an effect on the own tables and its reply commit together, or neither does', async () => {
  const database = openFile(newFile())
  database.exec('create table booking (id text)')
  const inbox = sqliteInbox(database)
  await inbox.migrate()
  const book = (id: string, fails: boolean) =>
    inbox.transaction(async (tx) => {
      tx.prepare('insert into booking values (?)').run(id)
      await inbox.save(tx, [reply(id)])
      if (fails) throw new Error('no')
    })
  await book('a', false)
  await expect(book('b', true)).rejects.toThrow('no')
  await expect(book('a', false)).rejects.toMatchObject({ code: 'SQLITE_CONSTRAINT_PRIMARYKEY' })
  expect(database.prepare('select id from booking').all()).toMatchObject([{ id: 'a' }])
  database.close()
})

test('a file that another process holds is unavailable, and no command is to blame; later all is as before', async () => {
  const file = newFile()
  const [database, other] = [openFile(file), openFile(file)]
  const inbox = sqliteInbox(database)
  await inbox.migrate()
  other.exec('begin immediate')
  const saved = () => inbox.transaction((tx) => inbox.save(tx, [reply('c')]))
  for (let i = 0; i < 2; i++) await expect(saved()).rejects.toMatchObject({ code: 'unavailable' })
  other.exec('commit')
  await saved()
  expect(await inbox.transaction((tx) => inbox.find(tx, ['c']))).toHaveLength(1)
  for (const each of [database, other]) each.close()
})

test('the table is made once, also by hand, under the name that is given', async () => {
  const database = openFile(newFile())
  database.exec(sqliteInboxSql('seen_commands'))
  const inbox = sqliteInbox(database, { table: 'seen_commands' })
  for (let i = 0; i < 2; i++) await inbox.migrate()
  await inbox.transaction((tx) => inbox.save(tx, [reply('c')]))
  expect(database.prepare('select count(*) as n from seen_commands').get()).toMatchObject({ n: 1 })
  database.close()
})

test('what is no database and no name of a table is refused', () => {
  expect(() => sqliteInbox('orders.db' as never)).toThrow('sqliteInbox takes a Database')
  const database = openFile(newFile())
  expect(() => sqliteInbox(database, { table: 'a; drop table b' })).toThrow('must be named with')
  database.close()
})
