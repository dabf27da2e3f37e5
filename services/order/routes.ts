/** The Order Service over HTTP (docs/wire-contract.md). */
import type { Kysely } from 'kysely'
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { orderChanges } from './routes/changes.ts'
import { orderCreation, type CreationOptions } from './routes/creation.ts'
import { orderReads } from './routes/reads.ts'
import type { OrderTables } from './schema.ts'

export interface OrderRoutesOptions extends CreationOptions {
  readonly db: Kysely<OrderTables>
}

export function orderRoutes(server: HttpServer, options: OrderRoutesOptions): void {
  allowOrigins(server, knownPages)
  orderReads(server, options.db)
  orderCreation(server, options)
  orderChanges(server, options)
}
