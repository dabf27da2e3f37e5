import { freshDatabase, postgresUrl, suiteOn } from '../../tests/parts.ts'
import { openDatabase } from './database.ts'
import { inboxContract } from './inbox.contract.ts'
import { inboxMigration, type InboxTables } from './inbox.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the inbox on a real server', () =>
  inboxContract('PostgreSQL', async () => {
    const place = await freshDatabase()
    const database = await openDatabase<InboxTables>(
      { kind: 'postgres', url: place.url },
      { '001_inbox': inboxMigration },
    )
    return { ...database, close: () => database.close().then(() => place.drop()) }
  }),
)
