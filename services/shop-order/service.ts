/** The orders of the Order Orchestration: what was ordered, by whom, and how far it is. */
import { errorDetail } from '../shared/http/error-shapes.ts'
import { openParticipantService } from '../shared/participant-service.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import { refuseShopOrder, shopOrderCommands } from './commands.ts'
import { shopOrderRoutes } from './routes.ts'
import { shopOrderMigrations, type ShopOrderTables } from './schema.ts'

export function openShopOrderService(options: ServiceOptions): Promise<OpenService> {
  return openParticipantService<ShopOrderTables>(options, {
    participant: 'shop-order',
    title: 'Shop Order Service',
    description: 'Keeps the orders that the Order Orchestration makes.',
    migrations: shopOrderMigrations(options.database.kind),
    errors: errorDetail,
    parts: ({ db }) => ({
      handlers: shopOrderCommands(options.now),
      refuse: refuseShopOrder,
      routes: (server) => shopOrderRoutes(server, db, options.now),
    }),
  })
}
