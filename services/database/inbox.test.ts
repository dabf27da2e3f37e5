import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UnavailableError } from 'ordersaga/transport'
import { expect, test } from 'vitest'
import { openDatabase } from './database.ts'
import { isUniqueViolation } from './errors.ts'
import { inboxContract } from './inbox.contract.ts'
import { inboxMigration, kyselyInbox, type InboxTables } from './inbox.ts'

const openFile = () =>
  openDatabase<InboxTables>(
    { kind: 'sqlite', file: join(mkdtempSync(join(tmpdir(), 'ordersaga-inbox-')), 'a.db') },
    { '001_inbox': inboxMigration },
  )

inboxContract('sqlite', openFile)

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
  const failing = (error: Error) => inbox.transaction(() => Promise.reject(error))
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
