/** The User Service: customers, runners, and what payments need to know of them. */
import type { OrderReader } from '../order/reader.ts'
import { failureWithMessage } from '../shared/http/error-shapes.ts'
import { openParticipantService } from '../shared/participant-service.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import { userCommands } from './commands.ts'
import { userRoutes } from './routes.ts'
import { userMigrations, type UserTables } from './schema.ts'

export interface UserServiceOptions extends ServiceOptions {
  /** Tells whose order it is, where a command names no runner. */
  readonly orders: OrderReader
}

export function openUserService(options: UserServiceOptions): Promise<OpenService> {
  return openParticipantService<UserTables>(options, {
    participant: 'user',
    title: 'User Service',
    description: 'Keeps customers and runners with their payment methods and accounts.',
    migrations: userMigrations(options.database.kind),
    errors: failureWithMessage,
    parts: ({ db }) => ({
      handlers: userCommands(options.orders),
      routes: (server) => userRoutes(server, db, options.now),
    }),
  })
}
