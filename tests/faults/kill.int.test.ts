import { suiteOn } from '../kit/parts.ts'
import { killContract, onSqlite } from './kill.contract.ts'
import { installedPart, startPrivatePart } from '../kit/private-part.ts'

const rounds = 20

killContract('SQLite', rounds, onSqlite)

// A server of its own: all services in one process name their databases on it themselves.
suiteOn('PostgreSQL', await installedPart('postgresql'), 'with a PostgreSQL of its own', (part) => {
  killContract('PostgreSQL', rounds, async () => {
    const server = await startPrivatePart(part)
    return { kind: 'postgres', url: server.url, remove: () => server.remove() }
  })
})
