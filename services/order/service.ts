/** The Order Service (contract 4): keeps orders, obeys the sagas, shows orders to people. */
import { startParticipantService } from '../participant-service.ts'
import type { RunningService, ServiceOptions } from '../service.ts'
import { orderCommands } from './commands.ts'
import { orderRoutes } from './routes.ts'
import { orderMigrations, type OrderTables } from './schema.ts'

export function startOrderService(options: ServiceOptions): Promise<RunningService> {
  return startParticipantService<OrderTables>(options, {
    participant: 'order',
    title: 'Order Service',
    description: 'Keeps orders and their status.',
    migrations: orderMigrations,
    errorBody: (_status, error) => ({ error }),
    parts: ({ db }) => ({
      handlers: orderCommands(options.now),
      routes: (server) => orderRoutes(server, db, options.now),
    }),
  })
}
