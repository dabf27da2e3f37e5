/** The Stock Service: products, what is left of them, and who has taken what. */
import { openParticipantService } from '../shared/participant-service.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import type { Sleep } from '../shared/worker.ts'
import { stockCommands } from './commands.ts'
import { openExpiry } from './expiry.ts'
import { stockRoutes } from './routes.ts'
import { stockMigrations, type StockTables } from './schema.ts'
import { stockError } from './view.ts'

export interface StockServiceOptions extends ServiceOptions {
  /** How the service waits; by the system's clock where none is given. Tests move time by hand. */
  readonly sleep?: Sleep
}

export function openStockService(options: StockServiceOptions): Promise<OpenService> {
  const { log, now } = options
  return openParticipantService<StockTables>(options, {
    participant: 'stock',
    title: 'Stock Service',
    description: 'Keeps products with their prices and stock. An order takes all that it wants, or nothing.',
    migrations: stockMigrations(options.database.kind),
    errors: stockError,
    parts({ db }) {
      const expiry = openExpiry({
        db,
        now,
        ...(options.sleep === undefined ? {} : { sleep: options.sleep }),
        onProblem: (error) => log.warn({ err: error }, 'holds that have expired could not be ended; tried again soon'),
      })
      return {
        handlers: stockCommands(now),
        routes: (server) => stockRoutes(server, { db, expiry, now }),
        begin: () => expiry.begin(),
        stop: () => expiry.stop(),
      }
    },
  })
}
