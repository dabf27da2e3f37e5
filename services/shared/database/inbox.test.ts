import { sql } from 'kysely'
import { UnavailableError } from 'ordersaga/transport'
import { expect, test } from 'vitest'
import { newFile } from '../testing/ask.ts'
import { openDatabase } from './database.ts'
import { isUniqueViolation } from './errors.ts'
import { inboxContract } from '../../../saga/participant/inbox.contract.ts'
import { startRetention } from './retention.ts'
import { inboxAgeMigration, inboxMigration, kyselyInbox, type InboxTables } from './inbox.ts'

const openAt = (file: string) =>
  openDatabase<InboxTables>(
    { kind: 'sqlite', file },
    { '001_inbox': inboxMigration, '002_inbox_age': inboxAgeMigration('sqlite') },
  )
const openFile = () => openAt(newFile('inbox'))

inboxContract('SQLite by Kysely', async () => {
  const database = await openFile()
  let passed = 0
  return {
    inbox: kyselyInbox(database, { now: () => Date.now() + passed }),
    passes: async (ms) => (passed += ms),
    close: () => database.close(),
  }
})

test('replies are removed once they are older than they are kept, all of them, and younger ones stay', async () => {
  const hour = 3_600_000
  const database = await openFile()
  const save = async (at: number, ...ids: string[]): Promise<void> => {
    const inbox = kyselyInbox(database, { now: () => at })
    const replies = ids.map((commandId) => ({ commandId, kind: 'done', type: 't', payload: null }) as const)
    await inbox.transaction((tx) => inbox.save(tx, replies))
  }
  await save(10 * hour, ...Array.from({ length: 1_500 }, (_, index) => `old-${index}`))
  await save(20 * hour, 'young')
  const problems: unknown[] = []
  const stop = startRetention({
    inbox: kyselyInbox(database, { now: () => 20 * hour + 1 }),
    retainMs: 10 * hour,
    onProblem: (error) => problems.push(error),
  })
  const left = () => database.db.selectFrom('inbox').select('command_id').execute()
  await expect.poll(left, { timeout: 30_000 }).toEqual([{ command_id: 'young' }])
  await stop()
  expect(problems).toEqual([])
  await database.close()
})

test('work that found the database busy is done again, other failures are not', async () => {
  const database = await openFile()
  const inbox = kyselyInbox(database)
  let tries = 0
  const value = await inbox.transaction(async () => {
    tries += 1
    if (tries < 3) throw Object.assign(new Error('busy'), { code: 'SQLITE_BUSY' })
    return 'done'
  })
  expect([value, tries]).toEqual(['done', 3])
  const taken = { commandId: 'c', kind: 'done', type: 't', payload: null } as const
  await inbox.transaction((tx) => inbox.save(tx, [taken]))
  await expect(inbox.transaction((tx) => inbox.save(tx, [taken]))).rejects.toSatisfy(isUniqueViolation)
  await database.close()
})

test('a database that goes away within a transaction is said to be unavailable, and why', async () => {
  const database = await openFile()
  const inbox = kyselyInbox(database)
  const failing = (error: Error) =>
    inbox.transaction(async () => {
      throw error
    })
  const full = Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
  await expect(failing(full)).rejects.toMatchObject({
    code: 'unavailable',
    message: 'the database cannot be used now (database or disk is full)',
    cause: full,
  })
  const gateway = new UnavailableError('the gateway is away')
  await expect(failing(gateway)).rejects.toBe(gateway)
  await database.close()
})

test('replies that were stored before their age was kept count as stored when it is', async () => {
  const file = newFile('inbox')
  const before = await openDatabase<InboxTables>({ kind: 'sqlite', file }, { '001_inbox': inboxMigration })
  await sql`insert into inbox (command_id, kind, type, payload) values ('c', 'done', 't', 'null')`.execute(before.db)
  await before.close()
  const after = await openAt(file)
  expect(await kyselyInbox(after).removeOld(3_600_000)).toBe(0)
  expect(await kyselyInbox(after).removeOld(0)).toBe(1)
  await after.close()
})
