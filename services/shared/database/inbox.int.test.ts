import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { openDatabase } from './database.ts'
import { inboxContract } from '../../../saga/participant/inbox.contract.ts'
import { inboxAgeMigration, inboxMigration, kyselyInbox, type InboxTables } from './inbox.ts'

const migrations = { '001_inbox': inboxMigration, '002_inbox_age': inboxAgeMigration('postgres') }
const open = (url: string) => openDatabase<InboxTables>({ kind: 'postgres', url }, migrations)

suiteOn('PostgreSQL', await postgresUrl(), 'the inbox on a real server', () => {
  inboxContract('PostgreSQL by Kysely', async () => {
    const place = await freshDatabase()
    const database = await open(place.url)
    return {
      inbox: kyselyInbox(database),
      passes: (ms) => sql`update inbox set stored_at = stored_at - ${ms}`.execute(database.db),
      close: () => database.close().then(() => place.drop()),
    }
  })

  test('a server that takes no writes since a failover is unavailable, and no reason to give a command up', async () => {
    const place = await freshDatabase()
    await (await open(place.url)).close()
    const url = new URL(place.url)
    url.searchParams.set('options', '-c default_transaction_read_only=on')
    const database = await open(url.href)
    const inbox = kyselyInbox(database)
    const reply = { commandId: 'c', kind: 'done', type: 't', payload: null } as const
    const saved = inbox.transaction((tx) => inbox.save(tx, [reply]))
    await expect(saved).rejects.toMatchObject({ code: 'unavailable', cause: { code: '25006' } })
    await database.close()
    await place.drop()
  })
})
