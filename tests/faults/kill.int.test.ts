import { suiteOn } from '../parts.ts'
import { killContract } from './kill.contract.ts'
import { postgresPrograms, startPrivatePostgres } from './private-postgres.ts'

// A server of its own: all services in one process name their databases on it themselves.
suiteOn('PostgreSQL', postgresPrograms(), 'with a PostgreSQL of its own', (programs) => {
  killContract('PostgreSQL', async () => {
    const server = await startPrivatePostgres(programs)
    return { kind: 'postgres', url: server.url, remove: () => server.remove() }
  })
})
