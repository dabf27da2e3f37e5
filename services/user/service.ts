/** The User Service (contract 6.1): customers, runners, and what payments need to know of them. */
import { startParticipantService } from '../participant-service.ts'
import type { RunningService, ServiceOptions } from '../service.ts'
import { userCommands } from './commands.ts'
import { userRoutes } from './routes.ts'
import { userMigrations, type UserTables } from './schema.ts'

export function startUserService(options: ServiceOptions): Promise<RunningService> {
  return startParticipantService<UserTables>(options, {
    participant: 'user',
    title: 'User Service',
    description: 'Keeps customers and runners with their payment methods and accounts.',
    migrations: userMigrations(options.database.kind),
    errorBody: (_status, message) => ({ success: false, message }),
    parts: ({ db }) => ({
      handlers: userCommands(),
      routes: (server) => userRoutes(server, db, options.now),
    }),
  })
}
