/** The Order Service over HTTP (docs/wire-contract.md). */
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { orderChanges, type ChangeOptions } from './routes/changes.ts'
import { orderCreation, type CreationOptions } from './routes/creation.ts'
import { orderReads } from './routes/reads.ts'

export type OrderRoutesOptions = CreationOptions & ChangeOptions

export function orderRoutes(server: HttpServer, options: OrderRoutesOptions): void {
  allowOrigins(server, knownPages)
  orderReads(server, options.db)
  orderCreation(server, options)
  orderChanges(server, options)
}
