/** The Order Service: keeps orders, obeys the sagas, serves people over HTTP and tells of what they do. */
import { errorAlone } from '../shared/http/error-shapes.ts'
import { openOutbox } from '../shared/database/outbox.ts'
import { openParticipantService } from '../shared/participant-service.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import { orderCommands, refuseOrder } from './commands.ts'
import { orderRequests } from './requests.ts'
import { orderRoutes } from './routes.ts'
import { orderMigrations, type OrderTables } from './schema.ts'

export interface OrderServiceOptions extends ServiceOptions {
  /**
   * Whether `/testCreateOrder` works; on loopback alone where nothing is said. It makes orders of which nobody is told, so
   * that who follows `order_events` never hears of them: no way into a system that others use.
   */
  readonly testRoutes?: boolean | undefined
}

const loopback: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost'])

export function openOrderService(options: OrderServiceOptions): Promise<OpenService> {
  const { log, now, testRoutes = loopback.has(options.host), transport } = options
  return openParticipantService<OrderTables>(options, {
    participant: 'order',
    title: 'Order Service',
    description: 'Keeps orders and their status.',
    migrations: orderMigrations(options.database.kind),
    errors: errorAlone,
    parts(database) {
      const outbox = openOutbox({
        database,
        transport,
        onProblem: (error) => log.warn({ err: error }, 'events could not be published; they are kept and tried again'),
      })
      return {
        handlers: orderCommands(now),
        requests: orderRequests((tx) => outbox.tellIn(tx), now),
        refuse: refuseOrder,
        routes: (server, obey) => orderRoutes(server, { db: database.db, outbox, now, testRoutes, obey }),
        begin: () => outbox.begin(),
        stop: () => outbox.stop(),
      }
    },
  })
}
