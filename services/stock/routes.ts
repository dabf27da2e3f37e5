/** The Stock Service over HTTP (docs/wire-contract.md 6.7): what is sold and what is left; holds, and the books. */
import type { Kysely } from 'kysely'
import { administrators } from '../shared/auth/access.ts'
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import type { HttpServer } from '../shared/http/server.ts'
import type { Worker } from '../shared/worker.ts'
import { audit, AuditView } from './audit.ts'
import { categoryRoutes } from './routes/categories.ts'
import { holdRoutes } from './routes/holds.ts'
import { productRoutes } from './routes/products.ts'
import type { StockTables } from './schema.ts'

export interface StockRoutes {
  readonly db: Kysely<StockTables>
  readonly expiry: Worker
  readonly now: () => number
}

export function stockRoutes(server: HttpServer, { db, expiry, now }: StockRoutes): void {
  allowOrigins(server, knownPages)
  holdRoutes(server, { db, expiry, now })
  productRoutes(server, db, now)
  categoryRoutes(server, db, now)
  server.get(
    '/stock/audit',
    {
      config: { for: administrators },
      schema: {
        operationId: 'audit_stock',
        tags: ['books'],
        summary: 'Whether of every product what is sold, held and left is what there was',
        response: { 200: AuditView },
      },
    },
    () => audit(db),
  )
}
