import { openHost } from '../kit/hosts.ts'
import { suiteOn } from '../kit/parts.ts'
import { installedPart, startPrivatePart } from '../kit/private-part.ts'
import { killContract } from './kill.contract.ts'

const rounds = 10

killContract('SQLite', rounds, () => openHost('embedded'))

// A server of its own: all services in one process name their databases on it themselves.
suiteOn('PostgreSQL', await installedPart('postgresql'), 'with a PostgreSQL of its own', (part) => {
  killContract('PostgreSQL', rounds, async () => {
    const server = await startPrivatePart(part)
    return {
      place: { kind: 'postgres', url: server.url },
      variables: () => ({ DATABASE_URL: server.url }),
      remove: () => server.remove(),
    }
  })
})
