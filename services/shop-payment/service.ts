/** The payments of the Order Orchestration: cards by a gateway, cash by whoever delivers. */
import { errorDetail } from '../shared/http/error-shapes.ts'
import { openParticipantService } from '../shared/participant-service.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import { refuseShopPayment, shopPaymentCommands } from './commands.ts'
import { sandboxGateway } from './gateway.ts'
import { shopPaymentRoutes } from './routes.ts'
import { shopPaymentMigrations, type ShopPaymentTables } from './schema.ts'

export function openShopPaymentService(options: ServiceOptions): Promise<OpenService> {
  const { now } = options
  return openParticipantService<ShopPaymentTables>(options, {
    participant: 'shop-payment',
    title: 'Shop Payment Service',
    description: 'Takes the payments of the orders that the Order Orchestration makes, and gives them back.',
    migrations: shopPaymentMigrations(options.database.kind),
    errors: errorDetail,
    parts({ db }) {
      const gateway = sandboxGateway(db)
      return {
        handlers: shopPaymentCommands({ db, gateway, now }),
        refuse: refuseShopPayment,
        routes: (server) => shopPaymentRoutes(server, { db, gateway, now }),
      }
    },
  })
}
